"""Faults that were put there on purpose: damaged databases, a full disk, killed schedules,
models that hide a pickle.
"""

import os
import pickle
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from click.testing import CliRunner
from own_project import environment
from small_repo import SmallRepo
from waiting import wait_for
from workspaces import STAGES, make_workspace

from csa.cli import main as cli
from csa.errors import ArtifactError, RefusedError, RegistryError, StageError, WorkspaceError
from csa.flows import retrain, schedule
from csa.operations.ledger import standing
from csa.operations.opened import Project
from csa.operations.registry import databases, downloads
from csa.operations.registry.registering import register
from csa.operations.runs.records import record_run

SUPPORT = Path(__file__).parents[1] / "support"


def database(path, rows=3000):
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x TEXT)")
        connection.executemany(
            "INSERT INTO t VALUES (?)", [(f"row {i}" * 20,) for i in range(rows)]
        )
        connection.commit()
    return path


DAMAGES = {
    "garbage": lambda content: b"garbage" * 1000,
    "truncated": lambda content: content[: len(content) // 2],
    "overwritten": lambda content: content[:5000] + b"\xff" * 9000 + content[14000:],
}


@pytest.mark.parametrize("how", DAMAGES)
def test_damage_in_a_database_is_told_from_what_is_none(tmp_path, how):
    path = database(tmp_path / "some folder" / "it's 100 % a.db")
    assert databases.damage(path) is None and databases.damage(tmp_path / "gone") is None
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert databases.damage(path) is None, "a busy database is not damaged"
    path.write_bytes(DAMAGES[how](path.read_bytes()))
    assert databases.damage(path)
    path.write_bytes(b"")
    assert databases.damage(path) is None, "SQLite takes an empty file for a new database"


def test_prefects_damaged_database_is_moved_aside(tmp_path):
    ws = make_workspace(tmp_path / "repo")
    path = database(ws.prefect_home / "prefect.db")
    assert databases.mend_prefect(ws) is None
    path.with_name("prefect.db-wal").write_bytes(b"of the damaged one")
    content = DAMAGES["truncated"](path.read_bytes())
    path.write_bytes(content)
    said = databases.mend_prefect(ws)
    aside = next(ws.prefect_home.glob("prefect.damaged-*.db"))
    assert str(aside) in said and aside.read_bytes() == content
    assert sorted(file.name for file in ws.prefect_home.iterdir()) == [aside.name]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_registry_is_one_line_and_stays_as_it_is(tmp_path, monkeypatch, how):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ws = make_workspace(tmp_path / "repo")
    path = database(Project(ws).registry.database)
    content = DAMAGES[how](path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(
        WorkspaceError,
        match=r"mlflow\.db: the registry's database is damaged .* restore it from a backup",
    ):
        Project(ws).registry.versions()
    assert path.read_bytes() == content


@pytest.mark.pipeline
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(tmp_path):
    repo = SmallRepo(tmp_path / "repo")
    limited = (
        "import resource, runpy, sys\n"
        # as a full disk, files cannot grow
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "sys.argv = ['csa.pipeline', *sys.argv[1:]]; runpy.run_module('csa.pipeline', "
        "run_name='__main__')"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-m", "csa.pipeline", "ingest"],
        cwd=repo.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [sys.executable, "-c", limited, "embed", "image"],
        cwd=repo.root,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("csa: ")]
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert (
        len(lines) == 1
        and "cannot be written (File too large); free space or fix its permissions" in lines[0]
    )
    assert not list(repo.root.rglob("*.tmp")) and not (repo.root / "data" / "features").exists()
    done = repo.run_here()
    assert (
        done["model"]["version"] == 1
        and done["features"]["image"]["computed"] + done["features"]["image"]["reused"] == 64
    )


@pytest.mark.parametrize("room", [0, 3000], ids=["no room at all", "room for small files"])
def test_a_disk_that_fills_up_inside_mlflow_is_one_error_and_the_next_try_goes_on(tmp_path, room):
    root = tmp_path / "repo"
    script = (
        "import resource, signal, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from csa.errors import RegistryError; from workspaces import STAGES, make_workspace\n"
        "from csa.operations.opened import Project\n"
        "from csa.operations.registry.registering import register\n"
        "from csa.operations.registry.versions import Registered\n"
        "from csa.operations.runs.records import record_run\n"
        "ws = make_workspace(Path(sys.argv[1]), seed=0)\n"
        "assert register(Project(ws).registry, record_run(Project(ws), STAGES)[0]).version == 1\n"
        "ws = make_workspace(Path(sys.argv[1]), seed=1)\n"
        "run = record_run(Project(ws), STAGES)[0]\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"  # as on a full disk, files cannot grow
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))\n"
        "try:\n    register(Project(ws).registry, run)\n"
        "except RegistryError as error:\n    print(error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, "
        "resource.RLIM_INFINITY))\n"
        "assert [version.version for version in Project(ws).registry.versions()] == [1]\n"
        "assert register(Project(ws).registry, run) == Registered(2, True)\n"
    )
    command = [sys.executable, "-c", script, str(root), str(SUPPORT), str(room)]
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING")
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert (
        "mlflow.db cannot be used (disk I/O error): is the disk full" in done.stdout
        and "Traceback" not in done.stderr
    )


