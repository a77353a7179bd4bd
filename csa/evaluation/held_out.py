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
        asking: how many of the items, the first, are asked as queries.
    """

    name: str
    items: list[str]
    values: list[str]
    groups: list[str]
    features: Array
    of_pair: NDArray[np.intp]
    asking: int

    @classmethod
    def of(
        cls, pairs: pl.DataFrame, name: str, features: FeatureLookup, asked: int
    ) -> "HeldOutView":
        """The unique items of one view of a pairs table.

        Args:
            pairs: the held-out rows of the table.
            name: of the view.
            features: of its items, by hash.
            asked: how many of the rows, the first, are asked.

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
            asking=int(of_pair[:asked].max(initial=-1)) + 1,
        )


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Both views of the held-out pairs.

    Attributes:
        pairs: the held-out rows of the pairs table, the same pair of items only once, those of
            groups that are asked first.
        views: first and second view.
        asked: how many of the pairs, the first, are asked; the items of all are searched.
        evaluation_id: sha256 of pairs, groups and item contents, and of what is asked of them: two
            evaluations compare only where this agrees.
    """

    pairs: pl.DataFrame
    views: tuple[HeldOutView, HeldOutView]
    asked: int
    evaluation_id: str

    @classmethod
    def of(
        cls,
        pairs: pl.DataFrame,
        names: tuple[str, str],
        features: tuple[FeatureLookup, FeatureLookup],
        queries: int | None = None,
    ) -> "HeldOut":
        """Held-out view of a pairs table and its features.

        Args:
            pairs: the whole pairs table; its rows of split `test` are taken.
            names: of the first and the second view.
            features: of the items of either view, by hash.
            queries: at most this many groups are asked; None: all.

        Returns:
            The held-out pairs with the items of both views.
        """
        test, asked = asked_first(unique_test_pairs(pairs, names), queries)
        first, second = (
            HeldOutView.of(test, name, table, asked)
            for name, table in zip(names, features, strict=True)
        )
        return cls(test, (first, second), asked, evaluation_id(pairs, names, queries))

    @property
    def asked_pairs(self) -> pl.DataFrame:
        """The pairs that are asked."""
        return self.pairs.head(self.asked)

    def relevant(self, source: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Items that belong together.

        Args:
            source: number of the view that queries are of, 0 or 1.

        Returns:
            (numbers of queries, numbers of gallery items), a pair each, of the items that are
            asked.
        """
        query, gallery = self.views[source], self.views[1 - source]
        of_query = query.of_pair < query.asking
        return query.of_pair[of_query], gallery.of_pair[of_query]


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


def asked_first(test: pl.DataFrame, queries: int | None) -> tuple[pl.DataFrame, int]:
    """Which held-out pairs are asked: those of the groups whose names have the smallest hashes.
    What is asked of fewer is asked of more groups too, and tomorrow as today.

    Args:
        test: held-out pairs, from `unique_test_pairs`.
        queries: at most this many groups; None: all.

    Returns:
        The pairs, those that are asked first, each part in its order; and how many are asked.
    """
    if queries is None or not _binds(queries, test):
        return test, len(test)
    groups = test["group"].unique().to_list()
    groups.sort(key=lambda group: hashlib.sha256(str(group).encode()).digest())
    asked = test["group"].is_in(groups[:queries])
    return pl.concat([test.filter(asked), test.filter(~asked)]), int(asked.sum())


def evaluation_id(pairs: pl.DataFrame, names: tuple[str, str], queries: int | None = None) -> str:
    """sha256 of the held-out pairs: their ids, groups and item contents, and how many groups are
    asked where that is not all.

    Args:
        pairs: the whole pairs table.
        names: of the first and the second view, which are hashed too.
        queries: at most this many groups are asked; None: all.

    Returns:
        64 hex digits.
    """
    unique = unique_test_pairs(pairs, names)
    test = unique.select("pair_id", "group", *(f"{name}_hash" for name in names))
    limit = [queries] if _binds(queries, unique) else []
    content = json.dumps([list(names), test.rows(), *limit], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def _binds(queries: int | None, test: pl.DataFrame) -> bool:
    """Whether there are more groups than are asked."""
    return queries is not None and test["group"].n_unique() > queries
