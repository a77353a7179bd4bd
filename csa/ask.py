"""Asking a fitted workspace: how well do two things belong together, and what belongs to this?"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from csa.core.alignment import Alignment, load
from csa.core.matrices import Array, Float64
from csa.core.search import top_k
from csa.datasets import dataset_root, item_loader
from csa.datasets.items import load_file, modality_of, names_a_file
from csa.datasets.pairs import read_pairs
from csa.encoders import ViewEncoder, load_view_encoder
from csa.errors import InputError
from csa.features import FeatureTable
from csa.params import Params
from csa.report.sheet import Result, Row, draw_sheet, showable
from csa.tasks.bootstrap import number_groups
from csa.tasks.conformal import Calibration, PairCalibration, PairDecisions
from csa.tasks.exchangeability import familiarity
from csa.workspace import Workspace

UNFAMILIAR = 0.01
"""P-value of `familiar` from which on an item is called unlike what was trained on."""


@dataclass(frozen=True)
class PairScore:
    """The score of one pair, its place among the held-out pairs, and what that says (None where nothing was evaluated).

    Attributes:
        score: the similarity.
        score_name: of which kind.
        in_nats: whether it is a log-likelihood ratio as it stands.
        above_true_pairs, above_mismatched_pairs: shares of held-out pairs that score lower.
        decision: conformal p-values and verdict, calibrated on all held-out groups.
        doubts: why calibration and this pair may not be exchangeable, a sentence each.
    """

    score: float
    score_name: str
    in_nats: bool
    above_true_pairs: float | None = None
    above_mismatched_pairs: float | None = None
    decision: PairDecisions | None = None
    doubts: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "score": self.score,
            "score_name": self.score_name,
            "above_true_pairs": self.above_true_pairs,
            "above_mismatched_pairs": self.above_mismatched_pairs,
            "decision": None
            if self.decision is None
            else {
                "verdict": self.decision.verdicts[0],
                "alpha": self.decision.alpha,
                "p_match": float(self.decision.p_match[0]),
                "p_mismatch": float(self.decision.p_mismatch[0]),
                "doubts": list(self.doubts),
            },
        }

    def __str__(self) -> str:
        unit = " nats" if self.in_nats else ""
        lines = [f"score {self.score:.3f}{unit} ({self.score_name.replace('_', ' ')})"]
        if self.above_true_pairs is not None and self.above_mismatched_pairs is not None:
            lines.append(f"higher than {self.above_mismatched_pairs:.0%} of mismatched held-out pairs")
            lines.append(f"higher than {self.above_true_pairs:.0%} of true held-out pairs")
        if self.decision is not None:
            meaning = {
                "match": "strangers score so high too rarely",
                "mismatch": "true pairs score so low too rarely",
                "undecided": "both true pairs and strangers score like this",
                "neither": "neither true pairs nor strangers score like this",
            }
            verdict = self.decision.verdicts[0]
            lines.append(
                f"{verdict} at alpha {self.decision.alpha:g}: {meaning[verdict]} "
                f"(p = {self.decision.p_match[0]:.2g} as a true pair, {self.decision.p_mismatch[0]:.2g} as strangers)"
            )
        lines += [f"doubtful: {reason}" for reason in self.doubts]
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

    @staticmethod
    def draw(answers: "list[SearchAnswer]", path: Path) -> None:
        """Write the results as a picture sheet, a row for each query."""
        rows = [
            Row(answer.query, [Result(item, found["score"]) for item, found in zip(answer.items, answer.found, strict=True)])
            for answer in answers
        ]
        draw_sheet(rows, answers[0].title if len(answers) == 1 else f"{len(answers)} queries", path)


@dataclass(frozen=True)
class _Fitted:
    """A workspace that was run: what asking it needs."""

    ws: Workspace
    params: Params
    alignment: Alignment
    encoders: dict[str, ViewEncoder] = field(default_factory=dict)

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
        return load_file(value, modality, self.params.dataset.max_image_pixels)

    def encode(self, view: str, item: Any) -> Array:
        """Features (1, d) of one item."""
        if view not in self.encoders:
            self.encoders[view] = load_view_encoder(self.params.views[view])
        return self.encoders[view].encode([item])

    def view_of(self, value: str) -> str:
        """The view a query belongs to: that of its kind of file if it is one, else that of texts."""
        is_file = Path(value).is_file()
        if not is_file and names_a_file(value):
            raise InputError(f"{value!r} reads as a file, but there is none; correct the path")
        modality = modality_of(value) if is_file else "text"
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
    values = fitted.alignment.score_pairs(X, Y)
    value = float(values[0])
    name = fitted.alignment.score_name
    in_nats = name == "likelihood_ratio" and not fitted.alignment.hubness_corrected
    judge = PairCalibration.read(ws.evaluation / "pairs.parquet")
    if judge is None:
        return PairScore(value, name, in_nats)
    return PairScore(
        value,
        name,
        in_nats,
        float(np.mean(judge.true.scores < value)),
        float(np.mean(-judge.strangers.scores < value)),
        judge.decide(values, fitted.params.evaluate.alpha),
        _doubts(ws, fitted.params, judge, {names[0]: X, names[1]: Y}),
    )


def _doubts(ws: Workspace, params: Params, judge: PairCalibration, items: dict[str, Array]) -> tuple[str, ...]:
    """Why the held-out pairs may say little about this one: too few of them, or an item unlike all they hold."""
    found = (
        []
        if judge.true.threshold(params.evaluate.alpha) > -np.inf
        else [f"{judge.true.groups} held-out groups are too few to reject anything at alpha {params.evaluate.alpha:g}"]
    )
    for view, features in items.items():
        p = float(familiar(ws, view, features)[0])
        if p <= UNFAMILIAR:
            found.append(
                f"this {view} is less like any training {view} than nearly all held-out ones are (p = {p:.2g}), so what was "
                "measured there may not hold"
            )
    return tuple(found)


def familiar(ws: Workspace, view: str, features: Array) -> Float64:
    """P-values, shape (n,), of the claim that items are as much like some training item as held-out ones are.

    Args:
        ws: a workspace that was run.
        view: of the items.
        features: by the view's encoder, shape (n, d).
    """
    pairs, table = read_pairs(ws.pairs), FeatureTable.read(ws.features(view))
    train, test = (
        pairs.filter(pl.col("split") == split).unique(f"{view}_hash", keep="first", maintain_order=True)
        for split in ("train", "test")
    )
    known = table.rows(train[f"{view}_hash"].to_list())
    usual = Calibration.of(familiarity(table.rows(test[f"{view}_hash"].to_list()), known), number_groups(test["group"]))
    return usual.p_value(familiarity(features, known))


class Searcher:
    """Searches a workspace that was run, query after query: encoders and galleries are loaded once.

    Raises:
        ArtifactError: the workspace was not run yet.
    """

    def __init__(self, ws: Workspace):
        self._ws = ws
        self._fitted = _Fitted.open(ws)
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
            fitted.params.views[other], dataset_root(fitted.params, self._ws.root), fitted.params.dataset.max_image_pixels
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
            features = FeatureTable.read(self._ws.features(view)).rows(pairs[f"{view}_hash"].to_list())
            self._galleries[view] = pairs, self._vectors(view, features)
        return self._galleries[view]

    def _vectors(self, view: str, features: Array) -> Any:
        first = view == self._fitted.params.view_names[0]
        return self._fitted.alignment.index_vectors(**{"X" if first else "Y": features})
