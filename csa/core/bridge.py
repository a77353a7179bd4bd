"""The labels that an encoder was trained on, as a bridge between the views.

A classifier's head gives every item soft labels, every label has a text, and the text encoder
embeds it: so each item has a place in the other view's space before one pair was seen (convex
combinations of label embeddings; Norouzi et al. 2013).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from csa.core.matrices import Array, Float32, Float64, check_features
from csa.core.preparation import unit
from csa.errors import InputError

TEMPERATURES = (1.0, 2.0, 4.0)
DEFAULT_TEMPERATURE = 2.0


class LabelBridge:
    """A classifier's head on one view's features, and the other view's features of its labels.

    e(x) = sum_c softmax((W x + b) / T)_c t_c, t_c = the unit-length features of label c.

    Args:
        weights: W of the head, shape (C, p); of a ridge, a linear discriminant or a network's last
            layer.
        bias: b of the head, shape (C,).
        label_features: features of the labels by the other view's encoder, such as those of
            "name: definition", shape (C, q).
        temperature: T above 0, or "auto": held-out retrieval of true pairs chooses; 2 without any.
        view: "x" if the first view has the head, "y" if the second has (W is then (C, q), and the
            label features are (C, p)).

    Raises:
        FeatureError: not finite real matrices.
        InputError: shapes that do not belong together, an impossible temperature or view.

    >>> head, texts = [[4.0, 0.0], [0.0, 4.0]], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    >>> bridge = LabelBridge(head, [0.0, 0.0], texts, temperature=1.0)
    >>> bridge.places([[2.0, 0.0], [1.0, 1.0]], 1.0).round(2).tolist()
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]
    """

    def __init__(
        self,
        weights: ArrayLike,
        bias: ArrayLike,
        label_features: ArrayLike,
        temperature: Literal["auto"] | float = "auto",
        view: Literal["x", "y"] = "x",
    ):
        head = check_features(weights, "weights")
        self.weights: Float32 = np.ascontiguousarray(head, np.float32)  # so that a file's is equal
        texts = check_features(label_features, "label_features")
        self.label_features: Float32 = np.ascontiguousarray(
            unit(texts.astype(np.float64)), np.float32
        )
        self.bias: Float32 = np.asarray(bias, dtype=np.float32)
        labels = len(self.weights)
        if self.bias.shape != (labels,) or len(texts) != labels or labels < 2:
            raise InputError(
                f"a bridge needs one row of weights, one bias and one row of label_features a "
                f"label, and 2 labels or more; got {self.weights.shape}, {self.bias.shape} and "
                f"{texts.shape}"
            )
        if view not in ("x", "y"):
            raise InputError(f"view must be 'x' or 'y', whichever the head reads; got {view!r}")
        named = isinstance(temperature, str)
        if (named and temperature != "auto") or (not named and not float(temperature) > 0):
            raise InputError(f"temperature must be 'auto' or above 0, got {temperature!r}")
        self.temperature = temperature
        self.view = view

    @classmethod
    def from_labelled(
        cls,
        X: ArrayLike,
        label_of: ArrayLike,
        label_features: ArrayLike,
        view: Literal["x", "y"] = "x",
    ) -> "LabelBridge":
        """A bridge from items of one view that carry labels, such as folders of pictures.

        The head is the linear discriminant (Fisher 1936) with equal priors: W_c = S^-1 m_c, b_c =
        -m_c' S^-1 m_c / 2, with m_c the mean of class c and S the covariance within classes, shrunk
        by the oracle approximation (Chen et al. 2010).

        Args:
            X: features of the labelled items, shape (n, p).
            label_of: number of each item's label, a row of `label_features`, shape (n,).
            label_features: features of the labels by the other view's encoder, shape (C, q).
            view: that the items are of.

        Returns:
            A bridge of the labels that have an item.

        Raises:
            FeatureError: not finite real matrices.
            InputError: labels that are no rows of `label_features`, or fewer than 2 of them.

        >>> X = [[0.0, 1.0], [0.2, 1.1], [3.0, 0.0], [3.1, 0.2]]
        >>> bridge = LabelBridge.from_labelled(X, [0, 0, 1, 1], [[1.0, 0.0], [0.0, 1.0]])
        >>> bridge.places(X, 1.0).argmax(axis=1).tolist()
        [0, 0, 1, 1]
        """
        x = check_features(X, "X").astype(np.float64)
        texts = check_features(label_features, "label_features")
        labels = np.asarray(label_of)
        if labels.shape != (len(x),) or not np.issubdtype(labels.dtype, np.integer):
            raise InputError(
                f"label_of must be one whole number per item, shape ({len(x)},); got "
                f"{labels.dtype} of shape {labels.shape}"
            )
        there, number = np.unique(labels, return_inverse=True)
        if len(there) < 2 or there[0] < 0 or there[-1] >= len(texts):
            raise InputError(
                f"label_of must name 2 or more of the {len(texts)} rows of label_features; got "
                f"{len(there)} labels from {there.min(initial=0)} to {there.max(initial=0)}"
            )
        means = np.array([x[number == c].mean(axis=0) for c in range(len(there))])
        weights = np.linalg.solve(_within(x - means[number]), means.T).T
        return cls(weights, -np.einsum("cp,cp->c", weights, means) / 2, texts[there], "auto", view)

    def logits(self, features: Array) -> Float64:
        """W x + b, shape (n, C)."""
        logits: Float64 = features.astype(np.float64) @ self.weights.T.astype(np.float64)
        return logits + self.bias

    def places(self, features: ArrayLike, temperature: float) -> Float64:
        """e(x), where items lie in the other view's space.

        Args:
            features: of the view with the head, as the encoder gave them, shape (n, d).
            temperature: T.

        Returns:
            Places, shape (n, d'), d' the other view's dimensions.
        """
        own = check_features(features, "features", self.weights.shape[1])
        return self.mixture(self.logits(own), temperature)

    def mixture(self, logits: Float64, temperature: float) -> Float64:
        """e(x) of logits.

        Args:
            logits: from `logits`, shape (n, C).
            temperature: T.

        Returns:
            Places, shape (n, d').
        """
        from scipy.special import softmax

        places: Float64 = softmax(logits / temperature, axis=1) @ self.label_features
        return places

    def check_dimensions(self, p: int, q: int) -> None:
        """Refuse features that the head or the labels do not belong to.

        Args:
            p, q: dimensions of the first and of the second view.

        Raises:
            InputError: other dimensions than the bridge's.
        """
        head, texts = self.weights.shape[1], self.label_features.shape[1]
        wanted = (head, texts) if self.view == "x" else (texts, head)
        if wanted != (p, q):
            raise InputError(
                f"the bridge of view {self.view!r} reads features of {wanted[0]} and "
                f"{wanted[1]} dimensions, and the views have {p} and {q}; its head belongs on the "
                f"encoder's own features, its labels to the other view's encoder, and view='y' "
                f"says that the second view has the head"
            )


def _within(residuals: Float64) -> Float64:
    """Covariance of residuals (n, p), shrunk towards its mean eigenvalue by OAS."""
    n, p = residuals.shape
    S = residuals.T @ residuals / n
    trace, square = float(np.trace(S)), float((S**2).sum())
    distance = (n + 1 - 2 / p) * (square - trace**2 / p)
    g = 1.0 if distance <= 0 else min(1.0, ((1 - 2 / p) * square + trace**2) / distance)
    floor = max(g * trace / p, np.finfo(np.float64).tiny)
    within: Float64 = (1 - g) * S + floor * np.eye(p)
    return within


@dataclass(frozen=True, eq=False)
class FittedBridge:
    """A bridge with what a fit chose for it: what stands beside a score and adds dimensions to its
    index vectors.

    kappa Z(x, y) = weight cos(e(x) - mean_e, y - mean_y), the weight kappa over the standard
    deviation of the cosine among items.

    Attributes:
        head: the bridge.
        temperature: T in use.
        weight: of the cosine in the score, above 0.
        mean_place: mean of e over the items of its view, shape (d',).
        mean_other: mean of the other view's features, shape (d',).
    """

    head: LabelBridge
    temperature: float
    weight: float
    mean_place: Float64
    mean_other: Float64

    def left(self, X: Array) -> Float64:
        """First-view features (n, p) to further index dimensions (n, d')."""
        return self._of_head(X) if self.head.view == "x" else self.other(X)

    def right(self, Y: Array) -> Float64:
        """Second-view features (m, q) to further index dimensions (m, d')."""
        return self.other(Y) if self.head.view == "x" else self._of_head(Y)

    def settings(self) -> dict[str, Any]:
        """What a file's header keeps of it."""
        return {
            "temperature": self.temperature,
            "weight": self.weight,
            "view": self.head.view,
        }

    def tensors(self) -> dict[str, Array]:
        """What a file keeps of it, by name."""
        return {
            "bridge_weights": self.head.weights,
            "bridge_bias": self.head.bias,
            "bridge_label_features": self.head.label_features,
            "bridge_mean_place": self.mean_place,
            "bridge_mean_other": self.mean_other,
        }

    @classmethod
    def of_tensors(
        cls, settings: Mapping[str, Any], tensors: Mapping[str, Array]
    ) -> "FittedBridge":
        """The bridge that a file keeps.

        Args:
            settings: from the header.
            tensors: of the file, among which are others.

        Returns:
            The bridge, bit for bit.

        Raises:
            KeyError: a tensor is missing.
        """
        head = LabelBridge.__new__(LabelBridge)
        head.weights, head.bias = tensors["bridge_weights"], tensors["bridge_bias"]
        head.label_features = tensors["bridge_label_features"]
        head.temperature, head.view = settings["temperature"], settings["view"]
        return cls(
            head,
            settings["temperature"],
            settings["weight"],
            tensors["bridge_mean_place"],
            tensors["bridge_mean_other"],
        )

    def placed(self, places: Float64) -> Float64:
        """Index dimensions of items whose e(x) are given, both of shape (n, d')."""
        placed: Float64 = self.weight * unit(places - self.mean_place)
        return placed

    def other(self, features: Array) -> Float64:
        """Index dimensions of the other view's items, both of shape (n, d')."""
        other: Float64 = unit(features.astype(np.float64) - self.mean_other)
        return other

    def _of_head(self, features: Array) -> Float64:
        return self.placed(self.head.mixture(self.head.logits(features), self.temperature))
