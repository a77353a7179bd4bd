"""Where the items of a data set lie."""

from pathlib import Path

from csa.params.data import DatasetParams


def dataset_path(dataset: DatasetParams, workspace_root: Path) -> Path:
    """The data set's folder or file; `~` is the home folder.

    Args:
        dataset: which data set.
        workspace_root: what a relative `dataset.path` is relative to.

    Returns:
        The path; whether anything lies there was not looked at.
    """
    return workspace_root / Path(dataset.path).expanduser()


def dataset_root(dataset: DatasetParams, workspace_root: Path) -> Path:
    """The folder that paths of a data set's items are relative to: `dataset.path`, or the folder of
    the table that it names.

    Args:
        dataset: which data set.
        workspace_root: what a relative `dataset.path` is relative to.

    Returns:
        The folder.
    """
    path = dataset_path(dataset, workspace_root)
    return path.parent if path.is_file() else path
