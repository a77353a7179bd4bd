"""The formats of `csa export`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csa.errors import InputError
from csa.exporting.embedding_model import write_embedding_model
from csa.exporting.gallery import write_parquet
from csa.pipeline.workspace import Workspace
from csa.questions.opened import Fitted

FORMATS = ("parquet", "sentence-transformers")
"""Names of the formats."""


@dataclass(frozen=True)
class Options:
    """What an export may be told.

    Attributes:
        unit: whether a gallery's vectors are brought to one length, for stores that know the
            cosine alone.
    """

    unit: bool = False


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
        InputError: no such format, or a folder that is not empty.
        ArtifactError: the workspace was not run yet.
        EncoderError: an encoder's files cannot be carried.
    """
    if name not in FORMATS:
        raise InputError(f"no format is called {name!r}; there are {', '.join(FORMATS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: there is something already; name a new folder")
    fitted = Fitted.open(ws)
    if name == "parquet":
        told = write_parquet(fitted, folder, options.unit)
    else:
        told = write_embedding_model(fitted, folder)
    return {"format": name, "folder": str(folder), **told}
