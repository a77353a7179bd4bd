"""Features that no stage writes as shards: of prompts, of a task's data set, and of held-out items
by another model.

They go through the item cache like all others, so none is computed twice.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from csa.core.matrices import Array
from csa.encoders.registry import load_view_encoder
from csa.features.embed import Items, embed_view
from csa.features.shards import FeatureTable
from csa.params.project import ComputeParams
from csa.params.views import ViewParams


@dataclass(frozen=True)
class Embedder:
    """What computes or finds features: the item cache, and where batches are computed."""

    cache: Path
    compute: ComputeParams = field(default_factory=ComputeParams)

    def items(self, view: ViewParams, items: Items) -> FeatureTable:
        """Features of items by a view's encoder.

        Args:
            view: whose encoder.
            items: which, and how they are loaded.

        Returns:
            The features, to be looked up by item hash.

        Raises:
            EncoderError: no such encoder.
            DataError, FeatureError: an item cannot be loaded or encoded.
        """
        encoder = load_view_encoder(view, self.compute.device)
        done = embed_view(encoder, items, self.cache, self.compute.dask)
        return FeatureTable([item for item, _ in items.rows], done.features)

    def texts(self, view: ViewParams, texts: list[str], title: str) -> Array:
        """Features of texts; a text may occur more than once.

        Args:
            view: whose encoder.
            texts: n of them.
            title: of the progress bar.

        Returns:
            Features, shape (n, q), in order.

        Raises:
            EncoderError: no such encoder.
            FeatureError: the encoder gave NaN or infinity.
        """
        hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        table = self.items(
            view, Items(list(dict(zip(hashes, texts, strict=True)).items()), str, title)
        )
        return np.asarray(table.rows(hashes))
