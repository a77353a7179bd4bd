"""The adapter to DVC, with real DVC on a small pipeline."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from csa.errors import ArtifactError, StageError, WorkspaceError
from csa.flows.environment import end_orphaned_servers
from csa.operations.cache import dvc, restoring, sharing
from csa.operations.environment import prepare_environment
from csa.operations.opened import Project
from csa.pipeline.workspace import Workspace

PIPELINE = """
vars:
  - tasks: {}
stages:
  demo:
    cmd: python -c "print('demo')" > data-demo
    outs: [data-demo]
  ingest:
    cmd: python stage.py ingest
    deps: [source.txt]
    outs: [data/pairs]
  embed:
    foreach: {image: 1, text: 2}
    do:
      cmd: python stage.py embed ${key}
      deps: [data/pairs]
      outs: ["data/features/${key}"]
  evaluate:
    cmd: python stage.py evaluate
    deps: [data/pairs, data/features]
    outs: [data/metrics.json]
  task:
    foreach: ${tasks}
    do:
      cmd: python stage.py task ${key}
      deps: ["${item.dataset.path}", data/metrics.json]
      outs: ["data/tasks/${key}/metrics.json"]
"""

PARAMS = """
dataset: {kind: arrays, path: features}
views:
  image: {modality: array, encoder: precomputed}
  text: {modality: array, encoder: precomputed}
"""

STAGE = """
import os, pathlib, sys, time
name, *rest = sys.argv[1:]
data = pathlib.Path("data")
data.mkdir(exist_ok=True)
source = pathlib.Path("source.txt").read_text().strip()
if source == "bad":
    sys.exit(print("csa: error: row 3: empty caption", file=sys.stderr) or 2)
if source == "coloured":
    print("\\x1b[0mcsa: error: \\x1b[1mrow 3\\x1b[0m: empty caption", file=sys.stderr)
    sys.exit(2)
if source == "crash":
    raise RuntimeError("disk on fire")
if source == "slow":
    pathlib.Path("pid").write_text(str(os.getpid()))
    time.sleep(60)
with pathlib.Path("log").open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if name == "ingest":
    sys.stderr.write("\\rdone 1/2\\rdone 2/2\\n")
    (data / "pairs").write_text(source)
elif name == "embed":
    folder = data / "features" / rest[0]
    folder.mkdir(parents=True)
    (folder / "part").write_text(source + rest[0])
elif name == "task":
    folder = data / "tasks" / rest[0]
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text("{}")
else:
    (data / "metrics.json").write_text("{}")
