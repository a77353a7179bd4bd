"""What is said where a machine has no room left."""

import errno

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""Errors of a disk that takes nothing more: full, broken, or read-only."""


def beyond_us(error: BaseException) -> str | None:
    """One line about a machine that has no room left: memory, or a disk that takes nothing more.

    Args:
        error: whatever was raised.

    Returns:
        What is wrong and what helps; None where the machine is not to blame.
    """
    if isinstance(error, MemoryError):
        return "not enough memory for this; free some, or ask for less at once"
    if isinstance(error, OSError) and error.errno in OF_THE_DISK:
        where = error.filename or "a file"
        return f"{where}: cannot be written ({error.strerror}); free space, or see to the disk"
    return None
