"""DVC as a process that ends where the disk takes nothing more.

    python -m csa.operations.cache.dvc_process repro evaluate

DVC notes what it knows of files in databases of diskcache. This begins a change again whenever
SQLite says that it cannot, so on a full or broken disk it never ends. Here such an error is one of
the disk, which DVC passes on.
"""

import errno
import os
import sqlite3
import sys
from collections.abc import Callable
from typing import Any

# The lower byte of SQLite's codes is the kind of error.
_KIND = 0xFF
_OF_THE_DISK = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
}


def command_of_dvc(*arguments: str) -> list[str]:
    """The command of such a process.

    Args:
        arguments: as of the command `dvc`.

    Returns:
        The command's words.
    """
    return [sys.executable, "-m", __name__, *arguments]


def end_where_the_disk_does() -> None:
    """From now on the databases of diskcache in this process give up where the disk does."""
    import diskcache  # type: ignore[import-untyped]

    def execute(self: Any) -> Callable[..., Any]:
        statement = self._con.execute

        def run(*arguments: Any, **options: Any) -> Any:
            try:
                return statement(*arguments, **options)
            except sqlite3.OperationalError as error:
                number = _OF_THE_DISK.get(error.sqlite_errorcode & _KIND)
                if number is None:
                    raise
                raise OSError(number, os.strerror(number), self.directory) from error

        return run

    diskcache.Cache._sql = property(execute)


if __name__ == "__main__":
    from dvc.cli import main  # type: ignore[import-untyped]

    end_where_the_disk_does()
    sys.argv[0] = "dvc"  # which others read in the list of who is at work
    sys.exit(main(sys.argv[1:]))
