"""Scheduled retraining: private worktrees, the slot, and a run that a schedule really fires."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import first_use
import plainly
import psutil
import pytest
import tzlocal
from hook import Hook
from own_project import environment
from small_repo import SmallRepo

from csa.errors import InputError, ParamsError, StageError, WorkspaceError
from csa.flows import server
from csa.flows.schedule import Plan, scheduled_retrain
from csa.flows.times import Times
from csa.flows.worktrees import check_commit, private_worktree, remove_stale
from csa.masking import masked
from csa.operations.cache.lock import settle
from csa.operations.runs import executions
from csa.operations.scheduler import next_run, note_of_server
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_json

REPOSITORY = Path(__file__).parents[2]


def git(folder, *arguments):
    command = [
        "git",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "-C",
        str(folder),
        *arguments,
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A git repository with a workspace's files and a data set that is not in git."""
    root = tmp_path / "repo"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "params.yaml").write_text("dataset: {kind: flickr, path: photos}\n")
    (root / ".gitignore").write_text("photos/\n.csa/\n")
    (root / "photos").mkdir()
    git(tmp_path, "init", "-q", "repo")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "start")
    return Workspace.find(root)


def test_a_worktree_shares_the_state_and_leaves_nothing(repository):
    # not committed: not in it
    (repository.root / "params.yaml").write_text("dataset: {kind: table, path: other}\n")
    with private_worktree(repository, "HEAD") as ws:
        assert ws.root != repository.root and ws.state == repository.state
        assert Workspace.find(ws.root / ".dvc") == ws, "found again by a process that runs there"
        assert ws.name == "main" and ws.params().dataset.kind == "flickr"
        assert (ws.root / "photos").resolve() == repository.root / "photos"
        (ws.root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
        assert git(ws.root, "status", "--porcelain", "--untracked-files=no") == ""
        with private_worktree(repository, "HEAD") as second:
            assert second.root != ws.root
        root = ws.root
    assert not root.exists() and not list((repository.state / "worktrees").iterdir())
    assert len(git(repository.root, "worktree", "list").splitlines()) == 1


def test_a_recipe_in_a_worktree_has_a_workspace_of_its_own(repository):
    with private_worktree(repository, "HEAD") as ws:
        recipe = Workspace(ws.root / ".csa" / "workspaces" / "flickr", ws.state)
        recipe.root.mkdir(parents=True)
        (recipe.root / "dvc.yaml").write_text("stages: {}\n")
        assert Workspace.find(recipe.root) == recipe
        assert recipe.name == "flickr" and recipe.home == ws.root and recipe.runs == repository.runs


def test_a_lock_that_is_cut_in_one_worktree_is_not_put_back_from_another(repository, capsys):
    """Each has another dvc.lock than the repository's own, and all are kept in case of a cut."""
    (repository.root / "dvc.lock").write_text(a_lock("committed", "check"))
    git(repository.root, "add", "-A")
    git(repository.root, "commit", "-qm", "lock")
    with private_worktree(repository, "HEAD") as one, private_worktree(repository, "HEAD") as two:
        recipe = Workspace(one.root / ".csa" / "workspaces" / "flickr", one.state)
        recipe.root.mkdir(parents=True)
        locks = {
            repository: a_lock("by hand", "check"),
            one: a_lock("of one", "check", "fit"),
            two: a_lock("of two", "check", "fit", "evaluate"),
            recipe: a_lock("of a recipe"),
        }
        for ws in locks:
            settle(ws)  # as the beginning of a run does
        for ws, text in locks.items():
            (ws.root / "dvc.lock").write_text(text)
        for ws, text in locks.items():
            settle(ws)
            assert (ws.root / "dvc.lock").read_text() == text, "whole, so it is kept"
        for ws, text in locks.items():
            (ws.root / "dvc.lock").write_text(text[:-9])
            assert settle(ws) and (ws.root / "dvc.lock").read_text() == text
            assert "that of before the last run was taken" in capsys.readouterr().err
    assert list(repository.state.glob("locks/*")) == [repository.kept_lock], "nothing is left"


def a_lock(said, *stages):
    """A dvc.lock of some stages, the first of which says something."""
    named = "".join(f"  {stage}:\n    cmd: python {stage}\n" for stage in stages)
    return f"schema: '2.0'\nstages:\n  ingest:\n    cmd: {said}\n{named}"


def test_what_failed_is_kept_for_a_look_but_not_for_ever(repository):
    kept = []
    for _ in range(3):
        with pytest.raises(RuntimeError, match="broke"), private_worktree(repository, "HEAD") as ws:
            kept.append(ws.root)
            raise RuntimeError("broke")
    assert [root for root in kept if root.exists()] == kept
    assert remove_stale(repository, kept=1) == kept[:2]
    with private_worktree(repository, "HEAD") as ws:
        assert remove_stale(repository, kept=0) == kept[2:], "one that is in use stays"
        assert ws.root.is_dir()


def test_a_killed_run_frees_its_worktree(repository):
    code = (
        "import sys; from pathlib import Path; from csa.pipeline.workspace import Workspace\n"
        "from csa.flows.worktrees import private_worktree\n"
        "with private_worktree(Workspace.find(Path(sys.argv[1])), 'HEAD'): print('in', "
        "flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(repository.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "in\n"
        assert remove_stale(repository, kept=0) == []
        process.kill()
    assert len(remove_stale(repository, kept=0)) == 1


def test_what_cannot_be_checked_out_is_said(repository, tmp_path):
    with (
        pytest.raises(WorkspaceError, match="git worktree add failed"),
        private_worktree(repository, "no-such-branch"),
    ):
        pass
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "dvc.yaml").write_text("stages: {}\n")
    with (
        pytest.raises(WorkspaceError, match="needs a git repository"),
        private_worktree(Workspace.find(tmp_path / "bare"), "HEAD"),
    ):
        pass


def test_a_schedule_that_would_find_no_commit_is_refused(repository, tmp_path):
    check_commit(repository, "HEAD")
    with pytest.raises(WorkspaceError, match=r"no commit 'gone'.*correct --ref"):
        check_commit(repository, "gone")
    git(tmp_path, "init", "-q", "new")
    (tmp_path / "new" / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(WorkspaceError, match="git add -A && git commit"):
        check_commit(Workspace.find(tmp_path / "new"), "HEAD")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(WorkspaceError, match="needs a git repository"):
        check_commit(Workspace.find(tmp_path / "bare"), "HEAD")


@pytest.fixture
def hook(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    hook = Hook(*[200] * 9)
    monkeypatch.setenv("CSA_NOTIFY_URL", hook.url)
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


def _text(found):
    return found["event"], re.sub(r" \(\d+ s.*", "", found["text"])


def test_a_run_that_never_began_or_was_ended_is_said_and_told(repository, hook, capfd):
    root = str(repository.root)
    with pytest.raises(WorkspaceError, match="git worktree add failed"):
        scheduled_retrain.fn(root, {"ref": "gone"})
    assert "csa schedule: failed: " in capfd.readouterr().err
    with pytest.raises(StageError, match=r"ended after 0\.2 s"):
        scheduled_retrain.fn(root, {"timeout": 0.2})
    assert "csa schedule: failed: the run was ended after" in capfd.readouterr().err
    (repository.root / "params.yaml").write_text("dataset: 5\n")
    git(repository.root, "commit", "-qam", "broken")
    git(repository.root, "checkout", "-q", "HEAD^", "params.yaml")
    with pytest.raises(ParamsError, match="dataset"):
        scheduled_retrain.fn(root)
    events, texts = zip(*map(_text, hook.told), strict=True)
    assert events == ("failed",) * 3 and executions.count_of_failures(repository) == 3
    assert "invalid reference: gone" in texts[0] and "ended after" in texts[1]
    assert "dataset" in texts[2]


def test_a_failure_that_the_run_told_is_not_told_again(tmp_path, hook, monkeypatch):
    repo = SmallRepo(tmp_path / "repo")
    for name, value in (environment() | plainly.VARIABLES).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CSA_NOTIFY_URL", hook.url)
    shutil.rmtree(tmp_path / "repo" / "shapes")
    git(repo.root, "commit", "-qam", "without its data")
    with pytest.raises(StageError, match="shapes"):
        scheduled_retrain.fn(str(repo.root))
    assert [_text(told)[0] for told in hook.told] == ["failed"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((None, None, None), "either --cron"),
        (("0 3 * * *", 5, None), "either --cron"),
        (("soon", None, None), "expected five fields"),
        (("0 0 3 * * *", None, None), "expected five fields"),
        (("61 3 * * *", None, None), "not a cron"),
        (("0 0 30 2 *", None, None), "it never fires"),
        ((None, -1, None), "above 0"),
        (("0 3 * * *", None, "Berlin"), "did you mean Europe/Berlin"),
        (("0 3 * * *", None, "../etc"), "no time zone of that name"),
        ((None, 5, "Europe/Berlin"), "--every needs none"),
    ],
)
def test_what_is_no_schedule_is_refused(asked, said):
    with pytest.raises(InputError, match=said):
        Times.asked(*asked)


@pytest.fixture
def in_berlin(monkeypatch):
    """A machine whose clocks are those of Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    tzlocal.reload_localzone()
    yield ZoneInfo("Europe/Berlin")
    monkeypatch.undo()
    tzlocal.reload_localzone()


# The days before the clocks of Berlin change, and what each schedule does in the night after.
CHANGES = {
    "to summer, at an hour that is left out": (
        (2026, 3, 28),
        "30 2 * * *",
        ["28 02:30 +0100", "29 01:30 +0100", "30 02:30 +0200"],
    ),
    "to summer": (
        (2026, 3, 28),
        "0 3 * * *",
        ["28 03:00 +0100", "29 03:00 +0200", "30 03:00 +0200"],
    ),
    "to winter, at an hour that comes twice": (
        (2026, 10, 24),
        "30 2 * * *",
        ["24 02:30 +0200", "25 02:30 +0200", "26 02:30 +0100"],
    ),
    "to winter": (
        (2026, 10, 24),
        "0 3 * * *",
        ["24 03:00 +0200", "25 03:00 +0100", "26 03:00 +0100"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_nightly_run_comes_once_a_night_when_the_clocks_change(in_berlin, change):
    day, cron, expected = CHANGES[change]
    times = Times.asked(cron, None, None)
    assert times.timezone == "Europe/Berlin"
    found = times.following(3, datetime(*day, tzinfo=in_berlin))
    assert [f"{time:%d %H:%M %z}" for time in found] == expected


def test_the_first_line_says_the_zone_and_the_next_three_times(in_berlin):
    said = str(Times.asked("0 3 * * *", None, None))
    assert said.startswith("cron 0 3 * * * in Europe/Berlin; next ")
    days = re.findall(r"\w{3} (\d{4}-\d\d-\d\d) 03:00 CES?T", said)
    assert len(days) == 3
    first, last = (date.fromisoformat(day) for day in days[:: len(days) - 1])
    assert last - first == timedelta(days=2)
    elsewhere = str(Times.asked("0 3 * * *", None, "America/New_York"))
    assert "in America/New_York; next " in elsewhere and re.search(r"03:00 E[SD]T", elsewhere)
    every = Times.asked(None, 90, None)
    found = every.following(3)
    assert [time - every.since for time in found] == [k * timedelta(minutes=90) for k in (1, 2, 3)]


def test_a_machine_whose_zone_has_no_name_is_told_what_to_give(monkeypatch):
    monkeypatch.setattr(tzlocal, "get_localzone_name", lambda: None)
    with pytest.raises(InputError, match=r"has no name .* give --timezone, such as Europe/Berlin"):
        Times.asked("0 3 * * *", None, None)
    assert Times.asked("0 3 * * *", None, "UTC").timezone == "UTC"


def test_schedules_of_two_clones_or_plans_on_one_server_have_names_of_their_own(repository):
    there = Workspace.find(repository.root.parent / "repo")
    elsewhere = Workspace(repository.root / "other", repository.root / "other" / ".csa")
    plans = [Plan(), Plan(recipe="a/x.yaml"), Plan(recipe="b/x.yaml"), Plan(ref="next")]
    names = {plan.name(ws) for plan in plans for ws in (repository, elsewhere)}
    assert len(names) == 8 and Plan().name(there) in names, "and the same name each time"
    assert all(name.startswith(("main-", "x-", "other-")) for name in names)


def test_the_command_is_what_a_person_would_type():
    plan = Plan(recipe="recipes/x.yaml", data="/photos", overrides=("fit.folds=3",), wait=60)
    assert plan.command()[1:] == [
        *[
            "-m",
            "csa.cli",
            "run",
            "recipes/x.yaml",
            "--data",
            "/photos",
            "--set",
            "fit.folds=3",
            "--wait",
            "60",
            "--json",
        ]
    ]


def test_a_schedule_whose_server_was_anothers_begins_anew_when_that_ends(repository, monkeypatch):
    address, said, begun = "http://127.0.0.1:9/api", [], threading.Event()
    monkeypatch.setenv("PREFECT_API_URL", address)
    monkeypatch.setattr(server, "_LOOK_SECONDS", 0.01)
    looks = iter([True, False, True, False, False, False])
    monkeypatch.setattr(server, "answers", lambda _: next(looks))
    monkeypatch.setattr(sys, "argv", ["/bin/csa", "schedule", "--every", "5"])
    called = []
    monkeypatch.setattr(os, "execv", lambda *words: (called.append(words), begun.set()))
    server.take_over_from_another(repository, address, said.append)
    assert not said, "there is no other"
    note = {"address": address, "process": os.getpid()}
    write_json(note_of_server(repository), note)
    server.take_over_from_another(repository, address, said.append)
    assert not said, "it is our own"
    write_json(note_of_server(repository), note | {"process": 1})
    server.take_over_from_another(repository, address, said.append)
    assert begun.wait(20) and "has ended" in said[0] and "PREFECT_API_URL" not in os.environ
    command = [sys.executable, "-m", "csa.cli", "schedule", "--every", "5"]
    assert called == [(sys.executable, command)]


def test_where_nothing_can_be_written_no_server_starts(repository, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (repository.root / ".csa").write_text("a file where the folder should be")
    with (
        pytest.raises(
            WorkspaceError, match=r"the state folder cannot be written \(.*\); free space"
        ),
        server.local_server(repository),
    ):
        pass


def test_of_two_that_start_at_once_one_has_the_server_and_the_other_uses_it(
    repository, monkeypatch
):
    """The server is a stand-in that takes a moment to answer, as a real one does."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    up = threading.Event()

    @contextmanager
    def started(ws, command_at):
        time.sleep(0.3)
        up.set()
        yield "http://127.0.0.1:9/api"
        up.clear()

    monkeypatch.setattr(server, "_started", started)
    monkeypatch.setattr("csa.operations.scheduler.answers", lambda address: up.is_set())
    found, done = [], threading.Event()

    def second():
        with server.local_server(repository) as address:
            found.append(os.environ["PREFECT_API_URL"] == address and address)
        found.append(os.environ.get("PREFECT_API_URL"))
        done.set()

    with server.local_server(repository) as first:
        threading.Thread(target=second).start()
        assert done.wait(20) and found == [first, None], "it is named in the block alone"
        assert note_of_server(repository).is_file(), "the second has not taken the first's note"
    assert not note_of_server(repository).exists()


@pytest.mark.parametrize(("work", "least"), [("while True: pass", 2), ("time.sleep(60)", 0)])
def test_a_server_that_does_not_answer_is_waited_for_only_while_it_starts(
    repository, monkeypatch, work, least
):
    """The stand-ins never answer. One that computes has its 2 s of processor time, however long
    they take; one that does nothing is not waited for.
    """
    for name, value in {"_START_SECONDS": 0.5, "_START_WORK": 2.0, "_STILL_SECONDS": 1.0}.items():
        monkeypatch.setattr(server, name, value)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    command = [sys.executable, "-c", f"import time\n{work}"]
    monkeypatch.setattr(server, "_with_pages", lambda port: (command, {}))
    with (
        pytest.raises(WorkspaceError, match=r"did not start: no answer within \d+ s") as caught,
        server.local_server(repository),
    ):
        pass
    assert least <= int(re.search(r"within (\d+) s", str(caught.value))[1]) < 50


@pytest.mark.pipeline
def test_a_schedule_fires_and_the_run_can_be_read_back(tmp_path):
    repo, store = SmallRepo(tmp_path / "repo"), tmp_path / "store"
    assert repo.run("remote", "add", "team", str(store), "--local").returncode == 0
    process = repo.start("schedule", "--cron", "* * * * *")
    try:
        address = _await(
            lambda: json.loads((repo.ws.prefect_home / "server.json").read_text())["address"], 150
        )
        # The server answers before the schedule is with it.
        _await(lambda: next_run(address), 100)
        assert json.loads(repo.run("status", "--json").stdout)["next_run"]
        done = _await(lambda: _scheduled_run(address, "COMPLETED"), 400)
        assert done["auto_scheduled"] and done["deployment_id"]
        started = psutil.Process(process.pid).children(recursive=True)
        assert not [one for one in started if "create_app" in " ".join(one.cmdline())], (
            "Prefect has started no second server"
        )
        runs = list(repo.ws.runs.glob("[0-9a-f]*"))
        assert len(runs) == 1, "one run is on record in the repository's state"
        _await(lambda: not list((repo.ws.state / "worktrees").glob("*/")) or None, 100)
        assert not (repo.root / "data" / "alignment.safetensors").exists(), (
            "it did not work in the repository itself"
        )
        assert list(store.glob("files/md5/*/*")) and list(store.glob("runs/*/*")), (
            "a scheduled run shares what it computed"
        )
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=90)
    assert "gate: promote: there is no champion yet" in said
    assert "nothing is scheduled any more" in said and process.returncode == 0
    by_hand = repo.run("run", "--json")
    outcome = json.loads(by_hand.stdout)
    assert outcome["run_id"] == runs[0].name and {
        stage["status"] for stage in outcome["stages"]
    } == {"restored"}


@pytest.mark.pipeline
def test_one_slot_for_all_machines_of_a_server(repository, monkeypatch, capsys):
    """Other machines are other processes here: a slot knows no folders. The second waits and then
    gets a reason; one that was killed loses its slot when Prefect's lease ends."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(repository.prefect_home))
    first_use.place("prefect", repository.prefect_home / "prefect.db")
    code = (
        "import sys; from csa.flows.server import slot\nwith slot(0): print('in', flush=True); "
        "sys.stdin.read()"
    )
    with server.local_server(repository) as address:
        with subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as first:
            assert first.stdout.readline() == "in\n"
            with monkeypatch.context() as patch:
                patch.setattr(server, "_LEASE_GRACE", 2 - server._LEASE_SECONDS)
                with pytest.raises(
                    WorkspaceError,
                    match=re.escape(f"at {masked(address)} and did not end within 2 s"),
                ):
                    server.slot(0).__enter__()
            assert "waiting for it, at most 2 s" in capsys.readouterr().err
            first.kill()
        with server.slot(0):
            assert "a killed one's comes free within 60 s" in capsys.readouterr().err
        with server.slot(0):
            assert not capsys.readouterr().err, "given back at once by one that ends"


@pytest.mark.pipeline
def test_a_worker_runs_what_prefect_yaml_deploys(repository, monkeypatch):
    """The pool, the deployment and a real worker by the three commands in prefect.yaml; the ref is
    one that is not there, so that the run ends at once, and with our own words."""
    root = repository.root
    for name in ("csa", "flows", "prefect.yaml"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "the code")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(repository.prefect_home))
    first_use.place("prefect", repository.prefect_home / "prefect.db")
    monkeypatch.setenv("CSA_REPOSITORY", str(root))

    def prefect(*arguments):
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with server.local_server(repository) as address:
        with urllib.request.urlopen(
            f"{address.removesuffix('/api')}/ui-settings", timeout=20
        ) as answer:
            assert json.load(answer)["api_url"] == address, "the page would ask another server"
        prefect("work-pool", "create", "csa", "--type", "process")
        prefect("deploy", "--all")
        wanted = json.dumps({"repository": str(root), "plan": {"ref": "no-such-branch"}})
        prefect("deployment", "run", "csa-scheduled-retrain/main", "--params", wanted)
        prefect("worker", "start", "--pool", "csa", "--run-once", "--install-policy", "never")
        run = _await(lambda: _scheduled_run(address, "FAILED"), 100)
        assert run["parameters"] == json.loads(wanted) and run["work_pool_name"] == "csa"
        assert (
            "no-such-branch" in run["state"]["message"]
            or "git worktree add failed" in run["state"]["message"]
        )


def _scheduled_run(address, state):
    query = json.dumps(
        {"flow_runs": {"state": {"type": {"any_": sorted({state, "FAILED", "CRASHED"})}}}}
    ).encode()
    request = urllib.request.Request(
        f"{address}/flow_runs/filter", query, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        runs = [run for run in json.load(answer) if run["deployment_id"]]
    assert all(run["state_type"] == state for run in runs), runs
    return runs[0] if runs else None


def _await(ask, seconds):
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = ask()
        except (OSError, ValueError):
            answer = None
        if answer is not None:
            return answer
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(1)
