"""Remedies of errors that other things than ingest raise: what is tried, what breaks it, and what
the error says to do.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import pyarrow as pa
from builtin_encoders import ENCODERS
from PIL import Image
from pyarrow import parquet
from rights import as_anybody
from written import put, tar_of

from csa.datasets import openmoji
from csa.datasets.array_files import open_array
from csa.datasets.containers import tar_members
from csa.datasets.items import item_loader, load_file
from csa.datasets.pairs_table import read_pairs
from csa.datasets.parquet import ParquetFile
from csa.datasets.recognise import recognise
from csa.datasets.unpaired import read_unpaired
from csa.errors import ParamsError
from csa.params.addresses import of_this_machine
from csa.params.schema import Params
from csa.params.views import ViewParams
from csa.storage.container import load_tensors, save_tensors
from csa.storage.files import open_item, read_json, walk, write_atomic

Step = Callable[[Path], Any]
ROWS = "a,b\n" + "".join(f"thing {i},no. {i}\n" for i in range(20))


@dataclass(frozen=True)
class Act:
    """One remedy.

    Args:
        says: a part of its text, which no other has.
        broken: prepares what is refused.
        remedy: does what the error says; a path that it gives back takes the place of `x`.
        act: what is tried, of the folder and the name it is tried on.
    """

    says: str
    broken: Step
    remedy: Step
    act: Callable[[Path, str], Any]


def ingested(folder: Path) -> None:
    """What `csa run` does first, in a workspace."""
    put(folder / "dvc.yaml", "stages: {}\n")
    put(folder / "data.csv", ROWS)
    views = {name: {"modality": "text", "encoder": ENCODERS["text"]} for name in "ab"}
    dataset = {"kind": "table", "path": "data.csv"}
    put(folder / "params.yaml", json.dumps({"dataset": dataset, "views": views}))
    subprocess.run(
        [sys.executable, "-m", "csa.pipeline", "ingest"],
        cwd=folder,
        check=True,
        capture_output=True,
        env=os.environ,
    )


def again(name: str) -> Step:
    """Delete a file and run again."""

    def done(folder: Path) -> None:
        (folder / "data" / name).unlink(missing_ok=True)
        ingested(folder)

    return done


def write(name: str, content: bytes | str) -> Step:
    """Write a file."""
    return lambda folder: put(folder / name, content)


def named(name: str) -> Step:
    """Give another name."""
    return lambda folder: name


def both(*steps: Step) -> Step:
    """Several steps; the last one's name."""
    return lambda folder: [step(folder) for step in steps][-1]


def pairs(folder: Path, name: str) -> Any:
    """Read the pairs table."""
    return read_pairs(folder / "data" / "pairs.parquet")


def account(folder: Path, name: str) -> Any:
    """Read the account."""
    return read_json(folder / "data" / "account.json")


def model(folder: Path, name: str) -> Any:
    """Read a file of tensors."""
    return load_tensors(folder / name, "alignment")


def saved(name: str, kind: str) -> Step:
    """Write a file of tensors."""

    def done(folder: Path) -> None:
        save_tensors(folder / name, kind, {}, {"a": np.ones(3)})

    return done


def older(folder: Path) -> None:
    """A file of another format version."""
    from safetensors.numpy import save_file

    header = json.dumps({"kind": "alignment", "format": 0})
    save_file({"a": np.ones(3)}, folder / "x", {"csa": header})


def pool(folder: Path, name: str, modality: Any = "text") -> Any:
    """Read unpaired items of one view."""
    view = ViewParams(modality=modality, encoder=ENCODERS[modality])
    other = {"modality": "text", "encoder": ENCODERS["text"]}
    section = {"kind": "table", "path": ".", "unpaired": {"a": name}}
    views = {"a": {"modality": modality, "encoder": ENCODERS[modality]}, "b": other}
    params = Params.from_mapping({"dataset": section, "views": views})
    return read_unpaired(params.dataset, ("a", view), folder)


def sounds(folder: Path, name: str) -> Any:
    """Read unpaired pictures."""
    return pool(folder, name, "image")


def embedded(content: bytes | None) -> Step:
    """A Parquet file of one picture, in it or not."""

    def done(folder: Path) -> None:
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        cell = pa.array([{"bytes": content, "path": "0.png"}], kind)
        parquet.write_table(pa.table({"image": cell}), folder / "d.parquet")

    return done


def picture_of_cell(folder: Path, name: str) -> Any:
    """Load a picture that lies in a cell."""
    view = ViewParams(modality="image", encoder=ENCODERS["image"])
    return item_loader(view, folder, 10_000)("d.parquet!0/image")


