"""`csa classify`: zero-shot classification of files by labels of the user's own choice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl

from csa.core.matrices import Float64
from csa.core.search import top_k
from csa.datasets.checking import check_files
from csa.datasets.items import check_file, load_file
from csa.errors import DataError, InputError
from csa.evaluation.classification import mean_by_class, prompts_of
from csa.evaluation.vectors import search_vectors
from csa.features.embed import Items
from csa.features.embedder import Embedder
from csa.figures.shown import shown_or_gone
from csa.modalities.registry import files_in
from csa.params.measure import PromptParams
from csa.params.schema import Params
from csa.params.views import Modality
from csa.pipeline.labelled import usual_template, view_pair
from csa.pipeline.workspace import Workspace
from csa.questions.familiar import UNFAMILIAR
from csa.questions.opened import Fitted
from csa.scoring.labels import check_templates
from csa.storage.files import read_text, write_atomic

MOST_DRAWN = 40
"""Files that fit on a picture sheet."""


@dataclass(frozen=True, eq=False)
class Classified:
    """Files with their best labels.

    Attributes:
        files: as they were named, or found in a folder that was.
        labels: of each file, the best first.
        scores: of these labels, shape (files, labels).
        p_match: p-value of "this file and its best label belong together" among the held-out pairs,
            shape (files,); None if nothing was evaluated.
        p_familiar: p-value of "this file is as much like some training item as held-out ones are"
            (`csa.questions.familiar`), shape (files,).
        alpha: from which p_match on down it is said that none fits.
        unusable: (file, what is wrong with it).
        templates: what the labels were put into.
        load: from file to item.
    """

    files: list[str]
    labels: list[list[str]]
    scores: Float64
    p_match: Float64 | None
    p_familiar: Float64
    alpha: float
    unusable: list[tuple[str, str]]
    templates: list[str]
    load: Callable[[str], Any]

    def rows(self) -> list[dict[str, Any]]:
        """A file each: file, labels (label and score, the best first), p_match and p_familiar."""
        p_match = [None] * len(self.files) if self.p_match is None else self.p_match.tolist()
        return [
            {
                "file": file,
                "labels": [
                    {"label": label, "score": round(float(score), 4)}
                    for label, score in zip(*best, strict=True)
                ],
                "p_match": p,
                "p_familiar": float(known),
            }
            for file, *best, p, known in zip(
                self.files, self.labels, self.scores, p_match, self.p_familiar, strict=True
            )
        ]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        unusable = [{"file": file, "fault": fault} for file, fault in self.unusable]
        return {
            "templates": self.templates,
            "alpha": self.alpha,
            "files": self.rows(),
            "unusable": unusable,
        }

    def __str__(self) -> str:
        width, lines = max(map(len, self.files)), []
        for row in self.rows():
            best = "  ".join(f"{one['label']} {one['score']:.2f}" for one in row["labels"])
            if row["p_match"] is not None and row["p_match"] <= self.alpha:
                best += f"  (none fits: p = {row['p_match']:.2g})"
            if row["p_familiar"] <= UNFAMILIAR:
                best += f"  (unfamiliar: p = {row['p_familiar']:.2g})"
            lines.append(f"{row['file']:<{width}}  {best}")
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Write a CSV: file, label, score, p_match, p_familiar, and the runner-up with its
        score.
        """
        table = [
            {
                "file": row["file"],
                "label": row["labels"][0]["label"],
                "score": row["labels"][0]["score"],
                "p_match": row["p_match"],
                "p_familiar": row["p_familiar"],
                "runner_up": row["labels"][1]["label"] if len(row["labels"]) > 1 else None,
                "runner_up_score": row["labels"][1]["score"] if len(row["labels"]) > 1 else None,
            }
            for row in self.rows()
        ]
        text = StringIO()
        pl.DataFrame(table, infer_schema_length=None).write_csv(text)
        write_atomic(path, text.getvalue().encode())

    def draw(self, path: Path) -> None:
        """Write the first files with their best labels as a picture sheet."""
        from csa.figures.sheet import draw_grid

        cells = [
            (shown_or_gone(self.load, file), f"{labels[0]} {scores[0]:.2f}")
            for file, labels, scores in zip(
                self.files[:MOST_DRAWN], self.labels, self.scores, strict=False
            )
        ]
        draw_grid(cells, " | ".join(self.templates), path)


