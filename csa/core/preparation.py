"""What is done to one view's features before any statistic is taken: nothing, a norm, a root, or a
kernel.

CCA sees only second moments, so whatever a monotone bend or a norm hides from them is lost. Which
preparation helps is a question to the data; `csa.core.select` answers it by cross-validation.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from csa.core.clusters import cluster_centres, distinct_rows
from csa.core.matrices import Array, Float64
from csa.core.rows import Features, MappedRows, are_many, some_rows
from csa.core.threads import by_rows
from csa.errors import InputError

PreparationName = Literal["raw", "unit", "root", "kernel"]

_MAX_CENTRES = 1000
_ITEMS_PER_CENTRE = 3
# exp(-d^2 / 2 m) at the median squared distance m of two items: wide, so that the kernel bends the
# space and does not shatter it.
_WIDTH = 0.5
_MEDIAN_ITEMS = 300
# Of many rows the kernel is found from so many, as it is where it is chosen.
_MAX_ROWS = 15_000


def _nothing() -> Float64:
    return np.zeros((0, 0))


@dataclass(frozen=True, eq=False)
class Preparation:
    """A fixed map of one view's features.

    - raw: x
    - unit: x / |x|
    - root: sign(x) sqrt|x|, to unit norm (Perronnin et al. 2010): tames features of a few large
    values
    - kernel: u = x / |x|, then exp(-width |u - c_j|^2) at centres c_j, times the inverse root of
      the centres' kernel matrix, so that inner products are those of the kernel (Nystroem; Williams
      & Seeger 2001)

    A zero vector stays zero under unit and root.

    Attributes:
        name: which of these.
        width: of the kernel; 0 otherwise.
        centres: cluster centres c, shape (m, d); of the kernel only, else (0, 0).
        mixing: inverse root of their kernel matrix, shape (m, m').
    """

    name: PreparationName = "raw"
    width: float = 0.0
    centres: Float64 = field(default_factory=_nothing)
    mixing: Float64 = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        # LAPACK returns it column by column, a file row by row; a product's last bits differ.
        object.__setattr__(self, "mixing", np.asfortranarray(self.mixing))

    @classmethod
    def fit(cls, name: str, features: Features, seed: int) -> "Preparation":
        """The named preparation for given training features.

        Args:
            name: "raw", "unit", "root" or "kernel".
            features: of the training pairs, shape (n, d); of many, a random part is looked at.
            seed: of the kernel's cluster centres.

        Returns:
            The preparation; only the kernel's depends on the features.

        Raises:
            InputError: no such preparation.
        """
        known: dict[str, PreparationName] = {known: known for known in get_args(PreparationName)}
        if name not in known:
            raise InputError(f"preparation must be one of {', '.join(known)}, got {name!r}")
        if name != "kernel":
            return cls(known[name])
        from scipy import linalg

        looked_at = some_rows(features, _MAX_ROWS, seed)
        points = unit(looked_at[distinct_rows(looked_at)])
        some = points[np.sort(np.random.default_rng(seed).permutation(len(points))[:_MEDIAN_ITEMS])]
        distances = _squared_distances(some, some)[np.triu_indices(len(some), 1)]
        typical = float(np.median(distances)) if len(distances) else 1.0
        width = _WIDTH / max(typical, np.finfo(np.float64).tiny)
        centres = cluster_centres(
            points, max(1, min(_MAX_CENTRES, len(points) // _ITEMS_PER_CENTRE)), seed
        )
        values, vectors = linalg.eigh(
            np.exp(-width * _squared_distances(centres, centres)), driver="evd"
        )
        keep = values > 1e-7 * values[-1]
        return cls("kernel", width, centres, vectors[:, keep] / np.sqrt(values[keep]))

    def of_rows(self, features: Features) -> Features:
        """Prepared features, shape (n, d) or (n, m'); of many rows they are made when they are
        asked for.
        """
        if self.name == "raw":
            return features
        if are_many(features):
            return MappedRows(features, self)
        return self(np.asarray(features))

    def __call__(self, features: Array) -> Array:
        """Prepared features, shape (n, d) or, for the kernel, (n, m')."""
        return features if self.name == "raw" else by_rows(self._prepared, features)

    def _prepared(self, features: Array) -> Array:
        if features.dtype == np.float16:  # too short for sums of squares
            features = features.astype(np.float32)
        if self.name == "unit":
            return unit(features)
        if self.name == "root":
            return unit(np.sign(features) * np.sqrt(np.abs(features)))
        kernel: Array = (
            np.exp(-self.width * _squared_distances(unit(features), self.centres)) @ self.mixing
        )
        return kernel


RAW = Preparation()


def unit(features: Array) -> Array:
    """Rows brought to unit length; a zero row stays zero."""
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    scaled: Array = np.divide(features, norm, out=np.zeros_like(features), where=norm > 0)
    return scaled


def _squared_distances(a: Array, b: Array) -> Array:
    squared = (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
    positive: Array = np.maximum(squared, 0)
    return positive
