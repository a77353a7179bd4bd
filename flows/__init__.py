"""When the pipeline runs and who is told: Prefect flows and thin adapters to DVC, MLflow and
DuckDB.
"""
