"""Items in several named views. A row of NaN says that an item lacks a view."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csa.core.matrices import Array, as_matrix, check_finite
from csa.errors import FeatureError, InputError


@dataclass(frozen=True, eq=False)
class Views:
    """Features of the same items in some views.

    Attributes:
        features: view name -> features (n, d), rows of missing items NaN.
        there: view name -> which items have it, shape (n,).
        n: number of items.
    """

    features: dict[str, Array]
    there: dict[str, NDArray[np.bool_]]
    n: int

    @classmethod
    def of(cls, views: Mapping[str, ArrayLike], widths: Mapping[str, int] | None = None) -> "Views":
        """Check features of named views.

        Args:
            views: name -> (n, d); a row that is NaN throughout is an item without that view.
            widths: the dimensions that are expected; other names are refused.

        Returns:
            The views, and which items have them.

        Raises:
            InputError: no view, or an unknown one.
            FeatureError: other shapes, infinity, a row that is NaN in part, different numbers of
                rows.
        """
        if not isinstance(views, Mapping) or not views:
            raise InputError(
                f"give features by view, such as {{'image': X, 'text': Y}}; got "
                f"{type(views).__name__}"
            )
        features: dict[str, Array] = {}
        there: dict[str, NDArray[np.bool_]] = {}
        for name, values in views.items():
            if widths is not None and name not in widths:
                raise InputError(f"unknown view {name!r}; the fit had {', '.join(widths)}")
            matrix = as_matrix(values, name, None if widths is None else widths[name])
            missing: NDArray[np.bool_] = np.asarray(np.isnan(matrix).all(axis=1))
            check_finite(np.where(missing[:, None], 0, matrix), name)
            features[name], there[name] = matrix, ~missing
        rows = {name: len(matrix) for name, matrix in features.items()}
        if len(set(rows.values())) > 1:
            raise FeatureError(
                f"views have different numbers of rows, {rows}: row i of all is one item; fill "
                f"what is missing with NaN"
            )
        return cls(features, there, next(iter(rows.values())))

    def patterns(self) -> Iterator[tuple[tuple[str, ...], NDArray[np.intp]]]:
        """(views that are there, rows) for every combination that occurs."""
        names = list(self.features)
        table = np.column_stack([self.there[name] for name in names])
        kinds, kind = np.unique(table, axis=0, return_inverse=True)
        for k, has in enumerate(kinds):
            yield (
                tuple(name for name, is_there in zip(names, has, strict=True) if is_there),
                np.flatnonzero(kind.ravel() == k),
            )

    def rows_with(self, *names: str) -> NDArray[np.intp]:
        """Rows of the items that have all of these views."""
        return np.flatnonzero(np.logical_and.reduce([self.there[name] for name in names]))