"""


@pytest.fixture(scope="module", autouse=True)
def this_python():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        )
        yield


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = tmp_path_factory.mktemp("fresh") / "repo"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text(
        "[core]\n    no_scm = True\n    analytics = false\n    check_update = false\n"
    )
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "stage.py").write_text(STAGE)
    (root / "params.yaml").write_text(PARAMS)
    (root / "source.txt").write_text("one")
    return root


@pytest.fixture(scope="module")
def computed(template, tmp_path_factory):
    root = tmp_path_factory.mktemp("computed") / "repo"
    shutil.copytree(template, root)
    assert set(run_all(Workspace(root, root / ".csa")).values()) == {"ran"}
    return root


@pytest.fixture
def ws(template, tmp_path):
    """A repository where nothing ran yet."""
    root = shutil.copytree(template, tmp_path / "repo")
    return Workspace(root, root / ".csa")


@pytest.fixture
def ran(computed, tmp_path):
    """A repository where every stage ran once."""
    root = shutil.copytree(computed, tmp_path / "repo")
    return Workspace(root, root / ".csa")


@pytest.fixture
def own_environment():
    """What a test adds to the environment is taken away again."""
    before = os.environ.copy()
    yield
    os.environ.clear()
    os.environ.update(before)


def repro(ws, stage):
    return sharing.bring_up_to_date(Project(ws), stage)


def run_all(ws):
    return {stage: repro(ws, stage).status for stage in dvc.stages(ws)}


def executed(ws):
    log = ws.root / "log"
    return log.read_text().splitlines() if log.is_file() else []


def test_only_upstream_stages_in_order_then_nothing_runs_twice(ws):
    stages = dvc.stages(ws)
    assert set(stages) == {"ingest", "embed@image", "embed@text", "evaluate"}
    assert stages[0] == "ingest" and stages[-1] == "evaluate"
    assert set(dvc.status(ws)) == set(stages)
    assert set(run_all(ws).values()) == {"ran"}
    assert dvc.status(ws) == []
    hashes = dvc.output_hashes(ws, stages)
    assert set(hashes) == {
        "data/pairs",
        "data/features/image",
        "data/features/text",
        "data/metrics.json",
    }
    assert hashes["data/features/image"].endswith(".dir")
    assert set(run_all(ws).values()) == {"unchanged"}
    assert len(executed(ws)) == 4


def test_tasks_of_the_parameters_are_stages_after_the_evaluation(ran):
    (ran.root / "other").write_text("other data")
    (ran.root / "params.yaml").write_text(
        PARAMS + "tasks:\n  elsewhere: {kind: transfer, dataset: {path: other}}\n"
    )
    assert dvc.stages(ran)[-2:] == ["evaluate", "task@elsewhere"]
    assert dvc.status(ran) == ["task@elsewhere"]
    assert {stage: status for stage, status in run_all(ran).items() if status != "unchanged"} == {
        "task@elsewhere": "ran"
    }
    assert executed(ran)[-1] == "task elsewhere" and dvc.status(ran) == []
    assert "data/tasks/elsewhere/metrics.json" in dvc.output_hashes(ran, dvc.stages(ran))


def test_damaged_edited_or_deleted_outputs_are_repaired_without_running(ran):
    ws = ran
    shard = ws.data / "features" / "image" / "part"
    shard.write_text("corrupted")
    assert dvc.status(ws) != []
    assert repro(ws, "embed@image").status == "restored"
    assert shard.read_text() == "oneimage"
    (shard.parent / "intruder").write_text("x")
    assert repro(ws, "embed@image").status == "restored"
    assert [path.name for path in shard.parent.iterdir()] == ["part"]
    shutil.rmtree(shard.parent)
    assert repro(ws, "embed@image").status == "restored"
    assert shard.read_text() == "oneimage"
    assert len(executed(ws)) == 4


def test_a_damaged_cache_is_noticed_and_the_stage_runs_again(ran):
    ws = ran
    for file in (ws.root / ".dvc" / "cache" / "files").rglob("*"):
        if file.is_file():
            file.chmod(0o644)
            file.write_text("corrupted")
    (ws.data / "pairs").write_text("corrupted")
    assert repro(ws, "ingest").status == "ran"
    assert (ws.data / "pairs").read_text() == "one"


def test_an_earlier_input_is_restored_not_computed(ran):
    ws = ran
    (ws.root / "source.txt").write_text("two")
    assert repro(ws, "ingest").status == "ran"
    (ws.root / "source.txt").write_text("one")
    assert repro(ws, "ingest").status == "restored"
    assert (ws.data / "pairs").read_text() == "one"


def test_the_teams_results_are_pulled_and_an_unreachable_remote_is_no_obstacle(ran, tmp_path):
    ws = ran
    with (ws.root / ".dvc" / "config").open("a") as config:
        config.write(f"    remote = team\n['remote \"team\"']\n    url = {tmp_path / 'remote'}\n")
    subprocess.run(
        [sys.executable, "-m", "dvc", "push", "-q", "--run-cache"], cwd=ws.root, check=True
    )
    mate = Workspace(tmp_path / "mate", tmp_path / "mate" / ".csa")
    shutil.copytree(
        ws.root, mate.root, ignore=shutil.ignore_patterns("cache", "tmp", "data", ".csa", "log")
    )
    assert set(run_all(mate).values()) == {"restored"}
    assert executed(mate) == []
    config = mate.root / ".dvc" / "config"
    config.write_text(
        config.read_text().replace(f"url = {tmp_path / 'remote'}", "url = s3://nowhere/at-all")
    )
    (mate.root / "source.txt").write_text("new")
    assert repro(mate, "ingest").status == "ran"
    (mate.data / "pairs").unlink()
    assert repro(mate, "ingest").status == "restored"


def test_a_stages_own_error_is_the_message(ws, capfd):
    (ws.root / "source.txt").write_text("bad")
    with pytest.raises(StageError, match=r"^row 3: empty caption$"):
        repro(ws, "ingest")
    assert capfd.readouterr().err == ""
    (ws.root / "source.txt").write_text("coloured")
    with pytest.raises(StageError, match=r"^row 3: empty caption$"):
        repro(ws, "ingest")
    assert capfd.readouterr().err == "", "colours do not hide whose words these are"


def test_other_failures_end_with_the_last_lines(ws):
    (ws.root / "source.txt").write_text("crash")
    with pytest.raises(StageError, match=r"stage ingest failed: .*RuntimeError: disk on fire"):
        repro(ws, "ingest")
    (ws.root / "source.txt").unlink()
    with pytest.raises(
        WorkspaceError, match=r"source\.txt: no such file or folder, but stage ingest reads it"
    ):
        repro(ws, "ingest")
    (ws.root / "dvc.yaml").write_text("stages: [")
    with pytest.raises(WorkspaceError, match="dvc dag failed"):
        dvc.stages(ws)


def test_progress_is_shown_and_chatter_is_not(ws, capfd):
    repro(ws, "ingest")
    assert capfd.readouterr().err == "done 2/2\n"  # not a terminal: the bar's last state only


def test_without_a_terminal_a_bars_state_is_written_now_and_then(ws, capfd, monkeypatch):
    monkeypatch.setattr(dvc, "_STATE_SECONDS", -1.0)
    repro(ws, "ingest")
    assert capfd.readouterr().err == "done 1/2\ndone 2/2\n"


def test_verbose_shows_what_dvc_says(ws, capfd, own_environment):
    prepare_environment(ws, verbose=True)
    repro(ws, "ingest")
    assert "Running stage 'ingest'" in capfd.readouterr().err


def test_waits_for_another_dvc_process_and_gives_up_in_the_end(ws, monkeypatch, capfd):
    holder = (
        "import sys, time; from dvc.repo import Repo; r = Repo('.'); r.lock.lock(); "
        "print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder], cwd=ws.root, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        try:
            monkeypatch.setattr(restoring, "PAUSES", (0.1,))
            with pytest.raises(WorkspaceError, match="another DVC process"):
                repro(ws, "ingest")
        finally:
            process.kill()
    assert "waiting 0.1 s" in capfd.readouterr().err
    assert repro(ws, "ingest").status == "ran"


def test_a_question_waits_for_who_is_at_work_and_names_them(ran, monkeypatch, capfd):
    """DVC's own words advise to remove the lock of a process that lives."""
    held = {"pid": os.getpid(), "cmd": "a stage at work"}
    lock = ran.root / ".dvc" / "tmp" / "rwlock"
    lock.write_text(json.dumps({"write": {str(ran.data / "pairs"): held}}))
    monkeypatch.setattr(dvc, "PAUSES", (0.1,))
    with pytest.raises(WorkspaceError) as said:
        dvc.status(ran)
    who = f"process {os.getpid()} (a stage at work)"
    assert who in str(said.value) and "remove" not in str(said.value)
    assert f"dvc status: {who} is at work here; waiting 0.1 s" in capfd.readouterr().err
    lock.unlink()
    assert dvc.status(ran) == []