def png(folder: Path) -> bytes:
    """A picture."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), "u1")).save(
        folder / "0.png"
    )
    return (folder / "0.png").read_bytes()


def closed(name: str) -> Step:
    """Nobody may read or write it."""
    return lambda folder: (folder / name).chmod(0)


def opened(name: str) -> Step:
    """Its owner may."""
    return lambda folder: (folder / name).chmod(0o700)


def permitted(act: Callable[[Path, str], Any]) -> Callable[[Path, str], Any]:
    """As somebody whom permissions bind."""

    def done(folder: Path, name: str) -> Any:
        with as_anybody():
            return act(folder, name)

    return done


def demo(folder: Path, name: str) -> Any:
    """Draw the first pictures of the demo."""
    few = openmoji.load_emojis()[:2]
    with patch.object(openmoji, "load_emojis", lambda language: few):
        openmoji.build_demo(folder / "d" / "demo", progress=False)


def addressed(folder: Path, name: str) -> Any:
    """Read parameters that name a scheduler."""
    return of_this_machine({"compute": {"dask": "tcp://elsewhere:8786"}}, folder / "params.yaml")


def allowed(folder: Path) -> None:
    """Do what the refusal says."""
    try:
        addressed(folder, "")
    except ParamsError as error:
        said = str(error).rpartition("allow it with: ")[2]
        subprocess.run(["sh", "-c", said], cwd=folder, check=True)


def forged(folder: Path) -> None:
    """A zip whose list promises far more than there is."""
    np.savez_compressed(folder / "x.npz", np.ones((9, 2)))
    content = bytearray((folder / "x.npz").read_bytes())
    at = content.index(b"PK\1\2") + 24
    content[at : at + 4] = (1 << 29).to_bytes(4, "little")
    (folder / "x.npz").write_bytes(content)


TEXTS = "".join(f"text {i}\n" for i in range(9))
ACTS = [
    Act("no such file; run `csa run` first", named("x"), again("pairs.parquet"), pairs),
    Act(
        "damaged ({}); delete it and run `csa run` again",
        write("data/pairs.parquet", b"x"),
        again("pairs.parquet"),
        pairs,
    ),
    Act(
        "not a pairs table, it has no column",
        lambda folder: pl.DataFrame({"x": [1]}).write_parquet(
            folder / "data" / "pairs.parquet", mkdir=True
        ),
        again("pairs.parquet"),
        pairs,
    ),
    Act(
        "damaged (not JSON); delete it and run",
        write("data/account.json", "{"),
        again("account.json"),
        account,
    ),
    Act("no such file; `csa run` or save() writes it", named("x"), saved("x", "alignment"), model),
    Act("it is {}; give the path of a file that CSA wrote",
        both(lambda folder: (folder / "x").mkdir(), saved("y", "alignment")), named("y"), model),
    Act("holds another kind of artifact than {}; check the path",
        both(saved("x", "moments"), saved("y", "alignment")), named("y"), model),
    Act("not a CSA file, or damaged", write("x", b"damaged"), saved("x", "alignment"), model),
    Act("written in another format version; compute it again", older, saved("x", "alignment"),
        model),
    Act("this is {}, and csa never replaces it; move it, or give another name",
        lambda folder: (folder / "x").mkdir(), named("y"),
        lambda folder, name: write_atomic(folder / name, b"x")),
    Act("{}; give a shorter name", named("x"), named("y" * 255),
        lambda folder, name: write_atomic(folder / name.replace("x", "x" * 256), b"x")),
    Act("no such file or folder; correct dataset.unpaired", write("y.txt", TEXTS), named("y.txt"),
        pool),
    Act("{}: it is {}; correct dataset.unpaired",
        both(lambda folder: os.mkfifo(folder / "x"), write("y.txt", TEXTS)), named("y.txt"), pool),
    Act("no file of this modality ({}); correct dataset.unpaired",
        both(write("x/a.txt", "a"), lambda folder: (folder / "p").mkdir(),
             lambda folder: put(folder / "p" / "0.png", png(folder))),
        named("p"), sounds),
    Act("unpaired items of modality {} are {}; correct dataset.unpaired",
        both(write("x", "a"), write("y.txt", TEXTS)), named("y.txt"), pool),
    Act("the cell holds no bytes; save the data set with its media embedded",
        embedded(None), lambda folder: embedded(png(folder))(folder), picture_of_cell),
    Act("no such Parquet file; correct the path", embedded(b"x"), named("d.parquet"),
        lambda folder, name: ParquetFile(folder / name, name)),
    Act("(its last member is cut off); fetch it again",
        write("x", tar_of([("0.txt", b"x" * 999)])[:1000]),
        write("x", tar_of([("0.txt", b"x" * 999)])),
        lambda folder, name: tar_members(folder / name, name, count=1)),
    Act("because of a damaged member or a second tar; fetch it again",
        write("x", tar_of([("0.txt", b"x")]) * 2), write("x", tar_of([("0.txt", b"x")])),
        lambda folder, name: tar_members(folder / name, name)),
    Act("no such folder or file; correct the path", write("y/pairs.csv", ROWS), named("y"),
        lambda folder, name: recognise(folder / name)),
    Act("neither a folder nor a file; give the data set's folder",
        both(lambda folder: os.mkfifo(folder / "x"), write("y/pairs.csv", ROWS)), named("y"),
        lambda folder, name: recognise(folder / name)),
    Act("{}: the {} cannot be read ({}); check its permissions",
        both(write("x", b"x"), closed("x")), opened("x"),
        permitted(lambda folder, name: open_item(folder / "x", "x", "list").close())),
    Act("the folder cannot be read ({}); check its permissions",
        both(write("d/x", b"x"), closed("d")), opened("d"),
        permitted(lambda folder, name: walk(folder))),
    Act("{}; free space or fix its permissions",
        both(write("d/y", b"x"), closed("d")), opened("d"),
        permitted(lambda folder, name: write_atomic(folder / "d" / "x", b"x"))),
    Act("{}; free space or fix its permissions",
        both(write("d/y", b"x"), closed("d")), opened("d"), permitted(demo)),
    Act("a decompression bomb, or constant data; nothing of it was read. Write it again",
        forged, lambda folder: np.savez_compressed(folder / "x.npz", np.ones((9, 2))),
        lambda folder, name: open_array(folder / "x.npz", "x.npz")),
    Act("items of modality {} are not files; name another view", png, named("image"),
        lambda folder, name: load_file(
            str(folder / "0.png"), "array" if name == "x" else name, 10_000)),
    Act("an address in a file that git carries is not trusted; set {} on this machine, or allow it",
        write("params.yaml", "compute: {dask: tcp://elsewhere:8786}"),
        allowed, addressed),
]  # fmt: skip
