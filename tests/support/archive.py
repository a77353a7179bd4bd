"""Build the source archive of this folder, the same bytes from the same files (`make wheel`).

python tests/support/archive.py FOLDER SECONDS      times in it are SECONDS after 1970

setuptools writes each file's own time and owner, and the time of the build.
"""

import gzip
import io
import sys
import tarfile
import tempfile
from pathlib import Path

from setuptools.build_meta import build_sdist


def build(into: Path, seconds: int) -> Path:
    """Build the archive of the current folder.

    Args:
        into: the folder for it.
        seconds: the time of all that is in it, after 1970.

    Returns:
        The archive.
    """
    with tempfile.TemporaryDirectory() as folder:
        name = build_sdist(folder)
        with tarfile.open(Path(folder) / name) as built:
            members = sorted(built.getmembers(), key=lambda member: member.name)
            held = io.BytesIO()
            with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as archive:
                for member in members:
                    member.mtime, member.pax_headers = seconds, {}
                    member.uid, member.gid, member.uname, member.gname = 0, 0, "", ""
                    member.mode = 0o755 if member.mode & 0o100 else 0o644
                    archive.addfile(member, built.extractfile(member) if member.isreg() else None)
    into.mkdir(parents=True, exist_ok=True)
    (into / name).write_bytes(gzip.compress(held.getvalue(), mtime=0))
    return into / name


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]))
