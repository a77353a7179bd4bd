"""Asking a fitted workspace: how well do two things belong together, and what belongs to this?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from csa.core.matrices import Array
from csa.core.search import top_k
from csa.datasets.containers import ItemFiles
from csa.datasets.items import item_loader
from csa.datasets.pairs_table import read_pairs
from csa.datasets.roots import dataset_root
from csa.errors import DataError
from csa.features.shards import FeatureTable
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


class Searcher:
    """Searches a workspace that was run, query after query: encoders and galleries are loaded once.

    Raises:
        ArtifactError: the workspace was not run yet.
    """

    def __init__(self, ws: Workspace):
        self._ws = ws
        self._fitted = Fitted.open(ws)
        self._pairs = read_pairs(ws.pairs)
        self._galleries: dict[str, tuple[pl.DataFrame, Any]] = {}

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
        vectors = self._vectors(view, fitted.encode(view, item))
        pairs, gallery = self._gallery(other)
        rows, scores = top_k(vectors, gallery, top)
        root = dataset_root(fitted.params.dataset, self._ws.root)
        files = _files_of(fitted.params.views[other], root)
        found = []
        for rank, (row, value) in enumerate(zip(rows[0], scores[0], strict=True), start=1):
            pair = pairs.row(int(row), named=True)
            about = {
                "rank": rank,
                "score": round(float(value), 4),
                "item": pair[other],
                "partner": pair[view],
                "pair": pair["pair_id"],
                "split": pair["split"],
            }
            if files is not None and _is_gone(files, pair[other]):
                about["gone"] = True
            found.append(about)
        most_pixels = fitted.params.dataset.max_image_pixels
        return SearchAnswer(
            item, query, found, item_loader(fitted.params.views[other], root, most_pixels)
        )

    def _gallery(self, view: str) -> tuple[pl.DataFrame, Any]:
        """A pair of every item of a view, and the items' index vectors."""
        if view not in self._galleries:
            pairs = self._pairs.unique(f"{view}_hash", keep="first", maintain_order=True)
            features = FeatureTable.read(self._ws.features(view)).rows(
                pairs[f"{view}_hash"].to_list()
            )
            self._galleries[view] = pairs, self._vectors(view, features)
        return self._galleries[view]

    def _vectors(self, view: str, features: Array) -> Any:
        first = view == self._fitted.params.view_names[0]
        return self._fitted.alignment.index_vectors(**{"X" if first else "Y": features})


def _files_of(view: ViewParams, root: Path) -> ItemFiles | None:
    """The files that a view's items lie in; None where they lie in the pairs table or in files of
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
