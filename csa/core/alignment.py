"""The frozen `Alignment` that a fit leaves behind, and its file.

The file is one safetensors file with a JSON header under the metadata key `csa` (see
`csa.storage.container`): kind "alignment", score, shrinkage, n_pairs, notes, preparation (name and
kernel width of either view) and hubness (null, or strength and neighbours). Tensors, all float64:
mean_x, mean_y, A, B, canonical_correlations, training_correlations, weights; scale_a and scale_b
with a likelihood ratio; hubs_left and hubs_right with a hubness correction; prepare_x_centres,
prepare_x_mixing and the like with a kernel. Equal alignments have equal bytes.
"""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csa.core.crossfit import Shrinkage
from csa.core.matrices import Float64, check_features, check_pairs
from csa.core.preparation import RAW, Preparation
from csa.core.scores import (
    CanonicalScore,
    HubnessCorrectedScore,
    LikelihoodRatioScore,
    PairScore,
    Score,
    ScoreName,
    effective_dimension,
    mutual_information,
)
from csa.errors import ArtifactError, InputError
from csa.storage.container import load_tensors, save_tensors


@dataclass(frozen=True, eq=False)
class Alignment:
    """Two views in one space: what a fit leaves behind. Holds no training data.

    Attributes:
        mean_x, mean_y: training means, shapes (p,) and (q,).
        A, B: canonical projections, shapes (p, r) and (q, r).
        canonical_correlations: rho, descending, shape (r,): singular values of the (shrunk)
            whitened cross moment, at most 1.
        training_correlations: of each canonical pair over the training pairs, shape (r,); rho where
            there is no shrinkage.
        score: how pairs of coordinates are compared.
        shrinkage: (gx, gy) that was used.
        n_pairs: training pairs.
        notes: JSON-able facts for people and lineage, such as diagnostics.
        prepare_x, prepare_y: what is done to either view's features first; means and projections
            are of prepared features.
    """

    mean_x: Float64
    mean_y: Float64
    A: Float64
    B: Float64
    canonical_correlations: Float64
    training_correlations: Float64
    score: Score
    shrinkage: Shrinkage
    n_pairs: int
    notes: dict[str, Any] = field(default_factory=dict)
    prepare_x: Preparation = RAW
    prepare_y: Preparation = RAW

    @property
    def score_name(self) -> ScoreName:
        """Name of the score, before any hubness correction."""
        return self.score.name

    @property
    def hubness_corrected(self) -> bool:
        """Whether the score is corrected for hubs."""
        return isinstance(self.score, HubnessCorrectedScore)

    @property
    def dimensions(self) -> tuple[int, int]:
        """Dimensions (p, q) of the features that are taken."""
        p, q = (
            len(prepare.centres[0]) if prepare.name == "kernel" else len(mean)
            for prepare, mean in ((self.prepare_x, self.mean_x), (self.prepare_y, self.mean_y))
        )
        return p, q

    def transform(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Canonical coordinates of either view, or of both.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            (X - mean_x) A, shape (n, r), X prepared; or (Y - mean_y) B, shape (m, r); a tuple of
            both when both are given.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
            InputError: neither view was given.
        """
        views = []
        p, q = self.dimensions
        if X is not None:
            views.append((self.prepare_x(check_features(X, "X", p)) - self.mean_x) @ self.A)
        if Y is not None:
            views.append((self.prepare_y(check_features(Y, "Y", q)) - self.mean_y) @ self.B)
        if not views:
            raise InputError("transform needs X, Y or both; got neither")
        return views[0] if len(views) == 1 else tuple(views)

    def index_vectors(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Vectors whose inner products are the similarities: what an inner-product index should
        hold.

        Args and errors as of `transform`; returns matrices (n, k), (m, k) for one k.
        """
        left = None if X is None else self.score.left(self.transform(X=X))
        right = None if Y is None else self.score.right(self.transform(Y=Y))
        if left is None and right is None:
            raise InputError("index_vectors needs X, Y or both; got neither")
        return (
            (left, right)
            if left is not None and right is not None
            else right
            if left is None
            else left
        )

    def similarity(self, X: ArrayLike, Y: ArrayLike) -> Float64:
        """Similarity of every row of X (n, p) to every row of Y (m, q); shape (n, m), higher is
        more alike.
        """
        left, right = self.index_vectors(X, Y)
        scores: Float64 = left @ right.T
        return scores

    def score_pairs(self, X: ArrayLike, Y: ArrayLike) -> Float64:
        """Similarity of row i of X (n, p) to row i of Y (n, q); shape (n,)."""
        left, right = self.index_vectors(*check_pairs(X, Y))
        scores: Float64 = np.einsum("ik,ik->i", left, right)
        return scores

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, atomically and with the same bytes for the same alignment;
        no pickle, no training data.
        """
        tensors = {
            "mean_x": self.mean_x,
            "mean_y": self.mean_y,
            "A": self.A,
            "B": self.B,
            "canonical_correlations": self.canonical_correlations,
            "training_correlations": self.training_correlations,
            "weights": self.score.weights,
        }
        header = {
            "score": self.score_name,
            "shrinkage": list(self.shrinkage),
            "n_pairs": self.n_pairs,
            "notes": self.notes,
            "preparation": [
                {"name": view.name, "width": view.width}
                for view in (self.prepare_x, self.prepare_y)
            ],
            "hubness": None,
        }
        base = self.score
        if isinstance(base, HubnessCorrectedScore):
            header["hubness"] = {"strength": base.strength, "neighbours": base.neighbours}
            tensors |= {"hubs_left": base.hubs_left, "hubs_right": base.hubs_right}
            base = base.base
        if isinstance(base, LikelihoodRatioScore):
            tensors |= {"scale_a": base.scale_a, "scale_b": base.scale_b}
        for side, prepare in (("prepare_x", self.prepare_x), ("prepare_y", self.prepare_y)):
            if prepare.name == "kernel":
                tensors |= {f"{side}_centres": prepare.centres, f"{side}_mixing": prepare.mixing}
        save_tensors(Path(path), "alignment", header, tensors)

    @property
    def published(self) -> bool:
        """Whether the score is the published one, with in-sample correlations as weights."""
        weights = self.score.weights
        return self.score_name == "canonical" and np.array_equal(
            weights, self.canonical_correlations[: len(weights)]
        )

    def choices(self) -> dict[str, Any]:
        """The parameters of `CSA` under which a fit chooses as this one did, without a search:
        `CSA(**alignment.choices())`.

        On the same pairs it comes to the same alignment, but for a kernel's cluster centres where a
        search would fit those on a sample, and for rounding in the published score. The canonical
        score with cross-fitted weights leaves the shrinkage to the fit: named with a shrinkage, it
        is the published one, with in-sample weights.
        """
        canonical = self.score_name == "canonical"
        return {
            "score": self.score_name,
            "shrinkage": list(self.shrinkage) if self.published or not canonical else "auto",
            "n_components": len(self.score.weights) if canonical else "auto",
            "preparation": [self.prepare_x.name, self.prepare_y.name],
            "hubness": self.hubness_corrected,
        }

    def facts(self) -> dict[str, str]:
        """What a person should know of this alignment: a short name and a sentence each."""
        rho, w, notes = self.training_correlations, self.score.weights, self.notes
        facts = {
            "features": " and ".join(
                f"{d}-d{'' if prepare.name == 'raw' else f' ({prepare.name})'}"
                for d, prepare in zip(
                    self.dimensions, (self.prepare_x, self.prepare_y), strict=True
                )
            ),
            "pairs": str(self.n_pairs),
            "score": f"{self.score_name.replace('_', ' ')}"
            f"{', hubness corrected' if self.hubness_corrected else ''}, "
            f"{len(w)} components",
            "shrinkage": f"{self.shrinkage[0]:.3g} and {self.shrinkage[1]:.3g}",
            "weights": f"{_few(w, 5)} (in-sample correlations {_few(rho, 3)})",
            "signal": f"{mutual_information(np.minimum(w, 0.999)):.1f} nats, effective dimension "
            f"{effective_dimension(w):.0f}",
        }
        if notes.get("held_out_mrr") is not None:
            facts["held out"] = f"mean reciprocal rank {notes['held_out_mrr']:.3f} inside the folds"
        if notes.get("shared_signal") is False:
            facts["verdict"] = (
                "no shared signal: held-out folds do not show that the two views have anything in "
                "common"
            )
        return facts

    def __str__(self) -> str:
        return "CSA alignment\n" + "\n".join(
            f"  {name:10} {text}" for name, text in self.facts().items()
        )

    def _repr_html_(self) -> str:
        rows = (
            f"<tr><th style='text-align:left'>{escape(k)}</th><td>{escape(v)}</td></tr>"
            for k, v in self.facts().items()
        )
        return f"<table><caption>CSA alignment</caption>{''.join(rows)}</table>"


def load(path: str | Path) -> Alignment:
    """Read an alignment that `save` wrote, bit for bit.

    Raises:
        ArtifactError: no such file, not an alignment, or a damaged one.
    """
    header, tensors = load_tensors(Path(path), "alignment")
    x, y = (
        Preparation(
            view["name"],
            view["width"],
            *(tensors.pop(f"{side}_{part}") for part in ("centres", "mixing")),
        )
        if view["name"] == "kernel"
        else Preparation(view["name"])
        for side, view in zip(("prepare_x", "prepare_y"), header["preparation"], strict=True)
    )
    gx, gy = header["shrinkage"]
    score = _load_score(header, tensors)
    try:
        return Alignment(
            score=score,
            shrinkage=(gx, gy),
            n_pairs=header["n_pairs"],
            notes=header["notes"],
            prepare_x=x,
            prepare_y=y,
            **tensors,
        )
    except TypeError:
        raise ArtifactError(
            f"{path}: written by another version of csa; fit it again with this one"
        ) from None


def _load_score(header: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Score:
    """The score of a file, whose tensors it takes out."""
    weights, name = tensors.pop("weights"), header["score"]
    base: PairScore = (
        CanonicalScore(weights)
        if name == "canonical"
        else LikelihoodRatioScore(
            weights,
            tensors.pop("scale_a"),
            tensors.pop("scale_b"),
            name == "normalised_likelihood_ratio",
        )
    )
    if header["hubness"] is None:
        return base
    return HubnessCorrectedScore(
        base, tensors.pop("hubs_left"), tensors.pop("hubs_right"), **header["hubness"]
    )


def _few(values: Float64, count: int) -> str:
    return ", ".join(f"{v:.2f}" for v in values[:count]) + (", …" if len(values) > count else "")
