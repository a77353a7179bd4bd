"""Metrics of all runs in DuckDB, for reading. The database is rebuilt from the run records whenever
needed, never the only copy.

DuckDB lets one process in at a time while someone writes, so every call here connects, does its
work and leaves.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import polars as pl

from csa.errors import ArtifactError, InputError, WorkspaceError
from csa.operations.runs import executions, tables
from csa.operations.runs.records import TASKS_FILE, file_sha256, read_record, recorded_runs
from csa.pipeline.workspace import Workspace
from csa.storage.files import plain_words, read_json

T = TypeVar("T")

_PATIENCE_SECONDS = 30.0
# A question may read the tables: no file, address, extension or setting, no variable of Python.
_LOCKED = """
SET python_enable_replacements = false; SET enable_external_access = false;
SET lock_configuration = true
"""
_FILL_RUNS = """
INSERT INTO runs BY NAME
SELECT r.run_id, r.created, r.workspace, r.model,
    array_to_string(json_keys(r.params, '$.views'), ',') AS views,
    CAST(m.pairs->>'$.train' AS BIGINT) AS train_pairs,
    CAST(m.pairs->>'$.test' AS BIGINT) AS test_pairs,
    r.git_commit, r.git_dirty, r.params_hash, r.evaluation_id, r.alignment_sha256,
    CAST(r.params AS VARCHAR) AS params
FROM read_json($records, filename = true, hive_partitioning = false, columns = {
    run_id: 'VARCHAR', created: 'VARCHAR', workspace: 'VARCHAR', model: 'VARCHAR', params: 'JSON',
    git_commit: 'VARCHAR', git_dirty: 'BOOLEAN', params_hash: 'VARCHAR', evaluation_id: 'VARCHAR',
    alignment_sha256: 'VARCHAR'}) r
JOIN read_json($metrics, filename = true, hive_partitioning = false, columns = {pairs: 'JSON'}) m
    ON parse_path(m.filename)[-2] = r.run_id
"""
_FILL_STAGES = """
INSERT INTO stages BY NAME
SELECT run_id, s.key AS stage, CAST(s.value AS VARCHAR) AS record,
    CAST(s.value->>'$.seconds' AS DOUBLE) AS seconds,
    CAST(s.value->>'$.cpu_seconds' AS DOUBLE) AS cpu_seconds,
    CAST(s.value->>'$.peak_megabytes' AS DOUBLE) AS peak_megabytes,
    CAST(s.value->>'$.computed' AS BIGINT) AS computed,
    CAST(s.value->>'$.reused' AS BIGINT) AS reused,
    CAST(s.value->>'$.bytes' AS BIGINT) AS bytes
FROM read_json($records, hive_partitioning = false,
    columns = {run_id: 'VARCHAR', stages: 'JSON'}), json_each(stages) s
"""
# Every estimate is an object with a value, wherever in the file it lies: `$.a."b-c"` is a.b-c.
# Those of tasks.json are under `tasks`.
_FILL_METRICS = """
INSERT INTO metrics BY NAME
SELECT parse_path(filename)[-2] AS run_id,
    CASE WHEN parse_path(filename)[-1] = $tasks THEN 'tasks.' ELSE '' END
        || replace(substr(e.fullkey, 3), '"', '') AS name,
    CAST(e.value->>'$.value' AS DOUBLE) AS value, CAST(e.value->>'$.low' AS DOUBLE) AS low,
    CAST(e.value->>'$.high' AS DOUBLE) AS high
FROM read_json_objects($files, filename = true, hive_partitioning = false) f, json_tree(f.json) e
WHERE e.type = 'OBJECT' AND json_exists(e.value, '$.value')
"""
# Records of earlier versions have fewer columns, which stay null.
_FILL_QUERIES = f"""
INSERT INTO queries BY NAME
SELECT parse_path(filename)[-2] AS run_id,
    COLUMNS(lambda name: name IN ({", ".join(f"'{name}'" for name in tables.OF_QUERIES)}))
