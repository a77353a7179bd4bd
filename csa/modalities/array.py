"""Rows of features that were computed elsewhere; files of features are opened in csa.datasets."""

from typing import Any

import numpy as np

from csa.modalities.base import Kind


class Array(Kind):
    """A row of a features file, shape (dimensions,): it says nothing to the eye."""

    name, plural = "array", "arrays"

    def holds(self, item: Any, name: str) -> bool:
        """See `Kind.holds`."""
        return isinstance(item, np.ndarray) and item.ndim == 1
