"""Asking a fitted workspace: how well do two things belong together, and what belongs to this?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from csa.core.alignment import Alignment, load
from csa.core.moments import Array
from csa.core.search import top_k
from csa.datasets import dataset_root, item_loader
from csa.datasets.items import decode_item, modality_of
from csa.datasets.pairs import read_pairs
from csa.encoders import load_encoder
from csa.errors import InputError
from csa.features import FeatureTable
from csa.files import open_item
from csa.params import Params
from csa.report.sheet import Result, Row, draw_sheet, showable
from csa.workspace import Workspace


@dataclass(frozen=True)
class PairScore:
    """The score of one pair and its place among the held-out pairs (None where nothing was evaluated)."""

    score: float
    score_name: str
    in_nats: bool
    above_true_pairs: float | None
    above_mismatched_pairs: float | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "score": self.score,
            "score_name": self.score_name,
            "above_true_pairs": self.above_true_pairs,
            "above_mismatched_pairs": self.above_mismatched_pairs,
        }

    def __str__(self) -> str:
        unit = " nats" if self.in_nats else ""
        lines = [f"score {self.score:.3f}{unit} ({self.score_name.replace('_', ' ')})"]
        if self.above_true_pairs is not None and self.above_mismatched_pairs is not None:
            lines.append(f"higher than {self.above_mismatched_pairs:.0%} of mismatched held-out pairs")
            lines.append(f"higher than {self.above_true_pairs:.0%} of true held-out pairs")
        return "\n".join(lines)


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
            f"{row['rank']:>3}  {row['score']:>8.3f}  {row['item']}  ({row['partner']}; {row['split']})" for row in self.found
        )

    def draw(self, path: Path) -> None:
        """Write the results as a picture sheet."""
        results = [Result(item, row["score"]) for item, row in zip(self.items, self.found, strict=True)]
        draw_sheet([Row(self.query, results)], self.title, path)


@dataclass(frozen=True)
class _Fitted:
    """A workspace that was run: what asking it needs."""

    ws: Workspace
    params: Params
    alignment: Alignment

    @classmethod
    def open(cls, ws: Workspace) -> "_Fitted":
        return cls(ws, ws.params(), load(ws.alignment))

    def read(self, view: str, value: str) -> Any:
        """What the user named: a text, or a file."""
        modality = self.params.views[view].modality
        if modality == "text":
            if not value.strip():
                raise InputError("the text is empty; say what to look for")
            return value
        if modality == "array":
            raise InputError(f"view {view!r} holds features computed elsewhere, so nothing new can be encoded for it here")
        with open_item(Path(value), value, modality) as file:
            return decode_item(modality, file, value, self.params.dataset.max_image_pixels)

    def encode(self, view: str, item: Any) -> Array:
        """Features (1, d) of one item."""
        return load_encoder(self.params.views[view]).encode([item])

    def view_of(self, value: str) -> str:
        """The view a query belongs to: that of its kind of file if it is one, else that of texts."""
        modality = modality_of(value) if Path(value).is_file() else "text"
        for name, view in self.params.views.items():
            if view.modality == modality:
                return name
        views = ", ".join(f"{name} ({view.modality})" for name, view in self.params.views.items())
        raise InputError(f"{value!r} reads as {modality}, but no view is of that modality; the views are {views}")


def score_pair(ws: Workspace, first: str, second: str) -> PairScore:
    """Score one pair given on the command line, `first` for the first view and `second` for the second.

    Raises:
        ArtifactError: the workspace was not run yet.
        DataError, InputError: an item cannot be read or encoded.
    """
    fitted = _Fitted.open(ws)
    names = fitted.params.view_names
    items = [fitted.read(name, value) for name, value in zip(names, (first, second), strict=True)]
    X, Y = (fitted.encode(name, item) for name, item in zip(names, items, strict=True))
    value = float(fitted.alignment.score_pairs(X, Y)[0])
    name = fitted.alignment.score_name
    in_nats = name == "likelihood_ratio" and not fitted.alignment.hubness_corrected
    reference = ws.evaluation / "pairs.parquet"
    if not reference.is_file():
        return PairScore(value, name, in_nats, None, None)
    held_out = pl.read_parquet(reference)
    shares = [float(np.mean(held_out[column].to_numpy() < value)) for column in ("score", "stranger_score")]
    return PairScore(value, name, in_nats, *shares)


def search_items(ws: Workspace, query: str, top: int) -> SearchAnswer:
    """The items of the other view that best belong to a text or a file.

    Raises:
        ArtifactError: the workspace was not run yet.
        DataError, InputError: the query cannot be read or encoded.
    """
    fitted = _Fitted.open(ws)
    view = fitted.view_of(query)
    first, second = fitted.params.view_names
    other = second if view == first else first
    item = fitted.read(view, query)
    features = fitted.encode(view, item)
    pairs = read_pairs(ws.pairs).unique(f"{other}_hash", keep="first", maintain_order=True)
    gallery = FeatureTable.read(ws.features(other)).rows(pairs[f"{other}_hash"].to_list())
    left, right = fitted.alignment.index_vectors(*((features, gallery) if view == first else (gallery, features)))
    queries, vectors = (left, right) if view == first else (right, left)
    rows, scores = top_k(queries, vectors, top)
    load_item = item_loader(
        fitted.params.views[other], dataset_root(fitted.params, ws.root), fitted.params.dataset.max_image_pixels
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
