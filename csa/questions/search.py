"""Asking a fitted workspace: how well do two things belong together, and what belongs to this?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from csa.core.matrices import Array
from csa.core.search import top_k
from csa.datasets.items import item_loader
from csa.datasets.pairs_table import read_pairs
from csa.datasets.roots import dataset_root
from csa.features.shards import FeatureTable
from csa.figures.sheet import Result, Row, draw_sheet, showable
from csa.pipeline.workspace import Workspace
from csa.questions.opened import Fitted


@dataclass(frozen=True)
class SearchAnswer:
    """Results of one search, best first."""

    query: Any
    title: str
    found: list[dict[str, Any]]
    items: list[Any]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"query": self.title, "results": self.found}

    def __str__(self) -> str:
        return "\n".join(
            f"{row['rank']:>3}  {row['score']:>8.3f}  {row['item']}  ({row['partner']}; "
            f"{row['split']})"
            for row in self.found
        )

    @staticmethod
    def draw(answers: "list[SearchAnswer]", path: Path) -> None:
        """Write the results as a picture sheet, a row for each query."""
        rows = [
            Row(
                answer.query,
                [
                    Result(item, found["score"])
                    for item, found in zip(answer.items, answer.found, strict=True)
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
        load_item = item_loader(
            fitted.params.views[other],
            dataset_root(fitted.params.dataset, self._ws.root),
            fitted.params.dataset.max_image_pixels,
        )
        found, items = [], []
        for rank, (row, value) in enumerate(zip(rows[0], scores[0], strict=True), start=1):
            pair = pairs.row(int(row), named=True)
            found.append(
                {
                    "rank": rank,
                    "score": round(float(value), 4),
                    "item": pair[other],
                    "partner": pair[view],
                    "pair": pair["pair_id"],
                    "split": pair["split"],
                }
            )
            items.append(showable(load_item, pair[other]))
        return SearchAnswer(showable(lambda _: item, query), query, found, items)

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
