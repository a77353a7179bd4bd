"""Features that no stage writes as shards: of prompts, of a task's data set, and of held-out items
by another model.

They go through the item cache like all others, so none is computed twice.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from csa.core.matrices import Array
from csa.encoders.registry import load_view_encoder
from csa.features.embed import embed_view
from csa.features.shards import FeatureTable
from csa.params.views import ViewParams


@dataclass(frozen=True)
class Embedder:
    """What computes or finds features: the item cache, and where batches are computed."""

    cache: Path
    dask: str | None = None

    def items(
        self,
        view: ViewParams,
        items: list[tuple[str, str]],
        load_item: Callable[[str], Any],
        title: str,
    ) -> FeatureTable:
        """Features of (hash, value) items, each hash once, by a view's encoder.

        Raises:
            EncoderError: no such encoder.
            DataError, FeatureError: an item cannot be loaded or encoded.
        """
        done = embed_view(load_view_encoder(view), items, load_item, self.cache, title, self.dask)
        return FeatureTable([item for item, _ in items], done.features)

    def texts(self, view: ViewParams, texts: list[str], title: str) -> Array:
        """Features of texts, shape (n, q), in order; a text may occur more than once."""
        hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        table = self.items(view, list(dict(zip(hashes, texts, strict=True)).items()), str, title)
        return np.asarray(table.rows(hashes))
