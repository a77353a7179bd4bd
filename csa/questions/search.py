"""Asking a fitted workspace: how well do two things belong together, and what belongs to this?"""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from csa.core.matrices import Array
from csa.core.search import top_k
from csa.datasets.containers import ItemFiles
from csa.datasets.items import item_loader
from csa.datasets.roots import dataset_root
from csa.errors import DataError
from csa.figures.shown import GONE, showable, shown_or_gone
from csa.params.views import ViewParams
from csa.pipeline.workspace import Workspace
from csa.questions.opened import Fitted

Load = Callable[[str], Any]


@dataclass(frozen=True, eq=False)
class SearchAnswer:
    """Results of one search, best first.

    Attributes:
        query: the text or the item that was asked for.
        title: what it was asked by.
        found: a row each: rank, score, item, partner, pair, split; `gone` where its file is gone.
        load: from an item that was found to what it is; nothing is decoded before it is drawn.
    """

    query: Any
    title: str
    found: list[dict[str, Any]]
    load: Load

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"query": self.title, "results": self.found}

    def __str__(self) -> str:
        return "\n".join(
            f"{row['rank']:>3}  {row['score']:>8.3f}  {row['item']}  ({row['partner']}; "
            f"{row['split']}){f'  ({GONE})' if row.get('gone') else ''}"
            for row in self.found
        )

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<td>{_in_html(shown_or_gone(self.load, row['item']))}<br>{row['score']:.3f}<br>"
            f"{escape(row['partner'])}</td>"
            for row in self.found
        )
        return f"<table><caption>{escape(self.title)}</caption><tr>{cells}</tr></table>"

    @staticmethod
    def draw(answers: "list[SearchAnswer]", path: Path) -> None:
        """Write the results as a picture sheet, a row for each query; an item that is gone is
        named.

        Args:
            answers: one or more.
            path: of the PNG.
        """
        from csa.figures.sheet import Result, Row, draw_sheet

        rows = [
            Row(
                showable(lambda _, item=answer.query: item, answer.title),  # type: ignore[misc]
                [
                    Result(shown_or_gone(answer.load, row["item"]), row["score"])
                    for row in answer.found
                ],
            )
            for answer in answers
        ]
        draw_sheet(rows, answers[0].title if len(answers) == 1 else f"{len(answers)} queries", path)


def _in_html(shown: Any) -> str:
    """A picture as a small image, a text as it is."""
    from csa.report.shown import data_uri

    return escape(shown) if isinstance(shown, str) else f"<img src='{data_uri(shown, 128)[0]}'>"


class Searcher:
    """Searches a workspace that was run, query after query: encoders and galleries are loaded once.

    Raises:
        ArtifactError: the workspace was not run yet.
    """

    def __init__(self, ws: Workspace):
        self._fitted = Fitted.open(ws)

    def find(self, query: str, top: int) -> SearchAnswer:
        """The items of the other view that best belong to a text or a file.

        Args:
            query: a text, or the path of a file.
            top: how many items, at most.

        Returns:
            The items, the best first.

        Raises:
            DataError, InputError: the query cannot be read or encoded.
        """
        fitted = self._fitted
        view = fitted.view_of(query)
        other = next(name for name in fitted.params.view_names if name != view)
        item = fitted.read(view, query)
        found = matches(fitted, view, fitted.encode(view, item), top)[0]
        root = dataset_root(fitted.params.dataset, fitted.ws.root)
        files = _files_of(fitted.params.views[other], root)
        for about in found:
            about["score"] = round(about["score"], 4)
            if files is not None and _is_gone(files, about["item"]):
                about["gone"] = True
        most_pixels = fitted.params.dataset.max_image_pixels
        return SearchAnswer(
            item, query, found, item_loader(fitted.params.views[other], root, most_pixels)
        )


def matches(fitted: Fitted, view: str, features: Array, top: int) -> list[list[dict[str, Any]]]:
    """The items of the other view that best belong to each of some items.

    Args:
        fitted: a workspace that was run.
        view: of the items.
        features: of the items, shape (n, d).
        top: how many for each, at most.

    Returns:
        Of each item what was found, best first: rank, score, item, partner, pair, split.

    Raises:
        FeatureError: a shape that does not fit, NaN or infinity.
    """
    other = fitted.scorer.other(view)
    gallery = fitted.gallery(other)
    rows, scores = top_k(fitted.scorer.vectors(view, features), gallery.vectors, top)
    answers = []
    for places, values in zip(rows, scores, strict=True):
        pairs = gallery.pairs[places.tolist()].iter_rows(named=True)
        answers.append(
            [
                {
                    "rank": rank,
                    "score": float(value),
                    "item": pair[other],
                    "partner": pair[view],
                    "pair": pair["pair_id"],
                    "split": pair["split"],
                }
                for rank, (value, pair) in enumerate(zip(values, pairs, strict=True), start=1)
            ]
        )
    return answers


def _files_of(view: ViewParams, root: Path) -> ItemFiles | None:
    """The files that a view's items lie in; None if they lie in the pairs table or in files of
    features.
    """
    return None if view.modality in ("text", "array") else ItemFiles(root, view.modality)


def _is_gone(files: ItemFiles, value: str) -> bool:
    """Whether an item's file cannot be opened; it is not decoded."""
    try:
        with files.open(value):
            return False
    except DataError:
        return True
