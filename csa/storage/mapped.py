"""Files mapped into memory, which the system counts as the process's own once they were read."""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def release_pages(matrix: NDArray[Any]) -> None:
    """Give the memory of a file-mapped matrix back to the system; it is read again from the file
    when needed.

    Args:
        matrix: mapped from a file, or a part of such a one; nothing is done with any other.
    """
    owner: object = matrix
    while owner is not None and not isinstance(owner, np.memmap):
        owner = getattr(owner, "base", None)
    # Only read-only maps: pages that were written to must stay.
    if isinstance(owner, np.memmap) and owner.mode == "r" and hasattr(mmap, "MADV_DONTNEED"):
        file: mmap.mmap = owner._mmap  # type: ignore[attr-defined]
        file.madvise(mmap.MADV_DONTNEED)
