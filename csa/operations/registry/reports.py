"""Reports of registered versions show items, so those of forgotten items are taken back."""

from typing import Any

from csa.operations.registry.registry import Registry


def withdraw(registry: Registry, model: str, versions: list[int]) -> int:
    """Remove the report of each version, and its sheets of results, from MLflow: both hold pictures
    and texts of items. The version itself stays.

    Args:
        registry: where they are registered.
        model: the registered model's name.
        versions: numbers of its versions.

    Returns:
        The number of files removed.

    Raises:
        RegistryError: MLflow does not answer, or cannot remove them.
    """
    removed = 0
    with registry.writing() as client:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        for version in versions:
            run = client.get_run(client.get_model_version(model, str(version)).run_id).info
            files = [
                file.path
                for folder in (None, "evaluation")
                for file in client.list_artifacts(run.run_id, folder)
                if file.path == "report.html" or file.path.startswith("evaluation/sheet_")
            ]
            artifacts: Any = get_artifact_repository(run.artifact_uri)
            for path in files:
                artifacts.delete_artifacts(path)
            removed += len(files)
    return removed
