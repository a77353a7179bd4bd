"""Features of Flickr8k's photos and captions, and the labels of their encoder, kept in a folder.

python -m benchmarks.unpaired_features FLICKR8K FOLDER
"""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import csa
from csa.core.matrices import Array
from csa.encoders.labels import head_of
from csa.features.embed import Items
from csa.features.embedder import Embedder
from csa.params.views import ViewParams

IMAGE = ViewParams(modality="image", encoder="efficientnet-lite0", batch_size=16)
TEXT = ViewParams(modality="text", encoder="minilm-l6-v2", batch_size=32)
_CAPTIONS = 5


@dataclass(frozen=True, eq=False)
class Features:
    """Photos with five captions each.

    Attributes:
        photos: features, shape (n, p).
        captions: features, shape (n, 5, q).
        dev: whether a photo is of the dev split, shape (n,); else of the training split.
        weights, bias: head of the image encoder, shapes (1000, p) and (1000,).
        labels: text features of the head's labels, shape (1000, q).
    """

    photos: Array
    captions: Array
    dev: NDArray[np.bool_]
    weights: Array
    bias: Array
    labels: Array

    @property
    def bridge(self) -> csa.LabelBridge:
        """The labels of the image encoder."""
        return csa.LabelBridge(self.weights, self.bias, self.labels)


def features(data: Path, folder: Path) -> Features:
    """Embed once, and read what was embedded afterwards.

    Args:
        data: folder with images/, captions.txt and the split files.
        folder: for the item cache and the arrays.

    Returns:
        The features.
    """
    kept = folder / "features.npz"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **_embedded(data, folder))
    return Features(**np.load(kept))


def _embedded(data: Path, folder: Path) -> dict[str, Any]:
    from PIL import Image

    embedder = Embedder(folder / "items")
    splits = {
        name: (data / f"Flickr_8k.{name}Images.txt").read_text().split()
        for name in ("train", "dev")
    }
    names = [*splits["train"], *splits["dev"]]
    captions: dict[str, list[str]] = {name: [] for name in names}
    with (data / "captions.txt").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["image"] in captions:
                captions[row["image"]].append(row["caption"].strip())
    names = [name for name in names if len(captions[name]) >= _CAPTIONS]
    texts = [text for name in names for text in captions[name][:_CAPTIONS]]
    items = Items(
        [(name, name) for name in names],
        lambda name: Image.open(data / "images" / name).convert("RGB"),
        "photos",
    )
    table = embedder.items(IMAGE, items)
    head = head_of(IMAGE)
    assert head is not None
    return {
        "photos": table.rows(names),
        "captions": embedder.texts(TEXT, texts, "captions").reshape(len(names), _CAPTIONS, -1),
        "dev": np.isin(names, splits["dev"]),
        "weights": head.weights,
        "bias": head.bias,
        "labels": embedder.texts(TEXT, head.texts, "labels"),
    }


if __name__ == "__main__":
    found = features(Path(sys.argv[1]), Path(sys.argv[2]))
    print(found.photos.shape, found.captions.shape, int(found.dev.sum()), found.labels.shape)