def test_a_registry_out_of_reach_is_one_line(tmp_path, monkeypatch):
    ws = make_workspace(tmp_path / "repo")
    monkeypatch.chdir(ws.root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for command in (
        ["models"],
        ["compare", "1", "2"],
        ["rollback", "--reason", "x"],
        ["promote", "1", "--reason", "x"],
        ["ledger"],
    ):
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 2 and len(done.stderr.strip().splitlines()) == 1, (
            command,
            done.stderr,
            done.exception,
        )
        assert (
            "the registry at http://127.0.0.1:9 cannot be used (Connection refused): is the "
            "server up" in done.stderr
        )
    assert "cannot be used" in standing.note(Project(ws)), "`csa status` says it and goes on"


@pytest.mark.pipeline
@pytest.mark.parametrize("fault", ["a disk without room", "a server out of reach"])
def test_prefect_that_cannot_work_is_one_error(tmp_path, fault):
    repo = SmallRepo(tmp_path / "repo")
    limit = (
        "(3000, 3000)"
        if fault == "a disk without room"
        else "(resource.RLIM_INFINITY, resource.RLIM_INFINITY)"
    )
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, {limit})\n"
        "from csa.cli import main; main(['run'], prog_name='csa')"
    )
    server = (
        {"PREFECT_API_URL": "http://127.0.0.1:9/api"} if fault == "a server out of reach" else {}
    )
    before = repo.state()
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=repo.root,
        capture_output=True,
        text=True,
        check=False,
        env=environment(**server),
    )
    ours = [line for line in done.stderr.splitlines() if line.startswith("csa: ")]
    assert (
        done.returncode == 2
        and len(ours) == 1
        and "cannot be used" in ours[0]
        and "goes on from here" in ours[0]
    ), done.stderr
    assert "flows/retrain.py" not in done.stderr, "no traceback of ours"
    assert repo.state() == before


def test_a_registry_that_fails_is_tried_again_and_an_error_of_ours_is_not():
    def state(error):
        return SimpleNamespace(result=lambda raise_on_failure: error)

    assert retrain._may_pass(None, None, state(RegistryError("gone"))) and retrain._may_pass(
        None, None, state(OSError())
    )
    assert not retrain._may_pass(None, None, state(WorkspaceError("not so")))


