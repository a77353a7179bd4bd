"""Damage in the SQLite files that Prefect and MLflow keep here, found before either of them
trips over it.
"""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from csa.errors import WorkspaceError
from csa.pipeline.workspace import Workspace

_BESIDE = ("-wal", "-shm", "-journal")


def damage(database: Path) -> str | None:
    """What SQLite says is wrong with a file; None if it is sound, missing, empty, or locked
    by another process.
    """
    if not database.is_file() or not database.stat().st_size:
        return None
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=1)
        ) as connection:
            said = " ".join(str(connection.execute("PRAGMA quick_check(1)").fetchone()[0]).split())
            return None if said == "ok" else said
    except sqlite3.OperationalError:  # locked, or not to be opened: whoever needs it says so
        return None
    except sqlite3.DatabaseError as error:
        return str(error)


def check_registry(database: Path) -> None:
    """Refuse a damaged registry.

    Raises:
        WorkspaceError: it is damaged.
    """
    found = damage(database)
    if found is not None:
        raise WorkspaceError(
            f"{database}: the registry's database is damaged ({found}); restore it from a backup, "
            f"or move it aside: then "
            f"`csa run` registers what is here as version 1, and older versions are left only in "
            f"{database.parent / 'artifacts'}"
        )


def mend_prefect(ws: Workspace) -> str | None:
    """Move Prefect's database aside if it is damaged: it holds the history of runs on its pages,
    and no result.

    Returns:
        What to tell; None if nothing was wrong.
    """
    database = ws.prefect_home / "prefect.db"
    found = damage(database)
    if found is None:
        return None
    aside = database.with_name(f"prefect.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}.db")
    database.rename(aside)
    for ending in _BESIDE:
        database.with_name(database.name + ending).unlink(missing_ok=True)
    return (
        f"Prefect's database was damaged ({found}) and is now {aside}; its history of runs "
        f"starts anew, no result is lost"
    )