def test_without_git_the_remedy_is_said_and_works(ws):
    (ws.root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    with pytest.raises(WorkspaceError, match="no git repository, but DVC works in one"):
        dvc.stages(ws)
    subprocess.run(
        [sys.executable, "-m", "dvc", "config", "--local", "core.no_scm", "true"],
        cwd=ws.root,
        check=True,
    )
    assert dvc.stages(ws)


def test_an_interrupt_ends_the_whole_process_group(ws):
    (ws.root / "source.txt").write_text("slow")
    code = textwrap.dedent(f"""
        from pathlib import Path
        from csa.pipeline.workspace import Workspace
        from csa.operations.cache import dvc
        dvc.compute(Workspace(Path({str(ws.root)!r}), Path({str(ws.state)!r})), "ingest")
    """)
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        pid = _wait_for(ws.root / "pid")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) != 0
    for _ in range(100):
        if not _alive(pid):
            break
        time.sleep(0.1)
    assert not _alive(pid)
    (ws.root / "source.txt").write_text("one")
    assert repro(ws, "ingest").status == "ran"  # no lock of the dead is in the way


def test_a_recipes_workspace_shares_cache_and_remotes(ran):
    ws = ran
    (ws.root / ".dvc" / "config").write_text(
        "[core]\n    remote = team\n['remote \"team\"']\n    url = ../store\n"
    )
    (ws.root / ".dvc" / "config.local").write_text("['remote \"team\"']\n    password = x\n")
    recipe = Workspace(ws.state / "workspaces" / "tiny", ws.state)
    recipe.root.mkdir(parents=True)
    for name in ("dvc.yaml", "params.yaml", "stage.py", "source.txt"):
        shutil.copy(ws.root / name, recipe.root)
    dvc.ensure_repo(recipe)
    config = recipe.root / ".dvc" / "config"
    before = config.stat().st_mtime_ns
    dvc.ensure_repo(recipe)
    assert config.stat().st_mtime_ns == before
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "config", "--list"],
        cwd=recipe.root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert f"remote.team.url={ws.root / 'store'}" in listed and "remote.team.password=x" in listed
    assert {
        "core.no_scm=True",
        "core.analytics=false",
        "core.check_update=false",
        "core.remote=team",
    } <= set(listed)
    (ws.root / ".dvc" / "config").write_text("[core]\n    no_scm = True\n")
    (ws.root / ".dvc" / "config.local").unlink()
    dvc.ensure_repo(recipe)
    assert set(run_all(recipe).values()) == {"restored"}
    assert executed(recipe) == []


