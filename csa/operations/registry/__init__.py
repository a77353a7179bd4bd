"""The adapter to MLflow's model registry."""
