"""The formats of `csa export`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csa.errors import InputError
from csa.exporting.embedding_model import write_embedding_model
from csa.exporting.gallery import Exported, write_faiss, write_parquet, write_usearch
from csa.pipeline.workspace import Workspace
from csa.questions.opened import Fitted

_OF_THE_GALLERY: dict[str, Callable[[Exported, Path], dict[str, Any]]] = {
    "parquet": write_parquet,
    "faiss": write_faiss,
    "usearch": write_usearch,
}

FORMATS = ("sentence-transformers", *_OF_THE_GALLERY)
"""Names of the formats."""


@dataclass(frozen=True)
class Options:
    """What an export may be told.

    Attributes:
        view: whose items a gallery holds; None for the first view that is no text.
        unit: whether a gallery's vectors are brought to one length, for stores that know the
            cosine alone.
        with_weights: whether a model's folder holds its encoders' files.
    """

    view: str | None = None
    unit: bool = False
    with_weights: bool = False


def export(ws: Workspace, folder: Path, name: str, options: Options) -> dict[str, Any]:
    """Write what a workspace holds in a format of another tool.

    Args:
        ws: a workspace that was run.
        folder: where to; made, and refused where something is in it.
        name: of the format.
        options: further choices.

    Returns:
        What was written.

    Raises:
        InputError: no such format, a folder that is not empty, or a package that is missing.
        ArtifactError: the workspace was not run yet.
    """
    if name not in FORMATS:
        raise InputError(f"no format is called {name!r}; there are {', '.join(FORMATS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: there is something already; name a new folder")
    fitted = Fitted.open(ws)
    if name == "sentence-transformers":
        folder.mkdir(parents=True, exist_ok=True)
        told = write_embedding_model(fitted, folder, options.with_weights)
    else:
        exported = Exported.of(fitted, options.view, options.unit)
        folder.mkdir(parents=True, exist_ok=True)
        told = _OF_THE_GALLERY[name](exported, folder)
    return {"format": name, "folder": str(folder)} | told
