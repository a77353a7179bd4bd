"""Which items a run saw, and how: the pairs table and the unpaired items without their texts and
paths, kept by content beside the run records.

Runs over the same pairs share one file. Lineage, the check for leaks and the gate's slices read it.
"""

import hashlib
from io import BytesIO
from pathlib import Path

import polars as pl

from csa.datasets.pairs_table import read_pairs, read_written
from csa.errors import ArtifactError
from csa.operations.opened import Project
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_atomic

UNPAIRED = "unpaired"
"""The split of an item without a partner."""


def items_of(
    pairs: pl.DataFrame, texts: list[str], pools: list[pl.DataFrame] | None = None
) -> pl.DataFrame:
    """The items of a pairs table, and unpaired ones.

    Args:
        pairs: the table.
        texts: names of the views whose items are texts.
        pools: tables of unpaired items, each with the column V_hash of its view.

    Returns:
        One row a pair, in order: pair_id, group, split, label and further columns as they are,
        V_hash per view (binary, 32 bytes), and V_words, a text's number of words. Then one row an
        unpaired item: its V_hash, and "unpaired" as split.
    """
    seen = [pool.select(pl.selectors.ends_with("_hash")) for pool in pools or []]
    seen = [pool.with_columns(split=pl.lit(UNPAIRED)) for pool in seen]
    pairs = pl.concat([pairs, *seen], how="diagonal_relaxed")
    hashes = [name for name in pairs.columns if name.endswith("_hash")]
    words = {
        f"{view}_words": pl.col(view).str.count_matches(r"\S+").cast(pl.UInt32) for view in texts
    }
    return (
        pairs.with_columns(**words)
        .with_columns(pl.col(hashes).str.decode("hex"))
        .drop([name.removesuffix("_hash") for name in hashes])
    )


def keep_items(project: Project) -> str:
    """Keep the items of the workspace's pairs table; returns the sha256 that names the file."""
    texts = [name for name, view in project.params.views.items() if view.modality == "text"]
    buffer = BytesIO()
    pools = [
        read_written(project.ws.unpaired_items(view)) for view in project.params.dataset.unpaired
    ]
    items_of(read_pairs(project.ws.pairs), texts, pools).write_parquet(
        buffer, compression="zstd", statistics=False
    )
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    path = items_file(project.ws, sha256)
    if not path.is_file():
        write_atomic(path, buffer.getvalue())
    return sha256


def run_items(project: Project, sha256: str, pairs_md5: str) -> pl.DataFrame:
    """The items of a recorded run: those that were kept, else those of the workspace's pairs table
    if it is the run's.

    Args:
        project: whose run.
        sha256: of the kept items; empty for a record of an older version.
        pairs_md5: of the run's pairs table, as DVC has it.

    Returns:
        One row a pair; see `items_of`.

    Raises:
        ArtifactError: neither is there.
    """
    ws = project.ws
    path = items_file(ws, sha256)
    if path.is_file():
        return read_items(path)
    if not ws.pairs.is_file() or hashlib.md5(ws.pairs.read_bytes()).hexdigest() != pairs_md5:
        raise ArtifactError(
            f"{path}: missing, and {ws.pairs} is not the run's; run `csa run` again"
        )
    return read_items(items_file(ws, keep_items(project)))


def items_file(ws: Workspace, sha256: str) -> Path:
    """Where the items with this hash are kept.

    Args:
        ws: whose state folder.
        sha256: of the file.

    Returns:
        The file's path; it need not exist.
    """
    return ws.state / "items" / f"{sha256}.parquet"


def read_items(path: Path) -> pl.DataFrame:
    """The kept items, with hashes as text; the file's bytes must be those it is named after.

    Raises:
        ArtifactError: missing or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be read ({error.strerror}); `csa run` writes it again"
        ) from None
    if hashlib.sha256(content).hexdigest() != path.stem:
        raise ArtifactError(f"{path}: damaged or edited; delete it, `csa run` writes it again")
    items = pl.read_parquet(BytesIO(content))
    return items.with_columns(
        pl.col([name for name in items.columns if name.endswith("_hash")]).bin.encode("hex")
    )
