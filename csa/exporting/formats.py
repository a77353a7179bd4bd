"""The formats of `csa export`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csa.errors import InputError
from csa.exporting.embedding_model import write_embedding_model, write_repository
from csa.exporting.gallery import write_lance, write_parquet
from csa.exporting.indexes import write_faiss, write_usearch
from csa.exporting.onnx_files import write_onnx
from csa.pipeline.workspace import Workspace
from csa.questions.opened import Fitted


@dataclass(frozen=True)
class Options:
    """What an export may be told.

    Attributes:
        unit: whether a gallery's vectors are brought to one length, for stores that know the
            cosine alone.
        linear: whether a model for sentence-transformers is made of its plain modules, by a linear
            fit where the fit is none.
    """

    unit: bool = False
    linear: bool = False


FORMATS: dict[str, Callable[[Fitted, Path, Options], dict[str, Any]]] = {
    "parquet": lambda fitted, folder, options: write_parquet(fitted, folder, options.unit),
    "lance": lambda fitted, folder, options: write_lance(fitted, folder, options.unit),
    "faiss": lambda fitted, folder, _: write_faiss(fitted, folder),
    "usearch": lambda fitted, folder, _: write_usearch(fitted, folder),
    "onnx": lambda fitted, folder, _: write_onnx(fitted, folder),
    "sentence-transformers": lambda fitted, folder, options: write_embedding_model(
        fitted, folder, options.linear
    ),
    "hub": lambda fitted, folder, options: write_repository(fitted, folder, options.linear),
}
"""Name -> what writes a fit into a folder, and says what it wrote."""


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
        EncoderError: an encoder's files cannot be carried.
    """
    if name not in FORMATS:
        raise InputError(f"no format is called {name!r}; there are {', '.join(FORMATS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: there is something already; name a new folder")
    told = FORMATS[name](Fitted.open(ws), folder, options)
    return {"format": name, "folder": str(folder), **told}
