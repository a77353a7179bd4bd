"""The galleries of a version that answers: searched exactly, or by a graph where they are large."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from csa.core.matrices import Array
from csa.core.preparation import unit
from csa.core.search import top_k
from csa.extras import remedy_of
from csa.questions.opened import Fitted
from csa.questions.stored_graphs import Index, index_of

EXACT = 200_000
"""Items of a gallery up to which every one of them is compared with a query."""

Keep = tuple[tuple[str, str], ...]
"""(column, value) that a pair must have."""

Rows = NDArray[np.intp]
_EIGHT = 8
_SUBSETS = 4  # of the galleries, kept for the filters that were used last
_log = logging.getLogger("csa.serving")


def in_eights(work: Callable[[Array], Array], matrix: Array) -> Array:
    """A map of rows by products of eight rows each, so that a row's last bits do not depend on how
    many came with it.

    Args:
        work: takes eight rows, shape (8, d), and gives as many results.
        matrix: some rows, shape (n, d), at least one.

    Returns:
        Results of all of them, shape (n, ...).
    """
    return np.concatenate([work(eight) for eight in _eights(matrix)])[: len(matrix)]


def _eights(matrix: Array) -> list[Array]:
    """Its rows by eights; the last ones are filled up with repeats of the last row."""
    full = np.pad(matrix, ((0, -len(matrix) % _EIGHT), (0, 0)), "edge")
    return [full[start : start + _EIGHT] for start in range(0, len(full), _EIGHT)]


@dataclass(frozen=True, eq=False)
class Galleries:
    """Both views' galleries.

    Attributes:
        fitted: the model over the workspace's gallery.
        exact: items of a gallery up to which it is searched exactly.
        indices: of each view with more items, where FAISS is installed.
    """

    fitted: Fitted
    exact: int = EXACT
    indices: dict[str, Index] = field(default_factory=dict)

    @classmethod
    def of(cls, fitted: Fitted, exact: int) -> "Galleries":
        """Read both galleries, and read or build the graphs of large ones.

        Args:
            fitted: a model over a workspace's gallery.
            exact: items of a gallery up to which it is searched exactly.

        Returns:
            The galleries, ready.

        Raises:
            ArtifactError: a shard is missing or damaged, or by another encoder than the model's.
        """
        indices = {}
        for view in fitted.scorer.names:
            gallery = fitted.gallery(view).vectors
            if len(gallery) <= exact:
                continue
            try:
                others = fitted.gallery(fitted.scorer.other(view)).vectors
                indices[view] = index_of(fitted.ws, view, gallery, others)
            except ImportError as error:
                _log.warning(
                    "%s: each of %s items is compared with every query, which is slow; an index "
                    "needs %s",
                    *(view, f"{len(gallery):,}", remedy_of(error) or error),
                )
        return cls(fitted, exact, indices)

    def without(self, items: Collection[str]) -> "Galleries":
        """The same without some items. A graph holds their vectors, so it is left out, and the
        gallery is searched exactly until another is read.

        Args:
            items: their hashes (sha256).

        Returns:
            The others; itself if none of them is here.
        """
        fitted = self.fitted.without(items)
        return self if fitted is self.fitted else Galleries(fitted, self.exact)

    def about(self, view: str) -> dict[str, Any]:
        """How a view's gallery is searched, for people.

        Args:
            view: its name.

        Returns:
            Its items; where a graph finds them, its recall at 10 and its width.
        """
        told: dict[str, Any] = {"items": self.fitted.gallery(view).pairs.height, "exact": True}
        if view in self.indices:
            how = self.indices[view].how
            told |= {"exact": False, "recall_at_10": round(how.recall, 4), "width": how.width}
        return told

    def nearest(
        self, view: str, vectors: Array, top: int, keep: Keep, alike: bool
    ) -> tuple[Rows, Array]:
        """The items of a view that best belong to each query.

        Args:
            view: its name.
            vectors: index vectors of the queries, shape (n, k).
            top: how many for each.
            keep: what a pair must have.
            alike: whether the queries are of the same view, and are compared by the cosine.

        Returns:
            (rows of the view's gallery, scores), both (n, at most top), best first; -1 where
            nothing was found.
        """
        whole = self.fitted.gallery(view)
        rows = self._kept(view, keep) if keep else None
        count = whole.pairs.height if rows is None else len(rows)
        if view in self.indices and not alike and count > self.exact:
            mask = None
            if rows is not None:
                mask = np.zeros(whole.pairs.height, dtype=np.bool_)
                mask[rows] = True
            return self.indices[view].top_k(vectors, whole.vectors, top, mask)
        gallery = self._vectors(view, keep, alike) if keep or alike else whole.vectors
        queries = unit(vectors) if alike else vectors
        found = [top_k(eight, gallery, top) for eight in _eights(queries)]
        places, scores = (
            np.concatenate(parts)[: len(queries)] for parts in zip(*found, strict=True)
        )
        return places if rows is None else rows[places], scores

    @cached_property
    def _kept(self) -> Callable[[str, Keep], Rows]:
        """Rows of the galleries that the filters leave which were used last."""

        def rows(view: str, keep: Keep) -> Rows:
            told = pl.all_horizontal(pl.col(column) == value for column, value in keep)
            kept = self.fitted.gallery(view).pairs.select(told.fill_null(False)).to_series()
            return np.flatnonzero(kept)

        return lru_cache(maxsize=_SUBSETS)(rows)

    @cached_property
    def _vectors(self) -> Callable[[str, Keep, bool], Array]:
        """Their index vectors, at unit length where items of one view are compared."""

        def vectors(view: str, keep: Keep, alike: bool) -> Array:
            of_view = self.fitted.gallery(view).vectors
            kept = of_view[self._kept(view, keep)] if keep else of_view
            return unit(kept) if alike else kept

        return lru_cache(maxsize=_SUBSETS)(vectors)
