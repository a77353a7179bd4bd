"""One file format for what CSA saves: safetensors with a JSON header. Never pickle.

The bytes depend on nothing but the content, so equal artifacts have equal hashes.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csa.errors import ArtifactError
from csa.storage.files import what_is, write_atomic

_FORMAT_VERSION = 1


def save_tensors(
    path: Path, kind: str, header: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> None:
    """Write named arrays and a header as one file.

    Args:
        path: the file; written whole or not at all.
        kind: what is in it, such as "alignment"; a reader of another kind refuses it.
        header: what JSON can hold.
        tensors: name -> array.
    """
    write_atomic(path, pack_tensors(kind, header, tensors))


def pack_tensors(
    kind: str, header: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> bytes:
    """The bytes that `save_tensors` writes.

    Args:
        kind: what is in it.
        header: what JSON can hold.
        tensors: name -> array.

    Returns:
        A safetensors file.
    """
    from safetensors.numpy import save

    content = json.dumps({"kind": kind, "format": _FORMAT_VERSION, **header}, sort_keys=True)
    arrays = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    return bytes(save(arrays, metadata={"csa": content}))


def read_header(path: Path) -> dict[str, Any]:
    """The header of a CSA file of any kind, without its arrays.

    Raises:
        ArtifactError: as for `load_tensors`.
    """
    return _open(path, lambda file: {})[0]


def load_tensors(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a file that `save_tensors` wrote.

    Args:
        path: the file.
        kind: what must be in it.

    Returns:
        The header, and name -> array.

    Raises:
        ArtifactError: no such file, not a CSA file, damaged, or of another kind.
    """
    header, arrays = _open(
        path, lambda file: {name: file.get_tensor(name) for name in list(file.keys())}
    )
    if header.pop("kind", None) != kind:
        raise ArtifactError(f"{path}: holds another kind of artifact than {kind}; check the path")
    if header.pop("format", None) != _FORMAT_VERSION:
        raise ArtifactError(
            f"{path}: written in another format version; compute it again with this version of csa"
        )
    return header, arrays


def _open(
    path: Path, read: Callable[[Any], dict[str, NDArray[Any]]]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    found = what_is(path)
    if found not in ("a file", "nothing"):  # a pipe would be waited for
        raise ArtifactError(f"{path}: it is {found}; give the path of a file that CSA wrote")
    try:
        with safe_open(path, framework="numpy") as file:
            header, arrays = json.loads((file.metadata() or {})["csa"]), read(file)
            if not isinstance(header, dict):
                raise KeyError("csa")
    except (FileNotFoundError, IsADirectoryError):
        raise ArtifactError(f"{path}: no such file; `csa run` or save() writes it") from None
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError, TypeError) as error:
        raise ArtifactError(
            f"{path}: not a CSA file, or damaged ({type(error).__name__}); restore or compute it "
            f"again"
        ) from None
    return header, arrays
