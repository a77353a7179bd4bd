"""What the core accepts as features: real, finite matrices, from numpy, torch or anything numpy
can read.
"""

from collections.abc import Sized
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csa.errors import FeatureError

if TYPE_CHECKING:  # rows are made of matrices
    from csa.core.rows import Features

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]

# Rows looked at together, so that a matrix larger than memory is checked without a mask of its
# size.
_CHECK_VALUES = 4_000_000


def check_pairs(X: ArrayLike, Y: ArrayLike) -> tuple[Array, Array]:
    """Paired features as matrices, or one clear error.

    Args:
        X: first-view features, shape (n, p).
        Y: second-view features, shape (n, q); row i belongs to row i of X.

    Returns:
        Both as matrices, their floating-point types kept.

    Raises:
        FeatureError: not two finite real matrices with the same number of rows.
    """
    x, y = paired_matrices(X, Y)
    check_finite(x, "X")
    check_finite(y, "Y")
    return x, y


def check_features(features: ArrayLike, name: str, dimension: int | None = None) -> Array:
    """Features of one view as a finite real matrix, or one clear error.

    Args:
        features: of one view, shape (n, d).
        name: of the view, for the message.
        dimension: the d that is expected; None for any.

    Returns:
        The matrix (n, d), its floating-point type kept; bfloat16, which numpy does not compute
        with, becomes float32, and numbers that are not floating-point become float64.

    Raises:
        FeatureError: another shape or type, NaN or infinity; the message names the first bad row
            and column.
    """
    matrix = as_matrix(features, name, dimension)
    check_finite(matrix, name)
    return matrix


def paired_matrices(X: ArrayLike, Y: ArrayLike) -> tuple[Array, Array]:
    """Two real matrices with the same number of rows.

    Args:
        X: first-view features, shape (n, p).
        Y: second-view features, shape (n, q); row i belongs to row i of X.

    Returns:
        Both as matrices; their values are not looked at.

    Raises:
        FeatureError: another shape or type, or different numbers of rows.
    """
    x, y = as_matrix(X, "X"), as_matrix(Y, "Y")
    check_same_rows(x, y)
    return x, y


def check_same_rows(x: Sized, y: Sized) -> None:
    """Refuse views of different numbers of rows.

    Args:
        x: first view, n rows.
        y: second view.

    Raises:
        FeatureError: they have not the same number.
    """
    if len(x) != len(y):
        raise FeatureError(
            f"X has {len(x)} rows and Y has {len(y)}: row i of both must be one pair; repeat an "
            f"image once per caption"
        )


def as_matrix(features: ArrayLike, name: str, dimension: int | None = None) -> Array:
    """Features of one view as a real matrix.

    Args:
        features: of one view, shape (n, d).
        name: of the view, for the message.
        dimension: the d that is expected; None for any.

    Returns:
        The matrix, its floating-point type kept; its values are not looked at.

    Raises:
        FeatureError: another shape, or numbers that are not real.
    """
    matrix = _as_array(features)
    if matrix.ndim != 2:
        raise FeatureError(
            f"{name} must be a matrix (items, dimensions), got shape {matrix.shape}; reshape one "
            f"item to (1, d)"
        )
    if not np.issubdtype(matrix.dtype, np.number) or np.issubdtype(
        matrix.dtype, np.complexfloating
    ):
        raise FeatureError(f"{name} must hold real numbers, got {matrix.dtype}")
    if not np.issubdtype(matrix.dtype, np.floating):
        matrix = matrix.astype(np.float64)
    if matrix.shape[1] == 0 or dimension not in (None, matrix.shape[1]):
        raise FeatureError(
            f"{name} has {matrix.shape[1]} dimensions, expected {dimension or 'at least 1'}; was "
            f"another encoder used for it?"
        )
    return matrix


def check_finite(matrix: Array, name: str, first_row: int = 0) -> None:
    """Refuse NaN and infinity.

    Args:
        matrix: features, shape (n, d).
        name: of the view, for the message.
        first_row: number of the matrix's first row in the whole that it is a part of.

    Raises:
        FeatureError: NaN or infinite values; the message counts them and names the first.
    """
    step = max(1, _CHECK_VALUES // matrix.shape[1])
    if all(np.isfinite(matrix[i : i + step]).all() for i in range(0, len(matrix), step)):
        return
    bad = np.concatenate([~np.isfinite(matrix[i : i + step]) for i in range(0, len(matrix), step)])
    row, column = np.unravel_index(bad.argmax(), bad.shape)
    raise FeatureError(
        f"{name} has {bad.sum()} values that are NaN or infinite, the first at row "
        f"{first_row + row}, column {column}; "
        "drop those rows or repair the encoder's output"
    )


def check_varies(matrix: "Features", name: str) -> None:
    """Refuse a constant view.

    Args:
        matrix: features, shape (n, d).
        name: of the view, for the message.

    Raises:
        FeatureError: all rows are the same.
    """
    step = max(1, _CHECK_VALUES // matrix.shape[1])
    if len(matrix) > 1 and all(
        (matrix[i : i + step] == matrix[:1]).all() for i in range(0, len(matrix), step)
    ):
        raise FeatureError(
            f"{name} is constant over its {len(matrix)} rows, so nothing can be aligned; was one "
            f"item embedded for all?"
        )


def _as_array(features: Any) -> Array:
    if hasattr(
        features,
        "detach",
        # a torch tensor, which numpy reads only from the CPU, outside the graph and never as
        # bfloat16
    ):
        features = features.detach().cpu()
        features = features.float() if str(features.dtype) == "torch.bfloat16" else features
    array = np.asarray(features)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