def classify_files(
    ws: Workspace, named: Sequence[str], labels: Sequence[str], templates: Sequence[str], top: int
) -> Classified:
    """Put every file to the labels it is most similar to.

    Args:
        ws: a workspace that was run; one of its two views is texts.
        named: files of the other view, and folders of them.
        labels: the candidates, two or more; blank and repeated ones are left out.
        templates: sentences with {label}; a label is the mean of its prompts' features. None: those
            of evaluate.prompts, or how the data set's own classes are put, or the paper's.
        top: how many labels a file gets.

    Returns:
        The usable files with their best labels, and what is wrong with the others.

    Raises:
        ArtifactError: the workspace was not run yet.
        InputError: fewer than two labels, a template without {label}, nothing of that modality, or
            views that are not a text view and another.
        DataError: not one file is usable.
    """
    fitted = Fitted.open(ws)
    params = fitted.params
    view, text_view = _views_of_labels(params)
    labels = _different(labels)
    prompts, template = _prompts(params, templates), usual_template(params.dataset)
    asked = [prompts_of(label, prompts, template) for label in labels]
    modality, most = params.views[view].modality, params.dataset.max_image_pixels
    usable = _check(named, modality, most)
    load_item = partial(load_file, modality=modality, max_pixels=most)
    embedder = Embedder(ws.cache, params.compute)
    # of equal files the first one named is read
    items = dict(zip(reversed(usable.hashes), reversed(usable.files), strict=True))
    features = embedder.items(
        params.views[view], Items(list(items.items()), load_item, f"embed {view}")
    ).rows(usable.hashes)
    texts = embedder.texts(
        params.views[text_view], [prompt for group in asked for prompt in group], "embed prompts"
    )
    classes = mean_by_class(texts, [len(group) for group in asked])
    queries, vectors = search_vectors(
        fitted.alignment, features, classes, params.view_names[0] == view
    )
    best, scores = top_k(queries, vectors, top)
    judge = fitted.scorer.judge
    return Classified(
        files=usable.files,
        labels=[[labels[i] for i in row] for row in best],
        scores=scores,
        p_match=None if judge is None else judge.true.p_value(scores[:, 0]),
        p_familiar=fitted.familiar(view, features),
        alpha=params.evaluate.alpha,
        unusable=usable.others,
        templates=prompts.templates or [template],
        load=load_item,
    )


def _views_of_labels(params: Params) -> tuple[str, str]:
    """The view of files that labels are given to, and the text view."""
    names = view_pair(params.views)
    if names is None or params.views[names[0]].modality == "array":
        views = ", ".join(
            f"{view} ({settings.modality})" for view, settings in params.views.items()
        )
        raise InputError(
            f"labels need one view of texts and another of files, but the views are {views}"
        )
    return names


def _different(labels: Sequence[str]) -> list[str]:
    """The candidates in order, without blank and repeated ones."""
    candidates = list(dict.fromkeys(label.strip() for label in labels if label.strip()))
    if len(candidates) < 2:
        raise InputError(
            f"{len(candidates)} labels: there is nothing to choose from; give two or more "
            f"different ones"
        )
    return candidates


def _prompts(params: Params, templates: Sequence[str]) -> PromptParams:
    """The prompts of the parameters, with other templates where some are given."""
    prompts = params.evaluate.prompts
    if templates:
        prompts = prompts.model_copy(update={"templates": list(templates)})
    check_templates(prompts.templates)
    return prompts


def read_labels(path: Path) -> list[str]:
    """Labels from a text file, one a line.

    Raises:
        InputError: no such file, or not text.
    """
    return read_text(path, "a text file with a label a line").splitlines()


@dataclass(frozen=True)
class _Usable:
    """Files that can be read, their hashes, and the others with what is wrong with each."""

    files: list[str]
    hashes: list[str]
    others: list[tuple[str, str]]


def _check(named: Sequence[str], modality: Modality, max_pixels: int) -> _Usable:
    files = list(dict.fromkeys(file for name in named for file in _files_of(name, modality)))
    check = partial(check_file, modality=modality, max_pixels=max_pixels)
    outcomes = check_files(files, check, f"check {modality}", progress=len(files) > 1)
    unusable = [(file, fault) for file, (_, fault) in outcomes.items() if fault]
    if len(unusable) == len(files):
        raise DataError(
            unusable[0][1]
            + (f"; neither is any of the other {len(files) - 1} usable" if len(files) > 1 else "")
        )
    usable = [(file, digest) for file, (digest, fault) in outcomes.items() if not fault]
    return _Usable([file for file, _ in usable], [digest for _, digest in usable], unusable)


def _files_of(name: str, modality: Modality) -> list[str]:
    """A file, or all of a modality in a folder."""
    if not Path(name).is_dir():
        return [name]
    inside = [str(file) for file in files_in(Path(name), modality)]
    if not inside:
        raise InputError(
            f"{name}: no {modality} file in this folder or below it; is it the right one?"
        )
    return inside
