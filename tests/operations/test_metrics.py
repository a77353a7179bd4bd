"""Run records and the metrics database, with real DuckDB."""

import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import polars as pl
import pytest
from workspaces import STAGES, make_workspace

from csa.errors import ArtifactError, InputError, WorkspaceError
from csa.operations.opened import Project
from csa.operations.runs import executions, metrics, tables
from csa.operations.runs.records import file_sha256, read_record, record_run, recorded_runs
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json, write_json


@pytest.fixture
def ws(tmp_path):
    return make_workspace(tmp_path / "repo")


def content(ws):
    tables = ("runs", "metrics", "queries", "stages")
    return {
        table: metrics.query(ws, f"SELECT * FROM {table} ORDER BY ALL").rows() for table in tables
    }


def test_the_same_result_is_the_same_run_and_is_recorded_once(ws, tmp_path):
    record, new = record_run(Project(ws), STAGES)
    assert new and len(record.run_id) == 16 and read_record(ws, record.run_id) == record
    again, new = record_run(Project(ws), STAGES)
    assert again == record and not new
    elsewhere = make_workspace(
        tmp_path / "clone", gate={"margin": 0.5}, dataset={"path": "/elsewhere/openmoji"}
    )
    assert record_run(Project(elsewhere), STAGES)[0].run_id == record.run_id
    folder = ws.runs / record.run_id
    assert {path.name for path in folder.iterdir()} == {
        "run.json",
        "metrics.json",
        "fit.json",
        "queries.parquet",
    }
    assert file_sha256(folder / "queries.parquet") == record.queries_sha256
    assert record.git_commit == "none" and record.views == ("image", "text")
    assert record.encoders["image"] == "encoder of image" and record.stages["fit"]["seconds"] == 1.5


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"fit": {"seed": 7}}, {"model": {"name": "other"}}]
)
def test_another_result_or_parameter_is_another_run(ws, tmp_path, change):
    other = make_workspace(tmp_path / "other", **change)
    assert record_run(Project(ws), STAGES)[0].run_id != record_run(Project(other), STAGES)[0].run_id


def test_git_commit_and_dirt_are_recorded(ws):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(
            ["git", "-C", ws.root, *identity, *arguments], check=True, capture_output=True
        )

    git("init")
    git("add", "dvc.yaml", "params.yaml", "dvc.lock")
    git("commit", "-m", "x")
    (ws.root / "dvc.lock").write_text((ws.root / "dvc.lock").read_text() + "\n# written by a run")
    record, _ = record_run(Project(ws), STAGES)
    assert len(record.git_commit) == 40 and not record.git_dirty
    (ws.root / "dvc.yaml").write_text("stages: {}  # edited")
    (ws.runs / record.run_id).rename(ws.runs / ".gone")
    assert record_run(Project(ws), STAGES)[0].git_dirty


def test_a_damaged_record_is_named(ws):
    record, _ = record_run(Project(ws), STAGES)
    path = ws.runs / record.run_id / "run.json"
    path.write_text("{}")
    with pytest.raises(ArtifactError, match=r"run\.json: not a run record"):
        read_record(ws, record.run_id)
    path.write_text("{")
    with pytest.raises(ArtifactError, match="damaged"):
        record_run(Project(ws), STAGES)


def test_published_once_and_readable(ws):
    record, _ = record_run(Project(ws), STAGES)
    metrics.publish(ws, record.run_id)
    before = content(ws)
    metrics.publish(ws, record.run_id)
    assert content(ws) == before
    assert {table: len(rows) for table, rows in before.items()} == {
        "runs": 1,
        "metrics": 15,
        "queries": 160,
        "stages": 5,
    }
    row = metrics.metrics_table(ws, 5).row(0, named=True)
    expected = read_json(ws.metrics)["retrieval"]
    assert row["run_id"] == record.run_id and row["views"] == "image,text" and row["pairs"] == 140
    assert row["mrr_forward"] == pytest.approx(expected["image_to_text"]["mrr"]["value"], abs=1e-4)
    assert row["mrr_back"] == pytest.approx(expected["text_to_image"]["mrr"]["value"], abs=1e-4)
    assert row["auc"] == 0.5