def test_a_run_ends_tidily_when_the_schedule_that_started_it_is_killed(tmp_path):
    child = (
        "import sys, time; from pathlib import Path; from csa.flows.environment import "
        "end_with_parent\n"
        "end_with_parent(); Path(sys.argv[1]).write_text('started')\n"
        "try:\n    time.sleep(100)\n"
        "except KeyboardInterrupt:\n    Path(sys.argv[1]).write_text('ended')"
    )
    parent = (
        "import os, subprocess, sys; from csa.flows.environment import PARENT\n"
        "subprocess.run([sys.executable, '-c', sys.argv[1], sys.argv[2]], env=os.environ | "
        "{PARENT: str(os.getpid())},"
        " start_new_session=True)"
    )
    mark = tmp_path / "mark"
    with subprocess.Popen([sys.executable, "-c", parent, child, str(mark)]) as process:
        wait_for(lambda: mark.is_file() and mark.read_text() == "started")
        (started,) = psutil.Process(process.pid).children()
        process.kill()
    wait_for(lambda: mark.read_text() == "ended")
    wait_for(lambda: not started.is_running() or started.status() == psutil.STATUS_ZOMBIE)


def test_a_killed_or_crashed_run_is_tried_again_and_a_refused_one_is_not(
    tmp_path, monkeypatch, capsys
):
    ws, calls = make_workspace(tmp_path / "repo"), tmp_path / "calls"
    monkeypatch.setattr(schedule, "_PAUSES", (0.01, 0.01))
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "calls = Path(sys.argv[1]); n = len(calls.read_text()) if calls.exists() else 0; "
        "calls.write_text('x' * (n + 1))\n"
        "what = sys.argv[2].split(',')[n]\n"
        "if what == 'kill': os.kill(os.getpid(), signal.SIGKILL)\n"
        "if what == 'crash': raise RuntimeError('a bug')\n"
        "if what == 'refuse': sys.exit(print('csa: refused: leakage', file=sys.stderr) or 1)\n"
        "if what == 'wrong': sys.exit(print('csa: error: no such file', file=sys.stderr) or 2)\n"
        "print('{}')"
    )

    def outcome(*story):
        calls.unlink(missing_ok=True)
        monkeypatch.setattr(
            schedule.Plan,
            "command",
            lambda plan: [sys.executable, "-c", script, str(calls), ",".join(story)],
        )
        return schedule._run(schedule.Plan(), ws)

    assert outcome("kill", "crash", "fine") == {} and len(calls.read_text()) == 3
    said = capsys.readouterr().err
    assert "killed by SIGKILL; once more" in said and "RuntimeError: a bug; once more" in said
    with pytest.raises(RefusedError, match=r"^leakage$"):
        outcome("refuse")
    with pytest.raises(StageError, match=r"^no such file$"):
        outcome("wrong")
    with pytest.raises(StageError, match="killed by SIGKILL"):
        outcome("kill", "kill", "kill")


class Bomb:
    """What a pickle can do to whoever loads it."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_model_that_hides_a_pickle_is_refused_and_not_loaded(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ws = make_workspace(tmp_path / "repo")
    run, _ = record_run(Project(ws), STAGES)
    version = Project(ws).registry.version(register(Project(ws).registry, run).version)
    folder = next((ws.state / "mlflow" / "artifacts").rglob("MLmodel")).parent
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert not [
        file for file in files if file.suffix in (".pkl", ".pickle", ".joblib", ".pt", ".bin")
    ]
    assert not [file for file in files if file.read_bytes()[:1] == b"\x80"], (
        "the first byte of a pickle"
    )
    assert downloads.verify_model(Project(ws).registry, version) > 0

    monkeypatch.chdir(tmp_path)
    (folder / "python_model.pkl").write_bytes(pickle.dumps(Bomb()))
    described = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(
        described.replace(
            "python_function:", "python_function:\n    python_model: python_model.pkl", 1
        )
    )
    with pytest.raises(ArtifactError):
        downloads.verify_model(Project(ws).registry, version)
    next(folder.rglob("alignment.safetensors")).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ArtifactError):
        downloads.alignment_file(Project(ws).registry, version)
    assert not (tmp_path / "exploded").exists()
