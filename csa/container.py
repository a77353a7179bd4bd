"""One file format for what CSA saves: safetensors with a JSON header. Never pickle.

The bytes depend on nothing but the content, so equal artifacts have equal hashes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csa.errors import ArtifactError
from csa.files import write_atomic

_FORMAT_VERSION = 1


def save_tensors(path: Path, kind: str, header: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays and a JSON-able header as one file of the given kind."""
    from safetensors.numpy import save

    content = json.dumps({"kind": kind, "format": _FORMAT_VERSION, **header}, sort_keys=True)
    arrays = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    write_atomic(path, save(arrays, metadata={"csa": content}))


def load_tensors(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read (header, arrays) of a file of the given kind.

    Raises:
        ArtifactError: no such file, not a CSA file, damaged, or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
        header = json.loads(metadata["csa"])
    except (FileNotFoundError, IsADirectoryError):
        raise ArtifactError(f"{path}: no such file; `csa run` or save() writes it") from None
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path}: not a CSA file, or damaged ({type(error).__name__}); restore or compute it again") from None
    if header.pop("kind") != kind:
        raise ArtifactError(f"{path}: holds another kind of artifact than {kind}; check the path")
    if header.pop("format") != _FORMAT_VERSION:
        raise ArtifactError(f"{path}: written in another format version; compute it again with this version of csa")
    return header, arrays
