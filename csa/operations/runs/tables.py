"""The tables and views of the metrics database; docs/artifacts.md says what each column is."""

import hashlib

OF_QUERIES = {
    "direction": "VARCHAR",
    "query": "VARCHAR",
    "group": "VARCHAR",
    "rank": "BIGINT",
    "gallery": "BIGINT",
    "recall_at_1": "DOUBLE",
    "recall_at_5": "DOUBLE",
    "recall_at_10": "DOUBLE",
    "mrr": "DOUBLE",
    "average_precision": "DOUBLE",
    "precision_at_5": "DOUBLE",
    "average_precision_at_r": "DOUBLE",
}
"""Columns of the table `queries` beside run_id."""

_RETRIEVAL = ", ".join(
    f"max(value) FILTER (name LIKE '%.{metric}') AS {metric}"
    for metric in ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
)

SCHEMA = f"""
CREATE TABLE runs (run_id VARCHAR PRIMARY KEY, created VARCHAR, workspace VARCHAR, model VARCHAR,
    views VARCHAR, train_pairs BIGINT, test_pairs BIGINT, git_commit VARCHAR, git_dirty BOOLEAN,
    params_hash VARCHAR, evaluation_id VARCHAR, alignment_sha256 VARCHAR, params VARCHAR);
CREATE TABLE metrics (run_id VARCHAR, name VARCHAR, value DOUBLE, low DOUBLE, high DOUBLE);
CREATE TABLE queries (run_id VARCHAR,
    {", ".join(f'"{name}" {kind}' for name, kind in OF_QUERIES.items())});
CREATE TABLE stages (run_id VARCHAR, stage VARCHAR, seconds DOUBLE, record VARCHAR,
    cpu_seconds DOUBLE, peak_megabytes DOUBLE, computed BIGINT, reused BIGINT, bytes BIGINT);
CREATE VIEW retrieval AS
    SELECT run_id, created, workspace, model, split_part(name, '.', 2) AS direction,
        {_RETRIEVAL}, max(low) FILTER (name LIKE '%.mrr') AS mrr_low,
        max(high) FILTER (name LIKE '%.mrr') AS mrr_high
    FROM metrics JOIN runs USING (run_id)
    WHERE regexp_full_match(name, 'retrieval\\.[^.]+\\.[^.]+') GROUP BY ALL;
CREATE VIEW newest AS
    SELECT * FROM runs
    QUALIFY row_number() OVER (PARTITION BY workspace ORDER BY created DESC, run_id) = 1;
CREATE VIEW costs AS
    SELECT run_id, created, workspace, model, sum(seconds) AS seconds,
        sum(cpu_seconds) AS cpu_seconds, max(peak_megabytes) AS peak_megabytes,
        sum(computed)::BIGINT AS computed, sum(reused)::BIGINT AS reused
    FROM stages JOIN runs USING (run_id) GROUP BY ALL;
"""
"""What makes the tables and views in an empty database."""

VERSION = hashlib.sha256(SCHEMA.encode()).hexdigest()[:16]
"""Of the schema. A file that has another one is deleted and written anew."""
