"""What `csa status` remembers of the champion: as long as nobody wrote to registry, ledger or
trusted keys, MLflow is not opened; whatever somebody writes is seen at once.
"""

import os
import sqlite3
from contextlib import closing

import pytest
from workspaces import bare_workspace, two_versions

from csa.operations.inspection.standing_seen import Seen, look
from csa.operations.ledger.moves import promote
from csa.operations.opened import Project
from csa.operations.registry.registry import Registry


@pytest.fixture(scope="module")
def made(tmp_path_factory, local_registry):
    """Two versions, of which the second is champion; each test changes something of them."""
    return two_versions(tmp_path_factory.mktemp("seen") / "ws")


def unopened(ws, monkeypatch):
    """What is seen where MLflow must not be opened."""
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "client", None)
        return look(Project(ws))


def test_mlflow_is_opened_once(made, monkeypatch):
    ws = made.ws
    first = look(Project(ws))
    assert first == Seen(2, made.runs[1].run_id)
    assert unopened(ws, monkeypatch) == first


def test_a_write_that_leaves_size_and_time_as_they_were_is_seen(made):
    """Within one tick of the file system's clock: SQLite's own count tells of it."""
    registry = Project(made.ws).registry
    before, known = registry.state(), registry.database.stat()
    with closing(sqlite3.connect(registry.database)) as connection, connection:
        connection.execute("UPDATE registered_models SET description = 'another'")
    os.utime(registry.database, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert registry.state() != before
    assert registry.state()[:4] == before[:4]


def test_a_write_ahead_log_is_asked_each_time(made):
    registry = Project(made.ws).registry
    with closing(sqlite3.connect(registry.database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        assert registry.state() is None
        connection.execute("PRAGMA journal_mode = DELETE")
    assert registry.state() is not None


def test_without_a_registry_nothing_is_opened(tmp_path, local_registry, monkeypatch):
    ws = bare_workspace(tmp_path / "ws", {})
    assert unopened(ws, monkeypatch) == Seen()


def test_a_new_list_of_keys_and_an_edited_ledger_are_seen(made, monkeypatch):
    ws = made.ws
    seen = look(Project(ws))
    (ws.home / "trusted-keys.toml").write_text("")
    with pytest.raises(TypeError):  # the client is None: MLflow is asked
        unopened(ws, monkeypatch)
    (ws.home / "trusted-keys.toml").unlink()
    assert unopened(ws, monkeypatch) == seen
    written = ws.ledger.read_text()
    ws.ledger.write_text(ws.ledger.read_text().replace("promote", "prOmote", 1))
    edited = look(Project(ws))
    assert edited.version == 2 and "edited" in edited.note
    with pytest.raises(TypeError):
        unopened(ws, monkeypatch)
    ws.ledger.write_text(written)


def test_whatever_somebody_writes_is_seen(made, monkeypatch):
    ws = made.ws
    look(Project(ws))
    promote(Project(ws), 1, "tried")
    seen = look(Project(ws))
    assert seen == Seen(1, made.runs[0].run_id)
    assert unopened(ws, monkeypatch) == seen

    project = Project(ws)
    project.registry.set_champion(2)  # past the ledger, as on MLflow's page
    moved = look(Project(ws))
    assert moved.version == 2 and "moved outside csa" in moved.note
    assert unopened(ws, monkeypatch) == moved, "a note is remembered too"
