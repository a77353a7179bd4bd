"""What an output from elsewhere may look like, before a byte of it is put anywhere.

DVC writes what a list of files says, wherever that leads. So a list is read here first: its paths
are relative, plain, inside, each named once, and of the names that the stage itself would write.
"""

import re
from pathlib import PurePosixPath

from csa.errors import ArtifactError
from csa.storage.files import json_of

_MD5 = re.compile(r"[0-9a-f]{32}")
_OURS = "python -m csa.pipeline "
LARGEST_LIST = 256 << 20
"""Bytes of a list of files, at most."""

_LONGEST_NAME = 255

SHARD = r"[0-9a-f]{16}\.parquet"
"""What a shard of features is called."""

_TABLES = r"(queries|pairs|calibration|images|classes|rows)\.parquet"
_NAMES = (
    (
        "data/features/unpaired/",
        rf"(account|index)\.json|(items|quarantine)\.parquet|labels\.safetensors|{SHARD}",
    ),
    ("data/features/", rf"index\.json|{SHARD}"),
    ("data/evaluation", _TABLES),
    ("data/tasks/", _TABLES),
    ("data/plots", r"(recall|roc|spectrum|calibration)\.csv"),
    ("data/openmoji", r"pairs\.csv|(LICENSE|ATTRIBUTION)\.txt|images/[0-9A-Za-z_-]+\.png"),
)
"""What the files in a folder of ours are called, by the beginning of the folder's path."""


def files_of(command: str, path: str, content: bytes) -> dict[str, str]:
    """Name -> MD5 of the files of a folder that a stage made, from DVC's list of them.

    Args:
        command: of the stage.
        path: of the output, a folder.
        content: the list as it lies in a cache.

    Returns:
        Name -> MD5.

    Raises:
        ArtifactError: it is no list of files, or names one that the stage would not write.
    """
    try:
        listed = json_of(content if len(content) <= LARGEST_LIST else b"")
        found = {entry["relpath"]: entry["md5"] for entry in listed}
        plain = all(entry.keys() == {"relpath", "md5"} for entry in listed)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArtifactError(f"the list of files of {path} cannot be read") from None
    if not plain or len(found) != len(listed):
        raise ArtifactError(f"the list of files of {path} has more about a file than its name")
    for name, md5 in found.items():
        if not isinstance(md5, str) or not _MD5.fullmatch(md5) or not _plain(name):
            raise ArtifactError(
                f"the list of files of {path} names {name!r}, which lies outside it"
            )
    folders = {str(above) for name in found for above in PurePosixPath(name).parents}
    if folders & found.keys():
        raise ArtifactError(f"the list of files of {path} has one name as a file and as a folder")
    _check_names(command, path, found)
    return found


def _plain(name: object) -> bool:
    """Whether a name is a relative path downwards, written in the one plain way."""
    if not isinstance(name, str) or not name.isprintable() or "\\" in name:
        return False
    parts = name.split("/")
    return all(
        part not in ("", ".", "..", ".git", ".dvc") and len(part) <= _LONGEST_NAME for part in parts
    )


def _check_names(command: str, path: str, names: dict[str, str]) -> None:
    if not command.startswith(_OURS):
        return  # a stage of the project's own
    allowed = next((pattern for start, pattern in _NAMES if path.startswith(start)), None)
    if allowed is None:
        raise ArtifactError(f"{path} is a folder, where the stage writes a file")
    for name in names:
        if not re.fullmatch(allowed, name):
            raise ArtifactError(f"{path} holds {name!r}, which its stage would not write")