def test_hashes_need_a_whole_lock_file(ws):
    with pytest.raises(ArtifactError, match=r"dvc\.lock: missing"):
        dvc.output_hashes(ws, ["ingest"])
    repro(ws, "ingest")
    with pytest.raises(ArtifactError, match="evaluate"):
        dvc.output_hashes(ws, ["ingest", "evaluate"])


def test_the_environment_keeps_what_the_user_set(ws, monkeypatch, own_environment):
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    monkeypatch.setenv("PREFECT_API_URL", "http://server/api")
    monkeypatch.setenv("PATH", "/usr/bin")
    prepare_environment(ws)
    assert os.environ["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert "PREFECT_HOME" not in os.environ
    assert os.environ["PATH"] == os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin"])
    monkeypatch.delenv("PREFECT_API_URL")
    prepare_environment(ws)
    assert os.environ["PREFECT_HOME"] == str(ws.prefect_home)


def test_only_this_state_folders_orphaned_prefect_servers_are_ended(ws, tmp_path):
    sleeper = "import time; time.sleep(60)"
    spawn = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[1]], "
        "stdout=-3, stderr=-3).pid)"
    )

    def orphan(home, ephemeral):
        env = {**os.environ, "PREFECT_HOME": str(home), "PREFECT__SERVER_EPHEMERAL": ephemeral}
        return int(
            subprocess.run(
                [sys.executable, "-c", spawn, sleeper], env=env, check=True, capture_output=True
            ).stdout
        )

    ours, others, lasting = (
        orphan(ws.prefect_home, "1"),
        orphan(tmp_path / "else", "1"),
        orphan(ws.prefect_home, "0"),
    )
    env = {**os.environ, "PREFECT_HOME": str(ws.prefect_home), "PREFECT__SERVER_EPHEMERAL": "1"}
    with subprocess.Popen([sys.executable, "-c", sleeper], env=env) as in_use:
        try:
            end_orphaned_servers(ws)
            for _ in range(50):
                if not _alive(ours):
                    break
                time.sleep(0.1)
            assert [_alive(pid) for pid in (ours, others, lasting, in_use.pid)] == [
                False,
                True,
                True,
                True,
            ]
        finally:
            in_use.kill()
            for pid in (others, lasting):
                os.kill(pid, signal.SIGKILL)


def _wait_for(path):
    for _ in range(200):
        if path.is_file() and path.read_text():
            return int(path.read_text())
        time.sleep(0.1)
    raise AssertionError(f"{path} never appeared")


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


NO_ROOM = """
import resource, signal, sys

from dvc_data.hashfile.cache import Cache

from csa.operations.cache.dvc_process import end_where_the_disk_does

end_where_the_disk_does()
notes = Cache(sys.argv[1])
notes["known"] = 1
notes.close()  # it is opened again when it is next asked for
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    notes["new"] = 2
except OSError as error:
    print(error)
"""


def test_dvcs_notes_end_where_the_disk_takes_nothing_more(tmp_path):
    """diskcache tries again for ever: `csa run` did not end on a full disk."""
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, tmp_path / "notes"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Input/output error" in done.stdout and not done.stderr
