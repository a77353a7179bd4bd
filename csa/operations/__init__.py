"""What runs around the stages: caches, records, registry, ledger, gate and reports (DVC, MLflow,
DuckDB).
"""