def test_a_failed_publish_leaves_nothing(ws):
    record, _ = record_run(Project(ws), STAGES)
    queries = ws.runs / record.run_id / "queries.parquet"
    whole = queries.read_bytes()
    queries.unlink()
    with pytest.raises(ArtifactError, match=r"queries\.parquet"):
        metrics.publish(ws, record.run_id)
    assert metrics.query(ws, "SELECT * FROM runs").is_empty()
    queries.write_bytes(whole)
    metrics.publish(ws, record.run_id)
    assert len(metrics.query(ws, "SELECT * FROM queries")) == 160


def test_rebuilt_from_records_to_the_same_content(ws, tmp_path):
    for seed in range(3):
        other = make_workspace(tmp_path / "repo", seed=seed)
        metrics.publish(other, record_run(Project(other), STAGES)[0].run_id)
    before = content(ws)
    assert len(before["runs"]) == 3 == len(recorded_runs(ws))
    metrics.rebuild(ws)
    assert content(ws) == before
    ws.duckdb.unlink()
    assert content(ws) == before
    assert len(metrics.metrics_table(ws, 2)) == 2


def _junk(path):
    path.write_bytes(b"junk" * 5000)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:3000])


def _flip(path):
    content = bytearray(path.read_bytes())
    for i in range(4096 * 3, len(content), 97):
        content[i] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_junk, _truncate, _flip])
def test_a_damaged_database_is_rebuilt_with_one_line(ws, capsys, damage):
    record, _ = record_run(Project(ws), STAGES)
    metrics.publish(ws, record.run_id)
    before = content(ws)
    damage(ws.duckdb)
    assert content(ws) == before
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "rebuilt from the run records" in err


@pytest.mark.parametrize(
    "sql",
    [
        "SELCT 1",
        "SELECT * FROM nope",
        "DROP TABLE runs",
        "SELECT 'a'::INT",
        "",
        "SELECT * FROM read_csv('nope.csv')",
    ],
)
def test_wrong_sql_is_one_line_and_changes_nothing(ws, sql):
    record, _ = record_run(Project(ws), STAGES)
    metrics.publish(ws, record.run_id)
    with pytest.raises(InputError, match=r"^SQL: ") as error:
        metrics.query(ws, sql)
    assert "\n" not in str(error.value)
    assert len(metrics.query(ws, "SELECT * FROM runs")) == 1


def test_no_runs_yet(ws):
    assert metrics.metrics_table(ws, 5).is_empty()


def test_waits_for_another_process_and_gives_up_in_the_end(ws, monkeypatch):
    record, _ = record_run(Project(ws), STAGES)
    metrics.publish(ws, record.run_id)
    holder = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('in', flush=True); "
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(ws.duckdb)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        monkeypatch.setattr(metrics, "_PATIENCE_SECONDS", 0.3)
        with pytest.raises(WorkspaceError, match="another process keeps it open"):
            metrics.query(ws, "SELECT 1")
        monkeypatch.setattr(metrics, "_PATIENCE_SECONDS", 20)
        threading.Thread(target=lambda: (time.sleep(0.3), process.stdin.close())).start()
        assert len(metrics.query(ws, "SELECT * FROM runs")) == 1


def test_estimates_without_intervals_are_kept(ws):
    assert list(metrics.flatten({"a": {"b": {"value": 1.0}}, "n": 3})) == [("a.b", 1.0, None, None)]


def test_a_path_is_no_pattern_and_every_estimate_has_its_dotted_name(tmp_path):
    beside = make_workspace(tmp_path / "a1", seed=1)
    record_run(Project(beside), STAGES)
    ws = make_workspace(tmp_path / "repo")
    estimates = read_json(ws.metrics) | {
        "not a number": {"a-b": {"value": float("nan"), "low": 0.5}},
        "plain": {"deep": {"deeper": {"value": 2}}},
        "none": {"value": None},
    }
    write_json(ws.metrics, estimates)
    record, _ = record_run(Project(ws), STAGES)
    tasks = {"t1": {"classes": {"value": 0.25}}}
    write_json(ws.runs / record.run_id / "tasks.json", tasks)
    moved = ws.root.rename(tmp_path / "a[1] *it's")
    ws = Workspace(moved, moved / ".csa")
    metrics.publish(ws, record.run_id)
    found = metrics.query(ws, "SELECT * FROM metrics WHERE run_id = '" + record.run_id + "'")
    flat = [
        *metrics.flatten(estimates),
        *metrics.flatten({"tasks": {"t1": {"classes": {"value": 0.25}}}}),
    ]
    expected = pl.DataFrame(flat, schema=found.schema.names()[1:], orient="row")
    assert found.drop("run_id").sort("name").equals(expected.sort("name"))
    assert len(metrics.query(ws, "SELECT * FROM queries")) == 160
    with executions.noted(Project(ws)):
        pass
    assert len(metrics.query(ws, "SELECT * FROM executions")) == 1


