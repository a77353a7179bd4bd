"""Data sets: one file a reader, and the pairs table that all of them end in.

A reader finds rows (`rows.RawPair`), `pairs.build_pairs` checks every item, sets groups and splits,
and `items.item_loader` loads an item again for its encoder.
"""

import random
import sys
from pathlib import Path

from csa.datasets.exclude import EXCLUDE_FILE, leave_out, read_excluded
from csa.datasets.pairs import Ingested, build_pairs, quarantine_table
from csa.datasets.readers.arrays import read_arrays
from csa.datasets.readers.captions import read_coco, read_karpathy
from csa.datasets.readers.cosmos import read_cosmos
from csa.datasets.readers.flickr import read_flickr
from csa.datasets.readers.folders import read_kitti, read_leafy_spurge, read_musiccaps
from csa.datasets.readers.handwriting import read_handwriting
from csa.datasets.readers.huggingface import read_huggingface
from csa.datasets.readers.imagefolder import read_imagefolder
from csa.datasets.readers.imagenet import read_imagenet
from csa.datasets.readers.table import read_table
from csa.datasets.readers.webdataset import read_webdataset
from csa.datasets.roots import dataset_root
from csa.datasets.rows import Reader
from csa.errors import DataError
from csa.params.data import DatasetKind, DatasetParams
from csa.params.schema import Params
from csa.params.views import ViewParams

__all__ = [
    "READERS",
    "Ingested",
    "ingest",
    "read_dataset",
]

READERS: dict[DatasetKind, Reader] = {
    "table": read_table,
    "flickr": read_flickr,
    "imagefolder": read_imagefolder,
    "arrays": read_arrays,
    "imagenet": read_imagenet,
    "karpathy": read_karpathy,
    "coco": read_coco,
    "cosmos": read_cosmos,
    "leafy_spurge": read_leafy_spurge,
    "musiccaps": read_musiccaps,
    "kitti": read_kitti,
    "handwriting": read_handwriting,
    "webdataset": read_webdataset,
    "huggingface": read_huggingface,
}
"""`dataset.kind` -> what reads it."""


def ingest(
    params: Params, workspace_root: Path, progress: bool = True, sample: int | None = None
) -> Ingested:
    """Read and check the data set that the parameters name.

    Args:
        params: of the run.
        workspace_root: what a relative `dataset.path` is relative to.
        progress: show a progress bar, and print the notes, on standard error.
        sample: look at no more than so many rows, drawn at random; None looks at all.

    Raises:
        DataError: the data set is missing or unusable; see the reader and `build_pairs`.
    """
    return read_dataset(params.dataset, params.views, workspace_root, progress, sample=sample)


def read_dataset(
    dataset: DatasetParams,
    views: dict[str, ViewParams],
    workspace_root: Path,
    progress: bool = True,
    to_fit: bool = True,
    sample: int | None = None,
) -> Ingested:
    """Read and check a data set, whatever views its items have.

    Args:
        dataset: what to read.
        views: in order; a data set that is fitted on has two.
        workspace_root: what a relative `dataset.path` is relative to.
        progress: show a progress bar, and print the notes, on standard error.
        to_fit: whether there must be enough to train on and something held out, less the pairs that
            `exclude.csv` names; else it is only measured on. Items that `exclude.csv` names are
            left out of either.
        sample: look at no more than so many rows, drawn at random; None looks at all.

    Raises:
        DataError: the data set is missing or unusable; see the reader and `build_pairs`.
    """
    path = workspace_root / dataset.path
    if not path.exists():
        raise DataError(
            f"{path}: no such data set; correct dataset.path, or give --data (the built-in one is "
            f"made by `dvc repro demo`)"
        )
    if dataset.kind != "table" and not path.is_dir():
        raise DataError(f"{path}: not a folder; dataset.kind {dataset.kind} reads a folder")
    _check_arrays(dataset, views)
    source = READERS[dataset.kind](dataset, views, path)
    listed = read_excluded(workspace_root / EXCLUDE_FILE)
    excluded = listed.pairs if to_fit else {}
    rows, out, left_out = leave_out(source.rows, excluded)
    if sample is not None and len(rows) > sample:
        rows = [rows[i] for i in sorted(random.Random(0).sample(range(len(rows)), sample))]
    result = build_pairs(
        rows,
        views,
        dataset,
        dataset_root(dataset, workspace_root),
        progress,
        to_fit,
        frozenset(listed.items),
    )
    aside = quarantine_table(
        [(row, f"excluded: {excluded[(row.pair_id or '').strip()]}".rstrip(": ")) for row in out],
        views,
    )
    notes = (*source.notes, *left_out, *result.notes)
    if progress:
        print("".join(f"note: {note}\n" for note in notes), end="", file=sys.stderr)
    return Ingested(result.pairs, result.quarantine.vstack(aside), notes)


def _check_arrays(dataset: DatasetParams, views: dict[str, ViewParams]) -> None:
    """Views of modality array and entries of dataset.arrays must be the same, and kinds that
    ignore columns get none.
    """
    for view in dataset.arrays:
        if view not in views or views[view].modality != "array":
            raise DataError(
                f"dataset.arrays has {view!r}, which is no view of modality array; remove it, or "
                f"set the view's modality"
            )
    for view, settings in views.items():
        if settings.modality == "array" and view not in dataset.arrays:
            raise DataError(
                f"view {view!r} is of modality array, but dataset.arrays names no file for it; "
                f"add {view}: FILE.npy"
            )
    if dataset.kind not in ("table", "arrays", "webdataset", "huggingface") and dataset.columns:
        raise DataError(
            f"dataset.columns is not for dataset.kind {dataset.kind}, whose layout is fixed; "
            f"remove it"
        )
