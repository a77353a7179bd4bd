"""Which reader reads which kind: a new reader is one file in readers/ and one line here."""

from collections.abc import Callable
from typing import TypeAlias

from csa.datasets.reading import Reading
from csa.params.data import DatasetKind

Reader: TypeAlias = Callable[[Reading], None]
"""Reads the data set that a `Reading` is of, and gives it its rows."""


def reader_of(kind: DatasetKind) -> Reader:
    """The reader of a `dataset.kind`; readers are loaded when one is asked for."""
    from csa.datasets.readers import (
        arrays,
        captions,
        cosmos,
        flickr,
        folders,
        handwriting,
        huggingface,
        imagefolder,
        imagenet,
        table,
        webdataset,
    )

    readers: dict[DatasetKind, Reader] = {
        "table": table.read_table,
        "flickr": flickr.read_flickr,
        "imagefolder": imagefolder.read_imagefolder,
        "arrays": arrays.read_arrays,
        "imagenet": imagenet.read_imagenet,
        "karpathy": captions.read_karpathy,
        "coco": captions.read_coco,
        "cosmos": cosmos.read_cosmos,
        "leafy_spurge": folders.read_leafy_spurge,
        "musiccaps": folders.read_musiccaps,
        "kitti": folders.read_kitti,
        "handwriting": handwriting.read_handwriting,
        "webdataset": webdataset.read_webdataset,
        "huggingface": huggingface.read_huggingface,
    }
    return readers[kind]
