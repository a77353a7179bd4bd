"""What is asked of rows before they become pairs."""

from dataclasses import dataclass
from pathlib import Path

from csa.params.data import DatasetParams
from csa.params.views import ViewParams


@dataclass(frozen=True)
class Building:
    """How rows become pairs.

    Args:
        views: the two views, in order.
        params: of the data set.
        root: the data set's folder.
        progress: show a progress bar while files are decoded.
        to_fit: whether there must be enough pairs to train on and some held out.
        forgotten: sha256 of items; rows with one of them are left out as if they had never been
            there.
    """

    views: dict[str, ViewParams]
    params: DatasetParams
    root: Path
    progress: bool = True
    to_fit: bool = True
    forgotten: frozenset[str] = frozenset()
