"""The frozen `Alignment` that a fit leaves behind, and its file.

The file is one safetensors file with a JSON header under the metadata key `csa` (see
`csa.storage.container`): kind "alignment", score, shrinkage, n_pairs, notes, preparation (name and
kernel width of either view) and hubness (null, or strength and neighbours). Tensors, all float64:
mean_x, mean_y, A, B, canonical_correlations, training_correlations, weights; scale_a and scale_b
with a likelihood ratio; hubs_left and hubs_right with a hubness correction; prepare_x_centres,
prepare_x_mixing and the like with a kernel. With a label bridge the header has bridge (view,
temperature and weight), and there are bridge_weights, bridge_bias and bridge_label_features in
float32, bridge_mean_place and bridge_mean_other. Equal alignments have equal bytes.
"""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from csa.core.alignment_checks import check_alignment
from csa.core.base import InnerProducts, one_or_both
from csa.core.bridge import FittedBridge
from csa.core.held import effective_dimension, mutual_information
from csa.core.hubness import HubnessCorrection
from csa.core.matrices import Float64, check_features
from csa.core.preparation import RAW, Preparation
from csa.core.scores import SCORES, Score
from csa.core.shrinkage import Shrinkage
from csa.core.threads import by_rows
from csa.errors import ArtifactError, InputError
from csa.storage.container import load_tensors, save_tensors

if TYPE_CHECKING:  # an alignment that is read and asked needs no scipy, which takes a while
    from csa.core.moments import Moments
    from csa.core.solve import Decomposition

_TENSORS = ("mean_x", "mean_y", "A", "B", "canonical_correlations", "training_correlations")


