"""The code that travels with a registered model: what scoring imports, as one archive."""

import io
import zipfile
from pathlib import Path

from csa.pipeline.code import PACKAGE, files_of
from csa.storage.files import write_atomic

ROOT_MODULE = "csa.scoring.batch"
"""What the model imports; all else follows from it."""

_BEGINNING = (1980, 1, 1, 0, 0, 0)  # the earliest date that an archive knows


def pack_code(path: Path, memory: Path | None = None) -> None:
    """Write the code that scoring needs as an archive that Python imports from; the same code gives
    the same bytes.

    Args:
        path: of the archive.
        memory: file that remembers what source files import; see `csa.pipeline.code.stage_hashes`.

    Raises:
        WorkspaceError: it cannot be written.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in files_of(ROOT_MODULE, memory):
            name = file.relative_to(PACKAGE.parent).as_posix()
            entry = zipfile.ZipInfo(name, _BEGINNING)
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    write_atomic(path, buffer.getvalue())
