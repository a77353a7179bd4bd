"""What a run leaves for those who watch: executions on record and in DuckDB, word to a webhook,
status.
"""

import json

import pytest
from hook import Hook
from workspaces import make_workspace, metrics_of, queries_table

from csa.errors import RefusedError, StageError
from csa.flows import watching
from csa.operations import scheduler
from csa.operations.inspection.status import status_text
from csa.operations.opened import Project
from csa.operations.runs import executions, metrics
from csa.operations.runs.executions import Execution
from csa.params.project import NotifyParams
from csa.storage.files import write_json


@pytest.fixture
def ws(tmp_path):
    return make_workspace(tmp_path / "repo")


@pytest.fixture
def hook(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("CSA_NOTIFY_URL", raising=False)
    monkeypatch.setattr(watching, "_PAUSE_SECONDS", 0.001)
    made = []

    def make(*codes):
        made.append(Hook(*codes))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def test_every_outcome_is_an_execution_with_its_cost(ws):
    with executions.noted(Project(ws)) as execution:
        sum(i * i for i in range(2_000_000))
        costs = {"seconds": 2.5, "cpu_seconds": 2.0, "peak_megabytes": 90.0}
        write_json(ws.stage_record("fit"), {"stage": "fit", **costs, "pairs": 7})
        execution.run_id, execution.verdict, execution.message = "r", "keep", "a tie"
        execution.stages = {"fit": {"status": "ran"}, "ingest": {"status": "unchanged"}}
    with pytest.raises(RefusedError), executions.noted(Project(ws)):
        raise RefusedError("leakage: 3 pairs")
    with pytest.raises(StageError), executions.noted(Project(ws)):
        raise StageError("row 3: empty caption")
    with pytest.raises(KeyboardInterrupt), executions.noted(Project(ws)):
        raise KeyboardInterrupt
    lines = [json.loads(line) for line in executions.executions_file(ws).read_text().splitlines()]
    assert [line["outcome"] for line in lines] == ["done", "refused", "failed", "interrupted"]
    assert lines[0]["cpu_seconds"] > 0 and lines[0]["seconds"] >= 0.01
    assert lines[0]["stages"] == {
        "fit": {"status": "ran", **costs},
        "ingest": {"status": "unchanged"},
    }, "what did not run has no cost"
    assert lines[1]["message"] == "leakage: 3 pairs" and lines[1]["run_id"] is None
    assert executions.last(ws)["outcome"] == "interrupted"


def test_a_torn_line_is_skipped_by_all_who_read(ws):
    with executions.noted(Project(ws)) as execution:
        execution.run_id = "first"
    file = executions.executions_file(ws)
    with file.open("ab") as log:
        log.write(b'{"started": "2026-01-01T0')
    assert executions.last(ws)["run_id"] == "first"
    with executions.noted(Project(ws)) as execution:
        execution.run_id = "second"
    assert executions.last(ws)["run_id"] == "second"
    found = metrics.query(ws, "SELECT run_id FROM executions ORDER BY started, run_id")
    assert [row for row in found["run_id"].to_list() if row] == ["first", "second"]


def test_duckdb_has_executions_and_stage_costs(ws):
    assert metrics.query(ws, "SELECT count(*) AS n FROM executions")["n"].to_list() == [0]
    from workspaces import STAGES

    from csa.operations.runs.records import record_run

    costs = {
        "seconds": 3.5,
        "cpu_seconds": 3.0,
        "peak_megabytes": 200.5,
        "computed": 4,
        "reused": 60,
    }
    write_json(ws.stage_record("embed@image"), {"stage": "embed@image", **costs})
    run, _ = record_run(Project(ws), STAGES)
    metrics.publish(ws, run.run_id)
    with executions.noted(Project(ws)) as execution:
        execution.run_id, execution.stages = run.run_id, {"fit": {"status": "ran"}}
    found = metrics.query(
        ws,
        "SELECT s.*, e.stages->>'$.fit.status' AS fit FROM stages s JOIN executions e USING "
        "(run_id) WHERE stage = 'embed@image'",
    )
    row = found.to_dicts()[0]
    assert (
        row["cpu_seconds"],
        row["peak_megabytes"],
        row["computed"],
        row["reused"],
        row["fit"],
    ) == (3.0, 200.5, 4, 60, "ran")


def test_a_webhook_is_told_what_it_asked_for(ws, hook):
    told = hook(200, 500, 204, 404)
    settings = NotifyParams(url=told.url, events=["refused", "promoted"])
    done = Execution(
        "2026-01-01T00:00:00+00:00",
        "main",
        "birds",
        "done",
        61.2,
        80.0,
        "r",
        3,
        "promote",
        "better: mrr +0.1",
    )
    assert watching.tell(settings, done) is None
    assert told.told[0]["event"] == "promoted" and told.told[0]["execution"]["version"] == 3
    assert told.told[0]["text"].startswith(
        "csa: birds version 3: promote: better: mrr +0.1 (61 s, 80 s of processor time; no stage"
    )
    done.verdict = "keep"
    assert watching.tell(settings, done) is None and len(told.told) == 1, "kept was not asked for"
    refused = Execution("2026-01-01T00:00:00+00:00", "main", "birds", "refused", message="leakage")
    assert watching.tell(settings, refused) is None and len(told.told) == 3, (
        "a second try after 500"
    )
    assert told.told[2]["text"].startswith("csa: birds: refused: leakage"), "there is no version"
    said = watching.tell(settings, refused)
    assert said == "the webhook was not told (it answered 404)" and len(told.told) == 4, (
        "no second try after 404"
    )


def test_an_address_of_apprise_gets_the_line_for_people(hook, caplog):
    told = hook(200, 500, 500, 200, 500, 500, 500)
    address = told.url.replace("http://", "json://")
    settings = NotifyParams(url=address, events=["refused", "promoted"])
    done = Execution("2026-01-01T00:00:00+00:00", "main", "birds", "done", 61.2, 80.0)
    done.verdict, done.message = "promote", "better: mrr +0.1"
    assert watching.tell(settings, done) is None
    assert told.told[0]["title"] == "csa promoted" and told.told[0]["type"] == "success"
    assert told.told[0]["message"].startswith("birds: promote: better: mrr +0.1 (61 s")
    done.verdict = "keep"
    assert watching.tell(settings, done) is None and len(told.told) == 1, "kept was not asked for"
    refused = Execution("2026-01-01T00:00:00+00:00", "main", "birds", "refused", message="leakage")
    assert watching.tell(settings, refused) is None and len(told.told) == 4, "the third try"
    said = watching.tell(settings, refused)
    assert said == "the webhook was not told (the service did not take it)"
    nobody = watching.tell(NotifyParams(url="nonsense://secret"), refused)
    assert nobody == "the webhook was not told (apprise knows no such address)"
    assert len(told.told) == 7 and not caplog.text, "nothing names the address"


def test_a_webhook_out_of_reach_stops_nothing_and_its_address_is_not_shown(
    ws, hook, monkeypatch, capsys
):
    monkeypatch.setenv("CSA_NOTIFY_URL", "http://127.0.0.1:9/secret-part")
    with pytest.raises(StageError, match="broke"), watching.watched(Project(ws)):
        raise StageError("broke")
    said = capsys.readouterr().err
    assert "note: the webhook was not told" in said and "secret" not in said
    assert executions.last(ws)["message"] == "broke"


def test_status_says_what_there_is():
    state = {
        "workspace": "main",
        "folder": "/x",
        "up_to_date": False,
        "out_of_date": ["fit"],
        "stages": {"ingest": {"stage": "ingest", "seconds": 1.0, "pairs": 2502}, "fit": None},
        "metrics": metrics_of(queries_table()),
        "last_run": Execution(
            "2026-01-01T00:00:00+00:00", "main", "m", "refused", 9, 8, message="leakage: 3"
        ).as_dict(),
        "champion": {"model": "m", "version": 2, "run_id": "abc", "is_this": False},
        "asked": None,
        "checks": [{"name": "leakage", "outcome": "refuse", "said": "3 groups in both splits"}],
        "next_run": None,
        "to_forget": 2,
        "disk_bytes": {"features": 5_000_000, "runs": 10},
    }
    text = status_text(state)
    for line in (
        "ingest        up to date   last ran in 1.0 s, 2,502 pairs",
        "fit           out of date  never ran",
        "image → text  R@1 ",
        "9 s, 8 s of processor time; refused: leakage: 3",
        "champion      m version 2 (run abc, not what is here)",
        "checks        leakage refuse: 3 groups in both splits",
        "to forget     2 items",
        "disk          features 5 MB",
    ):
        assert line in text, text


def test_no_server_means_no_next_run():
    assert scheduler.next_run("http://127.0.0.1:9/api") is None