@dataclass(frozen=True, eq=False)
class Alignment(InnerProducts):
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
        hubness: correction of the score for hubs, if there is one.
        notes: JSON-able facts for people and lineage, such as diagnostics.
        prepare_x, prepare_y: what is done to either view's features first; means and projections
            are of prepared features.
        bridge: labels of an encoder that add to the score, if there are any.
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
    hubness: HubnessCorrection | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    prepare_x: Preparation = RAW
    prepare_y: Preparation = RAW
    bridge: FittedBridge | None = None

    @classmethod
    def of(
        cls, moments: "Moments", decomposition: "Decomposition", shrinkage: Shrinkage, score: Score
    ) -> "Alignment":
        """The alignment of a decomposition, on prepared features and without notes.

        Args:
            moments: of the training pairs.
            decomposition: of these moments.
            shrinkage: it was made under.
            score: on at most as many components as the decomposition has.

        Returns:
            The alignment; `dataclasses.replace` gives it preparation, correction and notes.
        """
        from csa.core.diagnostics import training_correlations

        return cls(
            mean_x=moments.mean_x,
            mean_y=moments.mean_y,
            A=decomposition.A,
            B=decomposition.B,
            canonical_correlations=decomposition.rho,
            training_correlations=training_correlations(decomposition, moments),
            score=score,
            shrinkage=shrinkage,
            n_pairs=moments.n,
        )

    @property
    def score_name(self) -> str:
        """Name of the score, before any hubness correction."""
        return self.score.name

    @property
    def hubness_corrected(self) -> bool:
        """Whether the score is corrected for hubs."""
        return self.hubness is not None

    @property
    def in_nats(self) -> bool:
        """Whether a similarity is a log-likelihood ratio as it stands."""
        return self.score.in_nats and self.hubness is None and self.bridge is None

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
            x = check_features(X, "X", p)
            views.append(by_rows(lambda rows: (self.prepare_x(rows) - self.mean_x) @ self.A, x))
        if Y is not None:
            y = check_features(Y, "Y", q)
            views.append(by_rows(lambda rows: (self.prepare_y(rows) - self.mean_y) @ self.B, y))
        if not views:
            raise InputError("transform needs X, Y or both; got neither")
        return views[0] if len(views) == 1 else tuple(views)

    def index_vectors(self, X: ArrayLike | None = None, Y: ArrayLike | None = None) -> Any:
        """Vectors whose inner products are the similarities: what an inner-product index should
        hold.

        Args:
            X: first-view features, shape (n, p).
            Y: second-view features, shape (m, q).

        Returns:
            Vectors (n, k) or (m, k), or a tuple of both when both views are given.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
            InputError: neither view was given.
        """
        left = None if X is None else self._left(X)
        right = None if Y is None else self._right(Y)
        if self.hubness is not None:
            left = None if left is None else self.hubness.left(left)
            right = None if right is None else self.hubness.right(right)
        return one_or_both(left, right)

    def _left(self, X: ArrayLike) -> Float64:
        left = self.score.left(self.transform(X=X))
        if self.bridge is None:
            return left
        return np.hstack([left, self.bridge.left(check_features(X, "X"))])

    def _right(self, Y: ArrayLike) -> Float64:
        right = self.score.right(self.transform(Y=Y))
        if self.bridge is None:
            return right
        return np.hstack([right, self.bridge.right(check_features(Y, "Y"))])

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, atomically and with the same bytes for the same alignment;
        no pickle, no training data.
        """
        tensors = {
            **{part: getattr(self, part) for part in _TENSORS},
            **self.score.tensors(),
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
            "hubness": None if self.hubness is None else self.hubness.settings(),
        }
        if self.hubness is not None:
            tensors |= self.hubness.tensors()
        if self.bridge is not None:
            header["bridge"] = self.bridge.settings()
            tensors |= self.bridge.tensors()
        for side, prepare in (("prepare_x", self.prepare_x), ("prepare_y", self.prepare_y)):
            if prepare.name == "kernel":
                tensors |= {f"{side}_centres": prepare.centres, f"{side}_mixing": prepare.mixing}
        save_tensors(Path(path), "alignment", header, tensors)

    @property
    def published(self) -> bool:
        """Whether the score is the published one, with in-sample correlations as weights."""
        weights = self.score.weights
        return self.score.in_sample and np.array_equal(
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
        published = self.published or not self.score.in_sample
        return {
            "score": self.score_name,
            "shrinkage": list(self.shrinkage) if published else "auto",
            "n_components": len(self.score.weights) if self.score.truncated else "auto",
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
        if "unpaired" in notes:
            facts["unpaired"] = unpaired_fact(notes["unpaired"])
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
    name, correction, bridge = (header.get(key) for key in ("score", "hubness", "bridge"))
    if not isinstance(name, str) or name not in SCORES:
        raise ArtifactError(
            f"{path}: its score is {name!r}, but this csa knows {', '.join(SCORES)} alone; "
            f"read it with the csa that wrote it, or add the score to csa.core.scores.SCORES"
        )
    try:
        x, y = (
            Preparation(
                view["name"],
                view["width"],
                *(tensors[f"{side}_{part}"] for part in ("centres", "mixing")),
            )
            if view["name"] == "kernel"
            else Preparation(view["name"])
            for side, view in zip(("prepare_x", "prepare_y"), header["preparation"], strict=True)
        )
        alignment = Alignment(
            **{part: tensors[part] for part in _TENSORS},
            score=SCORES[name].of_tensors(tensors),
            shrinkage=Shrinkage(*header["shrinkage"]),
            n_pairs=header["n_pairs"],
            hubness=None
            if correction is None
            else HubnessCorrection.of_tensors(correction, tensors),
            notes=header["notes"],
            prepare_x=x,
            prepare_y=y,
            bridge=None if bridge is None else FittedBridge.of_tensors(bridge, tensors),
        )
    except (KeyError, TypeError, ValueError):
        raise ArtifactError(
            f"{path}: written by another version of csa; fit it again with this one"
        ) from None
    check_alignment(alignment, tensors, str(path))
    return alignment


def unpaired_fact(account: dict[str, Any]) -> str:
    """What a fit made of unpaired items and labels, in a sentence."""
    x, y = account["items"]
    if not account["used"]:
        return (
            f"{x} and {y} items without a partner were looked at, and true pairs were not found "
            f"better by them: the fit is as it was"
        )
    labels = account["labels"]
    return (
        f"{x} and {y} items without a partner at weight {account['weight']:.2f}, "
        f"{'with' if labels else 'without'} labels"
        + ("" if account["checked_on_true_pairs"] else "; nothing was checked on a true pair")
    )


def _few(values: Float64, count: int) -> str:
    return ", ".join(f"{v:.2f}" for v in values[:count]) + (", …" if len(values) > count else "")
