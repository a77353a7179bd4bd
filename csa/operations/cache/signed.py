"""Entries of the run cache that somebody signed: which outputs a stage had on which inputs, and
every file of them.

A signed entry lies beside DVC's own folders on a remote, under `signed/`. It says the sha256 of
each file too: two files can be made to share an MD5.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from csa.errors import ArtifactError
from csa.operations.cache.objects import Made, Store
from csa.operations.trust.keys import Key, Signature
from csa.operations.trust.trusted import Trusted, signer
from csa.storage.files import json_of

_TYPE = "csa run-cache entry 1"
_LARGEST = 256 << 20

Files = dict[str, dict[str, str]]
"""Output -> name in it ("" for an output that is a file) -> sha256."""


def publish(key: Key, made: Made, here: Store, there: Store) -> None:
    """Sign an entry that was computed here, unless it is signed there already.

    Args:
        key: this person's.
        made: the entry.
        here: this machine's cache, which holds all its objects.
        there: the remote's.
    """
    path = there.fs.join(there.base, *_folder(made), f"{made.statement}.json")
    if there.fs.exists(path):
        return
    files = {
        out: {
            "" if name == out else name: _sha256(here.read(here.path(part)))
            for name, part in here.content(out, oid).items()
        }
        for out, oid in made.outs.items()
    }
    claim = {
        "type": _TYPE,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "entry": made.written,
        "files": files,
    }
    signed = {"claim": claim, "signature": asdict(key.sign(_bytes(claim)))}
    there.write(path, json.dumps(signed).encode())


def claims(wanted: Made, there: Store, keys: list[Trusted]) -> Iterator[tuple[Made, Files | None]]:
    """Answers to a question that lie signed on a remote: each with the sha256 of its files, or with
    None if nobody who is trusted has signed it.

    Args:
        wanted: the question.
        there: the remote's cache.
        keys: that are trusted.

    Yields:
        Each answer with its files.
    """
    for path in sorted(there.below(*_folder(wanted))):
        try:
            info = there.fs.info(path)
            if info["type"] != "file" or (info.get("size") or 0) > _LARGEST:
                continue
            found = json_of(there.read(path))
            claim, signature = found["claim"], Signature(**found["signature"])
            made, files = Made.of(claim["entry"]), dict(claim["files"])
            ours = made.question == wanted.question and claim["type"] == _TYPE
            who = signer(keys, _bytes(claim), signature, "compute", claim["when"])
        except (ValueError, KeyError, TypeError, OSError):
            continue
        if ours:
            yield made, files if who else None


def check_files(fetched: dict[str, dict[str, Path]], files: Files) -> None:
    """Hold fetched files against what was signed.

    Args:
        fetched: from `Quarantine.fetch`.
        files: as signed.

    Raises:
        ArtifactError: a file is not the one that was signed, or one is missing or more.
    """
    for out, named in fetched.items():
        found = {name: _sha256(file.read_bytes()) for name, file in named.items()}
        if found != files.get(out):
            raise ArtifactError(f"{out} is not what was signed")


def _folder(made: Made) -> tuple[str, str, str]:
    return "signed", made.question[:2], made.question


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _bytes(claim: dict[str, Any]) -> bytes:
    return json.dumps(claim, sort_keys=True, ensure_ascii=False).encode()