FROM read_parquet($files, filename = true, union_by_name = true, hive_partitioning = false)
"""


def publish(ws: Workspace, run_id: str) -> None:
    """Enter one recorded run, in one transaction; a run that is there already stays as it is.

    Args:
        ws: whose database.
        run_id: of the run.

    Raises:
        ArtifactError: the run's record is missing or damaged.
        WorkspaceError: the database stayed locked.
    """
    _with_database(ws, lambda con: _enter(con, ws, [run_id]))


def rebuild(ws: Workspace) -> None:
    """Delete the database and write it anew from the run records."""
    _delete(ws)
    _with_database(ws, lambda con: _enter(con, ws, recorded_runs(ws)))


def query(ws: Workspace, sql: str) -> pl.DataFrame:
    """The answer to a question in SQL; tables: runs, metrics, queries, stages, executions; views:
    retrieval, newest, costs (docs/artifacts.md). Nothing can be changed by it.

    Args:
        ws: whose database.
        sql: a SELECT.

    Returns:
        The answer's rows and columns.

    Raises:
        InputError: the SQL is wrong, or tries to write.
        WorkspaceError: the database stayed locked.
    """

    def ask(con: duckdb.DuckDBPyConnection) -> pl.DataFrame:
        _show_executions(con, ws)
        con.execute(_LOCKED)
        relation = con.sql(sql)
        if relation is None:
            raise InputError(f"SQL: {sql!r} asks for nothing; write a SELECT")
        return _as_frame(relation)

    if not ws.duckdb.is_file():
        rebuild(ws)
    try:
        return _with_database(ws, ask, read_only=True)
    except duckdb.Error as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"SQL: {said}; tables are runs, metrics, queries, stages and executions, views "
            f"retrieval, newest and costs"
        ) from None


def _as_frame(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """An answer as a table; a type that polars lacks is said."""
    try:
        answer: pl.DataFrame = relation.pl()
    except (duckdb.Error, KeyboardInterrupt):
        raise
    except BaseException as error:  # polars' PanicException is no Exception
        types = ", ".join(sorted({str(kind) for kind in relation.types}))
        raise InputError(
            f"SQL: the answer holds what no table here can ({types}; {plain_words(error)}); cast "
            f"it, such as column::VARCHAR"
        ) from None
    return answer


def metrics_table(ws: Workspace, limit: int) -> pl.DataFrame:
    """One row a run, newest first: id, when, workspace, pairs, recall and MRR in both directions,
    AUC.

    `forward` is from the first view to the second.

    Args:
        ws: whose database.
        limit: at most this many runs.

    Returns:
        The rows; none where no run is on record.
    """
    chosen = {"r1": "recall_at_1", "r10": "recall_at_10", "mrr": "mrr"}
    columns = [
        f"round({side}.{metric}, 4) AS {short}_{side}"
        for short, metric in chosen.items()
        for side in ("forward", "back")
    ]
    return query(
        ws,
        f"""
        WITH listed AS (
            SELECT *, replace(views, ',', '_to_') AS way,
                split_part(views, ',', 2) || '_to_' || split_part(views, ',', 1) AS way_back
            FROM runs ORDER BY created DESC, run_id LIMIT {int(limit)}
        )
        SELECT listed.run_id, listed.created, listed.workspace, views,
            train_pairs + test_pairs AS pairs,
            {", ".join(columns)}, round(auc.value, 4) AS auc
        FROM listed
        LEFT JOIN retrieval forward ON (forward.run_id, forward.direction) = (listed.run_id, way)
        LEFT JOIN retrieval back ON (back.run_id, back.direction) = (listed.run_id, way_back)
        LEFT JOIN metrics auc ON (auc.run_id, auc.name) = (listed.run_id, 'mismatch.auc')
        ORDER BY listed.created DESC, listed.run_id
        """,
    )


def flatten(
    metrics: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, float, float | None, float | None]]:
    """The estimates in a `metrics.json` as (dotted name, value, low, high).

    Args:
        metrics: the content of the file, or a part of it.
        prefix: before every name.

    Yields:
        One tuple an estimate; low and high are None if it has no interval.
    """
    for key, value in metrics.items():
        if isinstance(value, dict) and "value" in value:
            yield f"{prefix}{key}", value["value"], value.get("low"), value.get("high")
        elif isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")


def _enter(con: duckdb.DuckDBPyConnection, ws: Workspace, run_ids: list[str]) -> None:
    """Fill the tables from the records of runs that they do not have yet."""
    known = {row[0] for row in con.execute("SELECT run_id FROM runs").fetchall()}
    new = [run_id for run_id in run_ids if run_id not in known]
    if not new:
        return
    for run_id in new:
        _check_record(ws, run_id)
    folders = [ws.runs / run_id for run_id in new]

    def files(name: str) -> list[str]:
        return [_literal(file) for folder in folders if (file := folder / name).is_file()]

    records, estimates, tasks = files("run.json"), files("metrics.json"), files(TASKS_FILE)
    con.execute(_FILL_RUNS, {"records": records, "metrics": estimates})
    con.execute(_FILL_STAGES, {"records": records})
    con.execute(_FILL_METRICS, {"files": estimates + tasks, "tasks": TASKS_FILE})
    con.execute(_FILL_QUERIES, {"files": files("queries.parquet")})


def _check_record(ws: Workspace, run_id: str) -> None:
    """Refuse a record that is damaged, or not whole."""
    run, folder = read_record(ws, run_id), ws.runs / run_id
    read_json(folder / "metrics.json")
    queries = folder / "queries.parquet"
    if not queries.is_file() or file_sha256(queries) != run.queries_sha256:
        raise ArtifactError(
            f"{queries}: missing or damaged; delete {folder} and run `csa run` again"
        )


def _literal(path: Path) -> str:
    """A path for DuckDB's readers, which take every path for a pattern. They also make a column of
    a folder called NAME=VALUE unless `hive_partitioning` is false.
    """
    return re.sub(r"([*?\[])", r"[\1]", str(path))


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
            "= true, hive_partitioning = false)"
        )
        con.execute(
            f"INSERT INTO executions SELECT * FROM {read}",
            {"file": _literal(file), "columns": executions.COLUMNS},
        )


class _DamagedError(Exception):
    """The database file cannot be read."""


class _OutdatedError(Exception):
    """The database file has tables of another version."""


def _with_database(
    ws: Workspace, work: Callable[[duckdb.DuckDBPyConnection], T], read_only: bool = False
) -> T:
    """Do work in one transaction. A database that is damaged, with a word about it, or of another
    version is written anew from the records first.
    """
    try:
        return _transaction(ws, work, read_only)
    except _OutdatedError:
        pass
    except _DamagedError as damage:
        print(f"{ws.duckdb}: damaged ({damage}); rebuilt from the run records", file=sys.stderr)
    rebuild(ws)
    return _transaction(ws, work, read_only)


def _transaction(
    ws: Workspace, work: Callable[[duckdb.DuckDBPyConnection], T], read_only: bool
) -> T:
    with _connect(ws, read_only) as con:
        try:
            _prepare(con, read_only)
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


def _prepare(con: duckdb.DuckDBPyConnection, read_only: bool) -> None:
    """Make the tables in a new file; those of an old one have to be of this version."""
    found = {row[0] for row in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not found and not read_only:
        version = f"CREATE TABLE tables_version AS SELECT '{tables.VERSION}' AS version;"
        con.execute(f"BEGIN; {tables.SCHEMA} {version} COMMIT")
    elif "tables_version" not in found or con.execute(
        "SELECT version FROM tables_version"
    ).fetchall() != [(tables.VERSION,)]:
        raise _OutdatedError


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
