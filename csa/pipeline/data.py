"""What ingest and embed have written, opened once: pairs, features, training data."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import polars as pl

from csa.core.bridge import LabelBridge
from csa.core.matrices import Array
from csa.core.rows import Features
from csa.datasets.pairs_table import read_pairs
from csa.features.shards import FeatureTable, fingerprint_of_features
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace
from csa.storage.container import load_tensors

_SIDES: Final[tuple[Literal["x", "y"], Literal["x", "y"]]] = ("x", "y")


class Training(NamedTuple):
    """The training pairs: features X (n, p) and Y (n, q), in memory or, where they are too many for
    it, read when they are asked for; and the group of each, shape (n,).
    """

    X: Features
    Y: Features
    groups: Array


@dataclass(frozen=True)
class PipelineData:
    """The data of a workspace, each part read when it is first asked for and then kept.

    Attributes:
        ws: a workspace whose stages ingest and embed have run.
    """

    ws: Workspace

    @cached_property
    def params(self) -> Params:
        """The validated parameters."""
        return Params.load(self.ws.params_file)

    @cached_property
    def pairs(self) -> pl.DataFrame:
        """The pairs table.

        Raises:
            ArtifactError: missing or damaged.
        """
        return read_pairs(self.ws.pairs)

    @cached_property
    def _tables(self) -> dict[str, FeatureTable]:
        return {}

    def features(self, view: str) -> FeatureTable:
        """Features of all items of a view, as embed left them.

        Raises:
            ArtifactError: a shard is missing or damaged.
        """
        if view not in self._tables:
            self._tables[view] = FeatureTable.read(self.ws.features(view))
        return self._tables[view]

    @property
    def feature_tables(self) -> tuple[FeatureTable, FeatureTable]:
        """Features of all items of either view."""
        first, second = self.params.view_names
        return self.features(first), self.features(second)

    def training(self) -> tuple[Array, Array, Array]:
        """Features and groups of the training pairs, in memory: X (n, p), Y (n, q) and (n,).

        Raises:
            InputError: an item has no features, because the pairs table is newer.
        """
        X, Y, groups = self.stored_training()
        return np.asarray(X), np.asarray(Y), groups

    def stored_training(self) -> Training:
        """The same, read when they are asked for where there are many.

        Raises:
            InputError: an item has no features, because the pairs table is newer.
        """
        train = self.pairs.filter(pl.col("split") == "train")
        X, Y = (
            table.source(train[f"{view}_hash"].to_list())
            for view, table in zip(self.params.view_names, self.feature_tables, strict=True)
        )
        return Training(X, Y, train["group"].to_numpy())

    def unpaired(self, view: str) -> Array | None:
        """Features of a view's items that have no partner; None if the parameters name none.

        Raises:
            ArtifactError: a shard is missing or damaged.
        """
        if view not in self.params.dataset.unpaired:
            return None
        return FeatureTable.read(self.ws.unpaired(view)).features

    @cached_property
    def labels(self) -> tuple[LabelBridge, list[str]] | None:
        """The labels that an encoder of these views knows, as a bridge, and their names; None
        where there are none or they are not to be used.

        Raises:
            ArtifactError: the file is damaged.
        """
        for view, side in zip(self.params.view_names, _SIDES, strict=True):
            file = self.ws.labels(view)
            if view in self.params.dataset.unpaired and file.is_file():
                header, found = load_tensors(file, "labels")
                bridge = LabelBridge(
                    found["weights"],
                    found["bias"],
                    found["label_features"],
                    view=side,
                )
                return bridge, list(header["names"])
        return None

    def beside_pairs(self) -> dict[str, Any]:
        """What a fit is given beside pairs, by the names that `csa.CSA.fit` has for it:
        unpaired_x, unpaired_y and bridge; None each if there is none.

        Raises:
            ArtifactError: a file is missing or damaged.
        """
        first, second = self.params.view_names
        return {
            "unpaired_x": self.unpaired(first),
            "unpaired_y": self.unpaired(second),
            "bridge": self.labels[0] if self.labels else None,
        }

    def fingerprints(self) -> dict[str, str]:
        """View -> fingerprint of the encoder that its features are from."""
        return {view: fingerprint_of_features(self.ws.features(view)) for view in self.params.views}
