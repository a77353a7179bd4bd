"""DVC's own settings, read as DVC reads them, and written whole or not at all.

DVC's own writer takes ASCII alone, and leaves an empty file where an address holds anything else.
"""

import logging
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from csa.errors import WorkspaceError
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_atomic


def of_workspace(ws: Workspace) -> Any:
    """What all of DVC's files of settings say together: the machine's, the user's, and the
    repository's that a workspace lies in.

    Args:
        ws: the workspace.

    Returns:
        Section -> key -> value; `remote` -> name -> key -> value. Paths are absolute.

    Raises:
        WorkspaceError: DVC cannot read one of the files.
    """
    from dvc.config import Config, ConfigError  # type: ignore[import-untyped]
    from dvc.exceptions import NotDvcRepoError  # type: ignore[import-untyped]
    from dvc.repo import Repo  # type: ignore[import-untyped]

    try:
        folder = Repo.find_dvc_dir(str(ws.root))
    except NotDvcRepoError:
        folder = None
    try:
        return Config(folder, validate=False)
    except ConfigError as error:
        said = " ".join(str(error).split())
        raise WorkspaceError(f"{ws.root}: DVC cannot read its settings ({said})") from None


def silence_dvc() -> None:
    """DVC in this process says nothing of its own: standard output is our answer's, and its errors
    are raised too.
    """
    for name in ("dvc", "dvc_objects", "dvc_data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def make_repo(folder: Path, git: bool) -> None:
    """Make a folder a DVC repository, as `dvc init` does, that sends nothing to DVC's makers.

    Args:
        folder: which; DVC knows nothing of it yet.
        git: whether it is the top of a git repository.

    Raises:
        WorkspaceError: DVC cannot.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    def quiet(config: Any) -> None:
        config.indent_type = "    "
        own = {"analytics": "false", "check_update": "false"}
        config["core"] = config.get("core", {}) | own

    silence_dvc()
    try:
        with Repo.init(str(folder), no_scm=not git) as repo:
            change(Path(repo.dvc_dir) / "config", quiet)
    except DvcException as error:
        raise WorkspaceError(
            f"{folder}: `dvc init` failed: {' '.join(str(error).split())}"
        ) from None


def config_of(path: Path) -> Any:
    """A file of DVC's configuration, with absolute paths: DVC reads relative ones from its folder.
    It is read and written as DVC does it, so that a path may hold a comma or a hash.

    Args:
        path: of the file; it need not exist.

    Returns:
        The sections, as configobj has them.
    """
    config = _read(path)
    for section in config.sections:
        for key in ("url", "dir"):
            value = config[section].get(key)
            if value is not None and "://" not in value:
                config[section][key] = str((path.parent / value).resolve())
    return config


def write(config: Any, path: Path) -> None:
    """Write settings, unless the file says the same.

    Args:
        config: the sections, as configobj has them.
        path: of the file.
    """
    content = BytesIO()
    config.write(content)
    if not path.is_file() or path.read_bytes() != content.getvalue():
        write_atomic(path, content.getvalue())


def change(path: Path, how: Callable[[Any], None]) -> None:
    """Change a file of DVC's configuration, paths in it as they stand. Where DVC would not read it
    then, it stays as it was.

    Args:
        path: of the file; it need not exist.
        how: changes the sections.

    Raises:
        ValueError: DVC, or the form of the file, does not allow it; the message says why.
    """
    from configobj import ConfigObjError
    from dvc.config import Config, ConfigError

    before = path.read_bytes() if path.is_file() else None
    config = _read(path)
    how(config)
    try:
        write(config, path)
        read = Config(str(path.parent))
        lost = {key for key in config if key.startswith("remote ")} - {
            f'remote "{name}"' for name in read["remote"]
        }
        if lost:
            raise ConfigError(f"DVC does not take {lost.pop()} for the name of one")
    except (ConfigObjError, ConfigError) as error:
        path.unlink(missing_ok=True) if before is None else write_atomic(path, before)
        raise ValueError(" ".join(str(error).split())) from None


def _read(path: Path) -> Any:
    from configobj import ConfigObj

    return ConfigObj(str(path) if path.is_file() else None, encoding="utf-8", interpolation=False)
