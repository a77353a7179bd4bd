"""The flow, with real Prefect, DVC, DuckDB and MLflow around stages that only write files."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workspaces import make_report_workspace

from csa.errors import StageError, WorkspaceError
from csa.operations import finished
from csa.operations.cache import dvc, sharing
from csa.operations.inspection.status import status_json
from csa.operations.opened import Project
from csa.operations.registry.registry import Registry
from csa.operations.runs.records import recorded_runs

pytestmark = pytest.mark.usefixtures("warm_processes")

# Each stage copies what `made/` holds for it, so that a test decides what a stage computes.
STAGE = """
import shutil, sys
from pathlib import Path
if Path("made/bad").exists():
    sys.exit(print("csa: error: " + Path("made/bad").read_text(), file=sys.stderr) or 2)
for out in sys.argv[1:]:
    source = Path("made") / out
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, out)
"""
OUTS = {
    "ingest": ["data/pairs.parquet", "data/quarantine.parquet", "data/account.json"],
    "embed@image": ["data/features/image"],
    "embed@text": ["data/features/text"],
    "fit": ["data/alignment.safetensors", "data/fit.json"],
    "evaluate": ["data/evaluation", "data/metrics.json"],
}


@pytest.fixture(scope="module", autouse=True)
def prefect_server():
    from prefect.testing.utilities import prefect_test_harness

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv(
            "PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        )
        with prefect_test_harness(server_startup_timeout=120):
            yield


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    root = tmp_path_factory.mktemp("flow") / "repo"
    ws = make_report_workspace(root)
    (root / "dvc.lock").unlink()
    ws.data.rename(root / "made")
    (root / "made").rename(root / "data-made")
    (root / "made").mkdir()
    (root / "data-made").rename(root / "made" / "data")
    (root / "stage.py").write_text(STAGE)
    stages = {
        name.replace("@", "-"): {
            "cmd": f"python stage.py {' '.join(outs)}",
            "deps": [f"made/{out}" for out in outs],
            "outs": outs,
        }
        for name, outs in OUTS.items()
    }
    stages["fit"]["deps"] += ["data/pairs.parquet", "data/features/image", "data/features/text"]
    stages["evaluate"]["deps"].append("data/alignment.safetensors")
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text(
        "[core]\n    no_scm = True\n    analytics = false\n    check_update = false\n"
    )
    return ws


def test_the_second_run_does_nothing(ws, monkeypatch):
    from csa.flows import retrain
    from csa.flows.retrain import run_retrain

    first = run_retrain(Project(ws))
    assert {outcome.status for outcome in first.outcomes} == {"ran"} and len(first.outcomes) == 5
    assert (first.new_run, first.version, first.created, first.decision.verdict) == (
        True,
        1,
        True,
        "promote",
    )
    before = (
        ws.ledger.read_bytes(),
        ws.duckdb.stat().st_size,
        recorded_runs(ws),
        ws.report.read_bytes(),
    )

    with monkeypatch.context() as patch:  # nothing to do: no stage is asked, nor is MLflow
        patch.setattr(sharing, "bring_up_to_date", None)
        patch.setattr(Registry, "client", None)
        patch.setattr(finished, "nothing_to_do", lambda project: None)
        second = run_retrain(Project(ws))
        patch.undo()
        # and no Prefect and no DVC where the files are as they were
        patch.setattr(dvc, "ask", None)
        patch.setattr(Registry, "client", None)
        patch.setattr(retrain, "_under_prefect", None)
        third = run_retrain(Project(ws))
        shown = status_json(Project(ws))
    assert third == second
    assert (shown["out_of_date"], shown["note"], shown["champion"]["is_this"]) == ([], None, True)
    assert list(shown["stages"]) == [outcome.stage for outcome in second.outcomes]
    assert {outcome.status for outcome in second.outcomes} == {"unchanged"}
    assert (second.run_id, second.new_run, second.version, second.created) == (
        first.run_id,
        False,
        1,
        False,
    )
    assert second.decision.reason == "version 1 is the champion already"
    assert (
        ws.ledger.read_bytes(),
        ws.duckdb.stat().st_size,
        recorded_runs(ws),
        ws.report.read_bytes(),
    ) == before


def test_the_sequence_needs_no_prefect_and_what_is_gone_is_noticed(ws):
    from csa.flows.retrain import run_retrain
    from csa.operations.run import run
    from csa.operations.runs.locked import only_run

    run_retrain(Project(ws))
    expected, names = run_retrain(Project(ws)), []

    def step(one):
        names.append(one.name)
        return one.work()

    with only_run(ws):
        assert run(Project(ws), step) == expected
        assert names == ["record", "report version 1", "push"]
        names.clear()
        assert finished.nothing_to_do(Project(ws)) == expected
        (ws.root / "made" / "data" / "fit.json").touch()
        assert finished.nothing_to_do(Project(ws)) is None, "a file that DVC looks at"
        run(Project(ws), step)
        ws.report.rename(ws.report.with_suffix(".gone"))
        assert finished.nothing_to_do(Project(ws)) is None, "the report"
        ws.report.with_suffix(".gone").rename(ws.report)
        assert finished.nothing_to_do(Project(ws)) == expected
        names.clear()
        (ws.root / "data" / "fit.json").unlink()
        again = run(Project(ws), step)
    assert set(names[:5]) == {f"stage {name.replace('@', '-')}" for name in OUTS}
    assert names[5:] == ["record", "report version 1", "push"]
    assert {outcome.stage: outcome.status for outcome in again.outcomes}["fit"] == "restored"
    assert finished.nothing_to_do(Project(ws)).version == 1, "noted by a run that did something"


def test_the_report_is_in_the_workspace_and_in_mlflow(ws):
    from csa.flows.retrain import run_retrain

    result = run_retrain(Project(ws))
    page = ws.report.read_text(encoding="utf-8")
    assert (
        f"run <code>{result.run_id}</code>" in page
        and "version 1 · champion" in page
        and "there is no champion yet" in page
    )
    logged = list((ws.state / "mlflow" / "artifacts").rglob("report.html"))
    assert [file.read_text(encoding="utf-8") for file in logged] == [page]
    ws.report.unlink()  # what is gone is made again, though nothing else has to be done
    run_retrain(Project(ws))
    assert ws.report.read_text(encoding="utf-8") == page


def newest_summary(ws):
    """The artifact of the last run on its page in Prefect."""
    from prefect.client.orchestration import get_client

    key = {"key": {"any_": [f"{ws.params().model.name}-summary"]}}
    with get_client(sync_client=True) as client:
        body = {"artifacts": key, "sort": "UPDATED_DESC", "limit": 1}
        (found,) = client.request("POST", "/artifacts/filter", json=body).json()
    assert found["type"] == "markdown" and found["flow_run_id"] is not None
    return found


def test_the_runs_page_in_prefect_shows_what_came_of_it(ws, monkeypatch):
    from csa.flows.retrain import run_retrain

    monkeypatch.setattr(finished, "nothing_to_do", lambda project: None)
    run_retrain(Project(ws))
    summary = newest_summary(ws)
    assert all(part in summary["data"] for part in ("| image → text |", "Gate: **", "| fit | "))
    assert "](data:image/png;base64," in summary["data"]
    graph = summary["data"].partition("```mermaid")[2].partition("```")[0]
    place = dict(re.findall(r'(s\d)\["([\w-]+)<br>(?:ran|unchanged)"\]', graph))
    arrows = {(place[a], place[b]) for a, b in re.findall(r"(s\d) --> (s\d)", graph)}
    assert arrows == {
        *((name, "fit") for name in ("ingest", "embed-image", "embed-text")),
        ("fit", "evaluate"),
    }


def test_a_failing_stage_is_one_error_and_changes_nothing(ws):
    from csa.flows.retrain import run_retrain

    run_retrain(Project(ws))
    runs, lines = recorded_runs(ws), ws.ledger.read_bytes()
    pairs = ws.pairs.read_bytes()
    (ws.root / "made" / "bad").write_text("row 3: empty caption")
    pairs = (ws.root / "made" / "data" / "pairs.parquet").read_bytes()
    (ws.root / "made" / "data" / "pairs.parquet").write_bytes(b"other pairs")
    try:
        with pytest.raises(StageError, match=r"^row 3: empty caption$"):
            run_retrain(Project(ws))
        assert recorded_runs(ws) == runs and ws.ledger.read_bytes() == lines
        shown = newest_summary(ws)["data"]
        assert '["ingest<br>failed"]:::failed' in shown and "row 3: empty caption" in shown
        assert shown.count("<br>not reached") >= 2 and "classDef failed" in shown
    finally:
        (ws.root / "made" / "bad").unlink()
        (ws.root / "made" / "data" / "pairs.parquet").write_bytes(pairs)
    assert run_retrain(Project(ws)).run_id == runs[0]


def test_no_byte_that_a_run_leaves_or_sends_holds_a_secret(ws, monkeypatch, capfd):
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    from csa.flows import watching
    from csa.flows.retrain import run_retrain
    from csa.operations import run as sequence

    told, bad = [], ws.root / "made" / "bad"
    monkeypatch.setattr(finished, "nothing_to_do", lambda project: None)
    monkeypatch.setattr(watching, "_post", lambda url, *what: told.append(what) or ("", False))
    monkeypatch.setenv("CSA_NOTIFY_URL", "https://hooks.example.org/S3CR3T-hook")
    monkeypatch.setenv("CSA_DASK", "tcp://joe:S3CR3T-dask@10.0.0.5:8786")

    # not in the lines that raise: tracebacks show these as they are written
    cause = "http://joe:S3CR3T-cause@host.example.org/ is out of reach"
    of_library = "https://host.example.org/?token=S3CR3T-library"

    def out_of_reach(*_):
        try:
            raise OSError(cause)
        except OSError as error:
            raise ValueError(of_library) from error

    bad.write_text("http://joe:S3CR3T-stage@host.example.org/pairs is gone")
    (ws.root / "data" / "fit.json").unlink(missing_ok=True)
    (ws.root / "dvc.lock").unlink(missing_ok=True)
    shutil.rmtree(ws.state / "made", ignore_errors=True)
    with pytest.raises(StageError, match=r"http://host\.example\.org/\*\*\* is gone"):
        run_retrain(Project(ws))
    bad.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(sequence, "record_run", out_of_reach)
        with pytest.raises(ValueError, match=r"^https://host\.example\.org/$"):
            run_retrain(Project(ws))
    run_retrain(Project(ws))
    APILogWorker.drain_all()
    database = Path(PREFECT_API_DATABASE_CONNECTION_URL.value().partition(":///")[2])
    left = {file: file.read_bytes() for file in ws.root.rglob("*") if file.is_file()}
    left |= {file: file.read_bytes() for file in database.parent.glob(f"{database.name}*")}
    kinds = {file.suffix for file in left}
    assert {".duckdb", ".html", ".jsonl", ".db"} <= kinds and len(told) >= 2
    of_prefect = [file for file in left if file.suffix.startswith(".db")]  # and its write-ahead log
    assert any(b"host.example.org/***" in left[file] for file in of_prefect)
    held = {file.name: re.findall(b".{0,80}S3CR3T.{0,20}", left[file]) for file in left}
    assert {name: found for name, found in held.items() if found} == {}
    assert "S3CR3T" not in "".join(capfd.readouterr()) + repr(told)


def test_a_second_run_at_once_is_refused_and_told_who_is_at_work(ws):
    from csa.operations.runs.locked import only_run

    code = (
        "import sys; from pathlib import Path; from csa.pipeline.workspace import Workspace; from "
        "csa.operations.runs.locked import only_run\n"
        "with only_run(Workspace.find(Path(sys.argv[1]))): print('in', flush=True); "
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(ws.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with (
            pytest.raises(
                WorkspaceError,
                match=rf"another run is at work here \(.*process {process.pid}, workspace main",
            ),
            only_run(ws),
        ):
            pass
        process.kill()
    with only_run(ws), only_run(ws):
        pass