def test_records_of_other_kinds_do_not_stop_the_rest(ws):
    record, _ = record_run(Project(ws), STAGES)
    write_json(ws.runs / ".half.123.tmp" / "run.json", {})
    metrics.rebuild(ws)
    assert metrics.query(ws, "SELECT run_id FROM runs")["run_id"].to_list() == [record.run_id]
    assert isinstance(metrics.metrics_table(ws, 1), pl.DataFrame)


def test_a_database_and_records_of_before_average_precision_are_taken_in(ws):
    first, _ = record_run(Project(ws), STAGES)
    with duckdb.connect(str(ws.duckdb)) as con:
        con.execute(tables.SCHEMA)
        for column in ("average_precision", "precision_at_5", "average_precision_at_r"):
            con.execute(f"ALTER TABLE queries DROP COLUMN {column}")
        con.execute("CREATE TABLE tables_version AS SELECT 'of before' AS version")
    assert metrics.query(ws, "SELECT average_precision FROM queries").height == 160
    metrics.publish(ws, first.run_id)
    later = make_workspace(ws.root, seed=1)
    path = later.evaluation / "queries.parquet"
    pl.read_parquet(path).with_columns(pl.lit(0.25).alias("average_precision")).write_parquet(path)
    second, _ = record_run(Project(later), STAGES)
    metrics.publish(later, second.run_id)
    found = metrics.query(
        ws,
        "SELECT run_id, max(average_precision), max(precision_at_5), count(*) FROM queries GROUP "
        "BY 1",
    )
    assert sorted(found.rows()) == sorted(
        [(first.run_id, None, None, 160), (second.run_id, 0.25, None, 160)]
    )


def test_the_docs_name_every_table_view_and_column(ws):
    record, _ = record_run(Project(ws), STAGES)
    metrics.publish(ws, record.run_id)
    page = (Path(__file__).parents[2] / "docs" / "artifacts.md").read_text(encoding="utf-8")
    section = page.partition("\n## metrics.duckdb")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| .*? \| (.*) \|$", section, re.MULTILINE)
    for name, said in rows:
        columns = metrics.query(ws, f"SELECT * FROM {name}").columns
        spans = re.findall(r"`([\w, ]+)`", said)
        named = set(", ".join(spans).split(", ")) - {"image_to_text"}
        if said != "as `runs`":
            assert named == set(columns), name
    known = metrics.query(ws, "SELECT table_name AS name FROM information_schema.tables")["name"]
    assert {name for name, _ in rows} == set(known) - {"tables_version"}
    (example,) = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    assert len(metrics.query(ws, example.strip().removesuffix(";"))) == 2


def test_views_say_what_the_tables_say(ws):
    record, _ = record_run(Project(ws), STAGES)
    metrics.publish(ws, record.run_id)
    expected = read_json(ws.metrics)["retrieval"]
    for row in metrics.query(ws, "SELECT * FROM retrieval").iter_rows(named=True):
        told = expected.pop(row["direction"])
        assert row["recall_at_1"] == told["recall_at_1"]["value"]
        assert (row["mrr"], row["mrr_low"]) == (told["mrr"]["value"], told["mrr"]["low"])
    assert not expected
    costs = metrics.query(ws, "SELECT * FROM costs").row(0, named=True)
    assert costs["seconds"] == sum(metrics.query(ws, "SELECT seconds FROM stages")["seconds"])
    assert metrics.query(ws, "SELECT run_id FROM newest")["run_id"].to_list() == [record.run_id]
