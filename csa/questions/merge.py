"""Sharing features without data: a team publishes its training pairs' moments, and fits are made on
the sum of several teams'.

Moments are sums over pairs: they hold no item, but sums of few pairs say much of them, so too few
are not published. A group falls into the same fold everywhere, by its name, so folds of several
teams add up to the folds of all their pairs, and the fit on the sum is the fit on all pairs (up to
the rounding of sums).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from csa.core.estimator import CSA
from csa.core.moments import Moments
from csa.datasets.groups import split_fraction
from csa.datasets.pairs_table import read_pairs
from csa.errors import ArtifactError, FeatureError, InputError
from csa.evaluation.evaluation import evaluate
from csa.features.shards import FeatureTable, fingerprint_of_features
from csa.params.measure import EvaluateParams
from csa.pipeline.held_out import EvaluationData
from csa.pipeline.workspace import Workspace
from csa.results.evaluation import RetrievalMetrics
from csa.results.words import arrow, recall_line
from csa.storage.container import load_tensors, save_tensors

FOLDS = 5
_SUMS = ("mean_x", "mean_y", "cxx", "cyy", "cxy")
_KIND = "published_moments"


@dataclass(frozen=True, eq=False)
class PublishedMoments:
    """Moments of one team's training pairs, fold by fold, and what they are moments of.

    Attributes:
        encoders: view -> fingerprint of its encoder, in order.
        folds: moments of each fold; a group's fold follows from its name alone.
        groups: number of groups.
    """

    encoders: dict[str, str]
    folds: list[Moments]
    groups: int

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return sum(fold.n for fold in self.folds)

    @classmethod
    def of_workspace(cls, ws: Workspace) -> "PublishedMoments":
        """Moments of a workspace's training pairs.

        Raises:
            ArtifactError: the workspace has no features yet.
            FeatureError: fewer pairs than dimensions: such sums nearly give the features away.
        """
        params = ws.params()
        train = read_pairs(ws.pairs).filter(pl.col("split") == "train")
        X, Y = (
            FeatureTable.read(ws.features(view)).source(train[f"{view}_hash"].to_list())
            for view in params.view_names
        )
        if len(train) <= max(X.shape[1], Y.shape[1]):
            raise FeatureError(
                f"{len(train)} training pairs of {X.shape[1]} and {Y.shape[1]} dimensions: sums "
                f"of so few pairs nearly give the "
                "features away, so they are not published; gather more pairs than dimensions"
            )
        fold = np.array([int(FOLDS * split_fraction(group, 0)) for group in train["group"]])
        moments = Moments.of_folds(X, Y, fold, precision="float64")
        moments += [Moments.empty(X.shape[1], Y.shape[1])] * (FOLDS - len(moments))
        encoders = {view: fingerprint_of_features(ws.features(view)) for view in params.view_names}
        return cls(encoders, moments, train["group"].n_unique())

    def save(self, path: Path) -> None:
        """Write as one safetensors file, the same bytes every time."""
        tensors = {
            f"{k}.{name}": getattr(fold, name)
            for k, fold in enumerate(self.folds)
            for name in _SUMS
        }
        header = {
            "encoders": list(self.encoders.items()),
            "n": [fold.n for fold in self.folds],
            "groups": self.groups,
        }
        save_tensors(path, _KIND, header, tensors)

    @classmethod
    def load(cls, path: Path) -> "PublishedMoments":
        """Read what `save` wrote.

        Raises:
            ArtifactError: not such a file, or a damaged one.
        """
        header, tensors = load_tensors(path, _KIND)
        try:
            folds = [
                Moments(n, **{name: tensors[f"{k}.{name}"] for name in _SUMS})
                for k, n in enumerate(header["n"])
            ]
            encoders = {str(view): str(fingerprint) for view, fingerprint in header["encoders"]}
            whole = len(folds) == FOLDS and all(
                np.isfinite(fold.cxy).all() and fold.shape == folds[0].shape for fold in folds
            )
            groups = int(header["groups"])
        except (KeyError, TypeError, ValueError):
            whole = False
        if not whole:
            raise ArtifactError(
                f"{path}: damaged, or of another version of csa; its team can write it again "
                f"with `csa moments`"
            )
        return cls(encoders, folds, groups)

    def __add__(self, other: "PublishedMoments") -> "PublishedMoments":
        """The moments of both teams' pairs.

        Raises:
            InputError: they are not of the same views and encoders.
        """
        if list(self.encoders.items()) != list(other.encoders.items()):
            raise InputError(
                f"moments of {_named(self.encoders)} and of {_named(other.encoders)} do not add "
                f"up; the teams must use the same "
                "views, encoders and settings"
            )
        return PublishedMoments(
            self.encoders,
            [a + b for a, b in zip(self.folds, other.folds, strict=True)],
            self.groups + other.groups,
        )


@dataclass(frozen=True, eq=False)
class Merged:
    """A fit on the sum of several teams' moments.

    Attributes:
        files: each with its numbers of pairs and groups.
        model: the fitted estimator.
        retrieval: of the merged fit and of the workspace's own alignment on the workspace's
            held-out pairs; empty without one.
    """

    files: list[dict[str, Any]]
    model: CSA
    retrieval: dict[str, dict[str, RetrievalMetrics]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        facts = {
            "pairs": self.model.alignment_.n_pairs,
            "score": self.model.score_,
            "shrinkage": list(self.model.shrinkage_),
        }
        return {
            "files": self.files,
            **facts,
            "diagnostics": self.model.alignment_.notes,
            "retrieval": {
                name: {direction: measured.as_dict() for direction, measured in ways.items()}
                for name, ways in self.retrieval.items()
            },
        }

    def __str__(self) -> str:
        lines = [
            f"  {file['pairs']:,} pairs in {file['groups']:,} groups from {file['file']}"
            for file in self.files
        ]
        gx, gy = self.model.shrinkage_
        nats = self.model.alignment_.notes.get("mutual_information_nats")
        shared = f", {nats:.1f} nats shared" if nats else ""
        lines.append(
            f"  fit on {self.model.alignment_.n_pairs:,} pairs: {self.model.score_}, shrinkage "
            f"{gx:.2g}, {gy:.2g}{shared}"
        )
        lines += [
            f"  {name:<12}{arrow(direction):<16}{recall_line(measured, (1,))}"
            for name, ways in self.retrieval.items()
            for direction, measured in ways.items()
        ]
        return "\n".join(lines)


def merge(files: tuple[Path, ...], out: Path, ws: Workspace | None) -> Merged:
    """Fit on the sum of published moments, everything chosen by cross-fitting over the folds, and
    save the alignment.

    Moments cannot choose a preparation or a hubness correction, so the fit is the likelihood ratio
    on the features as they are.

    Args:
        files: what `csa moments` wrote, each team's once.
        out: where to write the alignment.
        ws: a workspace whose held-out pairs to measure on; None measures nothing.

    Returns:
        The fit, what each file brought, and what was measured.

    Raises:
        InputError: a file twice, or moments of different encoders, also from the workspace's.
        ArtifactError: a damaged file.
    """
    parts = {file: PublishedMoments.load(file) for file in files}
    if len(parts) < len(files) or len({_identity(part) for part in parts.values()}) < len(parts):
        raise InputError("the same moments are given twice; each team's count once")
    total = sum(list(parts.values())[1:], start=parts[files[0]])
    model = CSA(score="likelihood_ratio").fit_moments(
        sum(total.folds[1:], start=total.folds[0]), total.folds
    )
    retrieval = {} if ws is None else _measured(ws, total, model)
    model.save(out)
    return Merged(
        [
            {"file": str(file), "pairs": part.pairs, "groups": part.groups}
            for file, part in parts.items()
        ],
        model,
        retrieval,
    )


def _measured(
    ws: Workspace, total: PublishedMoments, model: CSA
) -> dict[str, dict[str, RetrievalMetrics]]:
    from csa.core.alignment import load

    params = ws.params()
    own = {view: fingerprint_of_features(ws.features(view)) for view in params.view_names}
    if list(own.items()) != list(total.encoders.items()):
        raise InputError(
            f"the moments are of {_named(total.encoders)}, workspace {ws.name} of {_named(own)}; "
            f"name the right one with -w"
        )
    settings: EvaluateParams = params.evaluate
    held_out = EvaluationData(ws).held_out()
    alignments = {"merged": model.alignment_} | (
        {"own": load(ws.alignment)} if ws.alignment.is_file() else {}
    )
    return {
        name: evaluate(alignment, held_out, settings).metrics.retrieval
        for name, alignment in alignments.items()
    }


def _identity(part: PublishedMoments) -> bytes:
    return b"".join(fold.mean_x.tobytes() for fold in part.folds)


def _named(encoders: dict[str, str]) -> str:
    return ", ".join(f"{view} by {fingerprint[:12]}" for view, fingerprint in encoders.items())
