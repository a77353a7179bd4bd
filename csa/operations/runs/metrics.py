"""Metrics of all runs in DuckDB, for reading. The database is rebuilt from the run records whenever
needed, never the only copy.

DuckDB lets one process in at a time while someone writes, so every call here connects, does its
work and leaves.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import duckdb
import polars as pl

from csa.errors import ArtifactError, InputError, WorkspaceError
from csa.operations.runs import executions
from csa.operations.runs.records import TASKS_FILE, file_sha256, read_record, recorded_runs
from csa.pipeline.workspace import Workspace
from csa.storage.files import read_json

T = TypeVar("T")

_PATIENCE_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (run_id VARCHAR PRIMARY KEY, created VARCHAR, workspace VARCHAR,
    model VARCHAR, views VARCHAR, train_pairs BIGINT, test_pairs BIGINT, git_commit VARCHAR,
    git_dirty BOOLEAN, params_hash VARCHAR, evaluation_id VARCHAR,
    alignment_sha256 VARCHAR, params VARCHAR);
CREATE TABLE IF NOT EXISTS metrics (run_id VARCHAR, name VARCHAR, value DOUBLE, low DOUBLE,
    high DOUBLE);
CREATE TABLE IF NOT EXISTS queries (run_id VARCHAR, direction VARCHAR, query VARCHAR,
    "group" VARCHAR, rank BIGINT,
    gallery BIGINT, recall_at_1 DOUBLE, recall_at_5 DOUBLE, recall_at_10 DOUBLE, mrr DOUBLE);
ALTER TABLE queries ADD COLUMN IF NOT EXISTS average_precision DOUBLE;
ALTER TABLE queries ADD COLUMN IF NOT EXISTS precision_at_5 DOUBLE;
ALTER TABLE queries ADD COLUMN IF NOT EXISTS average_precision_at_r DOUBLE;
CREATE TABLE IF NOT EXISTS stages (run_id VARCHAR, stage VARCHAR, seconds DOUBLE, record VARCHAR);
ALTER TABLE stages ADD COLUMN IF NOT EXISTS cpu_seconds DOUBLE;
ALTER TABLE stages ADD COLUMN IF NOT EXISTS peak_megabytes DOUBLE;
ALTER TABLE stages ADD COLUMN IF NOT EXISTS computed BIGINT;
ALTER TABLE stages ADD COLUMN IF NOT EXISTS reused BIGINT;
ALTER TABLE stages ADD COLUMN IF NOT EXISTS bytes BIGINT;
"""
_STAGE_COSTS = ("cpu_seconds", "peak_megabytes", "computed", "reused", "bytes")
_QUERY_COLUMNS = (
    "direction",
    "query",
    "group",
    "rank",
    "gallery",
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "mrr",
)
# What later versions measure as well; records of earlier ones have it not, and a database made by
# one gets the columns.
_LATER_QUERY_COLUMNS = ("average_precision", "precision_at_5", "average_precision_at_r")


def publish(ws: Workspace, run_id: str) -> None:
    """Enter one recorded run, in one transaction; a run that is there already stays as it is.

    Raises:
        ArtifactError: the run's record is missing or damaged.
        WorkspaceError: the database stayed locked.
    """
    _with_database(ws, lambda con: _enter(con, ws, run_id))


def rebuild(ws: Workspace) -> None:
    """Delete the database and write it anew from the run records."""
    _delete(ws)
    _with_database(ws, lambda con: _enter_all(con, ws))


def query(ws: Workspace, sql: str) -> pl.DataFrame:
    """The answer to a question in SQL; tables: runs, metrics, queries, stages, executions. Nothing
    can be changed by it.

    Raises:
        InputError: the SQL is wrong, or tries to write.
        WorkspaceError: the database stayed locked.
    """

    def ask(con: duckdb.DuckDBPyConnection) -> pl.DataFrame:
        _show_executions(con, ws)
        relation = con.sql(sql)
        if relation is None:
            raise InputError(f"SQL: {sql!r} asks for nothing; write a SELECT")
        answer: pl.DataFrame = relation.pl()
        return answer

    if not ws.duckdb.is_file():
        rebuild(ws)
    try:
        return _with_database(ws, ask, read_only=True)
    except duckdb.Error as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"SQL: {said}; tables are runs, metrics, queries, stages and executions"
        ) from None


def metrics_table(ws: Workspace, limit: int) -> pl.DataFrame:
    """One row a run, newest first: id, when, workspace, pairs, recall and MRR in both directions,
    AUC.

    `forward` is from the first view to the second.
    """
    chosen = {"r1": "recall_at_1", "r10": "recall_at_10", "mrr": "mrr"}
    columns = [
        f"round(max(value) FILTER (name = 'retrieval.' || {way} || '.{metric}'), 4) AS "
        f"{short}_{side}"
        for short, metric in chosen.items()
        for side, way in (("forward", "forward"), ("back", "back"))
    ]
    return query(
        ws,
        f"""
        WITH listed AS (
            SELECT *, replace(views, ',', '_to_') AS forward,
                split_part(views, ',', 2) || '_to_' || split_part(views, ',', 1) AS back
            FROM runs ORDER BY created DESC, run_id LIMIT {int(limit)}
        )
        SELECT run_id, created, workspace, views, train_pairs + test_pairs AS pairs,
            {", ".join(columns)},
            round(max(value) FILTER (name = 'mismatch.auc'), 4) AS auc
        FROM listed LEFT JOIN metrics USING (run_id) GROUP BY ALL ORDER BY created DESC, run_id
        """,
    )


