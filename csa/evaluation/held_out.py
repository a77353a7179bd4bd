"""The held-out pairs as evaluation sees them: unique items of each view, and which belong
together.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.moments import Array


class FeatureLookup(Protocol):
    """Features by item hash, such as a `csa.features.shards.FeatureTable`."""

    def rows(self, hashes: list[str]) -> Array:
        """Features of the items, shape (len(hashes), d)."""


@dataclass(frozen=True, eq=False)
class HeldOutView:
    """One view's unique items, in order of first appearance.

    Attributes:
        name: the view's name.
        items: item hashes, n of them.
        values: what each item is: a text, an image path, an array row.
        groups: group of each item (that of its first pair).
        features: shape (n, d).
        of_pair: item number of each pair.
    """

    name: str
    items: list[str]
    values: list[str]
    groups: list[str]
    features: Array
    of_pair: NDArray[np.intp]

    @classmethod
    def of(cls, pairs: pl.DataFrame, name: str, features: FeatureLookup) -> "HeldOutView":
        """The unique items of one view of a pairs table.

        Args:
            pairs: the held-out rows of the table.
            name: of the view.
            features: of its items, by hash.

        Returns:
            The items with their features, and the item of each row.
        """
        column = f"{name}_hash"
        unique = pairs.unique(column, keep="first", maintain_order=True)
        items = unique[column].to_list()
        number = {item: i for i, item in enumerate(items)}
        of_pair = np.array([number[item] for item in pairs[column]], dtype=np.intp)
        return cls(
            name,
            items,
            unique[name].to_list(),
            unique["group"].to_list(),
            features.rows(items),
            of_pair,
        )


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Both views of the held-out pairs.

    Attributes:
        pairs: the held-out rows of the pairs table, the same pair of items only once.
        views: first and second view.
        evaluation_id: sha256 of pairs, groups and item contents: two evaluations compare only where
            this agrees.
    """

    pairs: pl.DataFrame
    views: tuple[HeldOutView, HeldOutView]
    evaluation_id: str

    @classmethod
    def of(
        cls,
        pairs: pl.DataFrame,
        names: tuple[str, str],
        features: tuple[FeatureLookup, FeatureLookup],
    ) -> "HeldOut":
        """Held-out view of a pairs table and its features.

        Args:
            pairs: the whole pairs table; its rows of split `test` are taken.
            names: of the first and the second view.
            features: of the items of either view, by hash.

        Returns:
            The held-out pairs with the items of both views.
        """
        test = unique_test_pairs(pairs, names)
        first, second = (
            HeldOutView.of(test, name, table) for name, table in zip(names, features, strict=True)
        )
        return cls(test, (first, second), evaluation_id(pairs, names))


def unique_test_pairs(pairs: pl.DataFrame, names: tuple[str, str]) -> pl.DataFrame:
    """The held-out rows of a pairs table, the same pair of items only once, in order.

    Args:
        pairs: the whole pairs table.
        names: of the first and the second view.

    Returns:
        Rows of the table; of pairs with the same two items the first.
    """
    hashes = [f"{name}_hash" for name in names]
    return pairs.filter(pl.col("split") == "test").unique(hashes, keep="first", maintain_order=True)


def evaluation_id(pairs: pl.DataFrame, names: tuple[str, str]) -> str:
    """sha256 of the held-out pairs: their ids, groups and item contents.

    Args:
        pairs: the whole pairs table.
        names: of the first and the second view, which are hashed too.

    Returns:
        64 hex digits.
    """
    test = unique_test_pairs(pairs, names).select(
        "pair_id", "group", *(f"{name}_hash" for name in names)
    )
    content = json.dumps([list(names), test.rows()], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()
