"""Queries that arrive together are compared with the gallery in one product."""

from typing import NamedTuple

import numpy as np

from csa.core.matrices import Array
from csa.core.threads import cores
from csa.serving.galleries import Galleries, Keep, Rows, in_eights
from csa.serving.together import Room, Together

_MOST = 64  # queries of one product
_Key = tuple[str, str, int, Keep]


class Query(NamedTuple):
    """Items to look for.

    Attributes:
        view: of the items.
        features: by the view's encoder, shape (n, d).
        into: view that is searched.
        top: how many results of each.
        keep: what a pair must have.
    """

    view: str
    features: Array
    into: str
    top: int
    keep: Keep


class Found(NamedTuple):
    """What belongs to them.

    Attributes:
        rows: of the searched view's gallery, shape (n, at most top), best first; -1 where nothing
            was found.
        scores: of these.
        p_familiar: p-values of the claim that each is like what was trained on, shape (n,).
    """

    rows: Rows
    scores: Array
    p_familiar: Array


class SharedSearches:
    """Searches of many threads; each gets the same bits as alone.

    Args:
        galleries: that are searched.
    """

    def __init__(self, galleries: Galleries):
        self._galleries = galleries
        room = Room(_MOST, cores())
        self._together = Together(self._found, lambda query: len(query.features), room)

    def __call__(self, query: Query) -> Found:
        """What belongs to the items of a query.

        Args:
            query: the items.

        Returns:
            Results of each.

        Raises:
            FeatureError: a shape that does not fit, NaN or infinity.
        """
        return self._together(query)

    def _found(self, queries: list[Query]) -> list[Found]:
        found: list[Found | None] = [None] * len(queries)
        alike: dict[_Key, list[int]] = {}
        for place, query in enumerate(queries):
            alike.setdefault((query.view, query.into, query.top, query.keep), []).append(place)
        for key, places in alike.items():
            features = [queries[place].features for place in places]
            whole = self._of_all(key, np.concatenate(features))
            stops = np.cumsum([len(rows) for rows in features])[:-1]
            parts = zip(*(np.split(part, stops) for part in whole), strict=True)
            for place, part in zip(places, parts, strict=True):
                found[place] = Found(*part)
        return [one for one in found if one is not None]

    def _of_all(self, key: _Key, features: Array) -> Found:
        view, into, top, keep = key
        fitted = self._galleries.fitted
        vectors = in_eights(lambda rows: fitted.scorer.vectors(view, rows), features)
        p_familiar = in_eights(lambda rows: fitted.familiar(view, rows), features)
        rows, scores = self._galleries.nearest(into, vectors, top, keep, into == view)
        return Found(rows, scores, p_familiar)