def flatten(
    metrics: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, float, float | None, float | None]]:
    """The estimates in a `metrics.json` as (dotted name, value, low, high)."""
    for key, value in metrics.items():
        if isinstance(value, dict) and "value" in value:
            yield f"{prefix}{key}", value["value"], value.get("low"), value.get("high")
        elif isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")


def _enter_all(con: duckdb.DuckDBPyConnection, ws: Workspace) -> None:
    for run_id in recorded_runs(ws):
        _enter(con, ws, run_id)


def _enter(con: duckdb.DuckDBPyConnection, ws: Workspace, run_id: str) -> None:
    if con.execute("SELECT 1 FROM runs WHERE run_id = ?", [run_id]).fetchone():
        return
    run, folder = read_record(ws, run_id), ws.runs / run_id
    metrics = read_json(folder / "metrics.json")
    facts = [
        run.created,
        run.workspace,
        run.model,
        ",".join(run.views),
        metrics["pairs"]["train"],
        metrics["pairs"]["test"],
    ]
    facts += [
        run.git_commit,
        run.git_dirty,
        run.params_hash,
        run.evaluation_id,
        run.alignment_sha256,
        json.dumps(run.params),
    ]
    con.execute(f"INSERT INTO runs VALUES (?{', ?' * len(facts)})", [run_id, *facts])
    tasks = {"tasks": read_json(folder / TASKS_FILE)} if (folder / TASKS_FILE).is_file() else {}
    for row in (*flatten(metrics), *flatten(tasks)):
        con.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?)", [run_id, *row])
    for stage, done in run.stages.items():
        costs = [done.get(key) for key in _STAGE_COSTS]
        con.execute(
            "INSERT INTO stages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [run_id, stage, done["seconds"], json.dumps(done), *costs],
        )
    queries = folder / "queries.parquet"
    if not queries.is_file() or file_sha256(queries) != run.queries_sha256:
        raise ArtifactError(
            f"{queries}: missing or damaged; delete {folder} and run `csa run` again"
        )
    recorded = pl.read_parquet_schema(queries)
    columns = ", ".join(
        f'"{name}"'
        for name in (*_QUERY_COLUMNS, *(c for c in _LATER_QUERY_COLUMNS if c in recorded))
    )
    con.execute(
        f"INSERT INTO queries BY NAME SELECT ? AS run_id, {columns} FROM read_parquet(?)",
        [run_id, str(queries)],
    )


def _show_executions(con: duckdb.DuckDBPyConnection, ws: Workspace) -> None:
    """The file of executions as a table of this connection: it is never copied, so never out of
    date.
    """
    columns = ", ".join(f"{name} {kind}" for name, kind in executions.COLUMNS.items())
    con.execute(f"CREATE TEMP TABLE executions ({columns})")
    file = executions.executions_file(ws)
    if file.is_file() and file.stat().st_size:
        read = (
            "read_json($file, format = 'newline_delimited', columns = $columns, ignore_errors "
            "= true)"
        )
        con.execute(
            f"INSERT INTO executions SELECT * FROM {read}",
            {"file": str(file), "columns": executions.COLUMNS},
        )


class _DamagedError(Exception):
    """The database file cannot be read."""


def _with_database(
    ws: Workspace, work: Callable[[duckdb.DuckDBPyConnection], T], read_only: bool = False
) -> T:
    """Do work in one transaction. A damaged database is written anew from the records first,
    with a word about it.
    """
    try:
        return _transaction(ws, work, read_only)
    except _DamagedError as damage:
        print(f"{ws.duckdb}: damaged ({damage}); rebuilt from the run records", file=sys.stderr)
    rebuild(ws)
    return _transaction(ws, work, read_only)


def _transaction(
    ws: Workspace, work: Callable[[duckdb.DuckDBPyConnection], T], read_only: bool
) -> T:
    with _connect(ws, read_only) as con:
        try:
            if read_only:
                return work(con)
            con.execute(_SCHEMA)
            con.execute("BEGIN")
            result = work(con)
            con.execute("COMMIT")
            return result
        except duckdb.Error as error:
            # A block whose checksum is wrong is met late, and raises the base class itself.
            if type(error) is duckdb.Error or isinstance(
                error, duckdb.FatalException | duckdb.SerializationException
            ):
                raise _DamagedError(str(error).splitlines()[0]) from None
            raise


def _connect(ws: Workspace, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Connect, waiting while another process is in."""
    ws.duckdb.parent.mkdir(parents=True, exist_ok=True)
    pause, deadline = 0.02, time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return duckdb.connect(str(ws.duckdb), read_only=read_only)
        except duckdb.Error as error:
            said = " ".join(str(error).split())
            if "Could not set lock" not in said:
                raise _DamagedError(said) from None
            if time.monotonic() > deadline:
                raise WorkspaceError(
                    f"{ws.duckdb}: another process keeps it open ({said}); end it and try again"
                ) from None
        time.sleep(pause)
        pause = min(2 * pause, 1.0)


def _delete(ws: Workspace) -> None:
    for path in (ws.duckdb, ws.duckdb.with_name(ws.duckdb.name + ".wal")):
        path.unlink(missing_ok=True)
