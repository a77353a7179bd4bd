"""Is an item like anything that was trained on?"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from csa.core.matrices import Array, Float64
from csa.core.preparation import unit
from csa.evaluation.bootstrap import number_groups
from csa.evaluation.conformal import Calibration
from csa.evaluation.exchangeability import familiarity
from csa.features.shards import FeatureTable

UNFAMILIAR = 0.01
"""P-value of `Familiar` from which on an item is called unlike what was trained on."""

MOST = 20_000
"""Training items that a new item is compared with, and held-out items that say what is usual.
Of more, so many are drawn: a p-value holds whichever training items were drawn beforehand."""

_SEED = 0


@dataclass(frozen=True, eq=False)
class Familiar:
    """How near items lie to a view's training items, beside how near held-out ones do.

    Attributes:
        known: unit features of the training items, shape (d, m).
        items: their hashes, shape (m,).
        usual: familiarity of held-out items.
    """

    known: Array
    items: pl.Series
    usual: Calibration

    @classmethod
    def of(cls, pairs: pl.DataFrame, table: FeatureTable, view: str) -> "Familiar":
        """What is familiar in a view.

        Args:
            pairs: the pairs table.
            table: features of the view's items.
            view: its name.

        Returns:
            What new items are compared with.
        """
        train, test = (
            _drawn(
                pairs.filter(pl.col("split") == split).unique(
                    f"{view}_hash", keep="first", maintain_order=True
                )
            )
            for split in ("train", "test")
        )
        items = train[f"{view}_hash"]
        known = table.rows(items.to_list())
        held_out = familiarity(table.rows(test[f"{view}_hash"].to_list()), known)
        return cls(unit(known).T, items, Calibration.of(held_out, number_groups(test["group"])))

    def without(self, items: Collection[str]) -> "Familiar":
        """The same without some training items; what is usual stays.

        Args:
            items: their hashes (sha256).

        Returns:
            What is like the others.
        """
        kept = ~self.items.is_in(list(items))
        return replace(self, known=self.known[:, kept.to_numpy()], items=self.items.filter(kept))

    def p_value(self, features: Array) -> Float64:
        """Whether items are as much like some training item as held-out ones are.

        Args:
            features: by the view's encoder, shape (n, d).

        Returns:
            P-values of the claim that they are, shape (n,).
        """
        nearest: Float64 = (unit(features) @ self.known).max(axis=1)
        return self.usual.p_value(nearest)


def _drawn(items: pl.DataFrame) -> pl.DataFrame:
    """At most `MOST` rows, in order."""
    if items.height <= MOST:
        return items
    rows = np.random.default_rng(_SEED).permutation(items.height)[:MOST]
    drawn: pl.DataFrame = items[np.sort(rows).tolist()]
    return drawn
