"""Files of made-up data sets."""

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path


def put(path: Path, content: bytes | str) -> None:
    """Write a file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def tar_of(members: Iterable[tuple[str, bytes]]) -> bytes:
    """The bytes of a tar of files, a name and a content each."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def shard(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a tar of files."""
    put(path, tar_of(members))


def karpathy_list(images, training):
    """The text of Karpathy's list of so many images, 0.jpg and so on, the first of them to train
    on.
    """
    listed = [
        {
            "filename": f"{i}.jpg",
            "split": "train" if i < training else "val",
            "sentences": [{"raw": f"thing {i}"}],
        }
        for i in range(images)
    ]
    return json.dumps({"images": listed})
