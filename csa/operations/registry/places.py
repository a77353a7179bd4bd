"""Where the files of a registry lie, and whether they may be fetched from there.

MLflow goes wherever the registry says, which whoever can write to it can change. So an address on
the web is followed where it is the registry's own or allowed on this machine, and a folder is
copied where it holds plain files alone, no more of them than the disk can take.
"""

import shutil
import stat
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError
from csa.masking import masked, place
from csa.params.addresses import allowed

_WEB = ("http://", "https://", "ftp://", "sftp://", "hdfs://", "viewfs://", "dbfs://")
_PARTS = {"models": 3, "runs": 2}
"""How many parts of an address name the model or run, by its scheme; what follows is a path."""


def fetch(source: str, folder: Path, registry: str, home: Path) -> Path:
    """Copy a file or a folder of a registry.

    Args:
        source: its address in MLflow, `models:/NAME/VERSION/…` or `runs:/ID/…`.
        folder: where the copy is made.
        registry: the registry's address.
        home: of the project.

    Returns:
        The copy.

    Raises:
        ArtifactError: it lies where it may not, or is no plain file or folder.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    parts = source.split("/")
    whose = _PARTS[parts[0].removesuffix(":")]
    at: Any = get_artifact_repository("/".join(parts[:whose]))
    while hasattr(at, "repo"):  # of a version: of its model, of the folder that this lies in
        at = at.repo
    inside = "/".join(parts[whose:])
    refuse(source, at.artifact_uri, registry, home)
    here = Path(getattr(at, "artifact_dir", "") or "", inside)
    if hasattr(at, "artifact_dir") and here.exists():
        _check_plain(source, here, folder)
    return Path(at.download_artifacts(inside, dst_path=str(folder)))


def refuse(source: str, address: str, registry: str, home: Path) -> None:
    """Refuse an address on the web that is not the registry's own and not allowed here.

    Args:
        source: what would be fetched from or sent to there.
        address: where it lies, as the registry says.
        registry: the registry's address.
        home: of the project.

    Raises:
        ArtifactError: it is refused.
    """
    known = {place(registry)} | allowed(home)
    if address.startswith(_WEB) and place(address) not in known:
        raise ArtifactError(
            f"{source}: the registry says that it lies at {masked(address)}, which is not the "
            f"registry's own address; if it should be, allow {place(address)!r} in .csa/addresses"
        )


def _check_plain(source: str, path: Path, target: Path) -> None:
    size = 0
    for file in (path, *path.rglob("*")):
        found = file.lstat()
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise ArtifactError(f"{source}: {file.name} is no plain file; restore it")
        size += found.st_size
    free = shutil.disk_usage(target).free
    if size > free:
        raise ArtifactError(
            f"{source}: {size:,} bytes, and this disk has {free:,} free; is it what was registered?"
        )
