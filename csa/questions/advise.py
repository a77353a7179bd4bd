"""`csa advise`: which pair of encoders aligns best, on a sample, before anyone spends hours
embedding.

Only the sample is embedded, through the item cache, so nothing is lost when the whole data set
follows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from csa.core.estimator import CSA
from csa.core.matrices import Array, Float64
from csa.core.refit import Refit
from csa.core.search import best_ranks
from csa.core.threads import one_thread_a_product
from csa.core.training import Training
from csa.datasets.ingest import ingest
from csa.datasets.items import item_loader
from csa.datasets.roots import dataset_root
from csa.encoders.registry import load_view_encoder
from csa.errors import InputError
from csa.evaluation.bootstrap import group_draws, mean_estimate
from csa.features.embed import Items, embed_view
from csa.params.schema import Params
from csa.params.views import ViewParams
from csa.pipeline.workspace import Workspace
from csa.questions.neighbours import NeighbourAlignment, mutual_neighbours
from csa.results.estimate import Estimate
from csa.results.words import plain, signed

MIN_SAMPLE = 50
_OPTIONS: dict[str, Callable[[str], Any]] = {
    "layer": lambda text: tuple(map(int, text.split("/"))) if "/" in text else int(text),
    "batch_size": int,
    "pooling": str,
    "revision": str,
    "dtype": str,
    "augment": str,
    "backend": str,
}


@dataclass(frozen=True, eq=False)
class Pairing:
    """One encoder for each view, measured on the sample.

    Attributes:
        encoders: name of the candidate of each view.
        neighbours: mutual nearest neighbours of the raw features.
        nats: mutual information of held-out canonical coordinates.
        mrr: mean reciprocal rank inside held-out folds, both ways, with an interval over pairs.
        behind: paired difference of the reciprocal rank against the best pairing, its interval
            widened for the number of pairings that are compared; None for the best.
    """

    encoders: tuple[str, str]
    neighbours: NeighbourAlignment
    nats: float
    mrr: Estimate
    behind: Estimate | None = None

    @property
    def tied(self) -> bool:
        """Whether it cannot be told from the best."""
        return self.behind is None or self.behind.high >= 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        facts = {
            "encoders": list(self.encoders),
            "mutual_neighbours": vars(self.neighbours),
            "mutual_information_nats": self.nats,
        }
        behind = None if self.behind is None else self.behind.as_dict()
        return {
            **facts,
            "mrr": self.mrr.as_dict(),
            "behind_best": behind,
            "tied_with_best": self.tied,
        }


@dataclass(frozen=True, eq=False)
class Advice:
    """All pairings, best first, and a verdict."""

    views: tuple[str, str]
    pairs: int
    pairings: list[Pairing]
    computed: int
    reused: int

    @property
    def verdict(self) -> str:
        """What may be concluded, in a sentence."""
        best = self.pairings[0]
        named = f"{best.encoders[0]} with {best.encoders[1]}"
        chance = float((1 / np.arange(1, self.pairs // _FOLDS + 1)).mean())
        if best.mrr.low <= chance and best.neighbours.p_value > _LEVEL:
            return (
                f"no pairing shows a shared signal on {self.pairs} pairs; take a larger sample "
                f"or other encoders"
            )
        tied = [" with ".join(p.encoders) for p in self.pairings[1:] if p.tied]
        if tied:
            return (
                f"{named} came out best, but {self.pairs} pairs cannot tell it from "
                f"{', '.join(tied)}; a larger --sample may"
            )
        return (
            f"{named} is the best of the {len(self.pairings)} on {self.pairs} pairs"
            if self.pairings[1:]
            else f"{named}: no choice"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        counts = {"pairs": self.pairs, "computed": self.computed, "reused": self.reused}
        return {
            "views": list(self.views),
            **counts,
            "verdict": self.verdict,
            "pairings": [p.as_dict() for p in self.pairings],
        }

    def __str__(self) -> str:
        widths = [
            max(len(view), *(len(p.encoders[i]) for p in self.pairings)) + 2
            for i, view in enumerate(self.views)
        ]
        head = "".join(view.ljust(width) for view, width in zip(self.views, widths, strict=True))
        lines = [
            f"{head}{'MRR':<24}{'behind best':<27}{'nats':>6}{'mutual kNN':>12}"
            f"{'chance':>8}{'z':>7}{'p':>8}"
        ]
        for p in self.pairings:
            names = "".join(
                name.ljust(width) for name, width in zip(p.encoders, widths, strict=True)
            )
            behind, near = "" if p.behind is None else signed(p.behind), p.neighbours
            lines.append(
                f"{names}{plain(p.mrr):<24}{behind:<27}{p.nats:>6.1f}{near.value:>12.3f}{near.null_mean:>8.3f}{near.z:>7.1f}{near.p_value:>8.3f}"
            )
        return "\n".join([*lines, "", self.verdict])


_FOLDS = 5
_LEVEL = 0.05


def advise(ws: Workspace, candidates: tuple[str, ...] = (), sample: int = 500) -> Advice:
    """Embed a sample of training pairs by every candidate, and compare all pairings.

    Args:
        ws: whose parameters name the data set and the views; it need not have been run.
        candidates: VIEW=ENCODER, or VIEW=ENCODER:key=value,key=value with the keys of a view's
            parameters (several layers as layer=0/-1); a view without any has its own encoder alone.
        sample: training pairs, each of another group.

    Returns:
        All pairings with what was measured, and what may be concluded.

    Raises:
        InputError: a candidate that cannot be read, or too small a sample.
        DataError, EncoderError: the data set or an encoder is unusable.
    """
    if sample < MIN_SAMPLE:
        raise InputError(f"a sample of {sample} pairs is too small; take at least {MIN_SAMPLE}")
    params = ws.params()
    named = named_candidates(params, candidates)
    # Rows are drawn before anything is opened: twice as many, since some are held out or of a group
    # that is there already.
    table = ingest(params, ws.root, sample=3 * sample).pairs.filter(pl.col("split") == "train")
    pairs = table.unique("group", keep="first", maintain_order=True).head(sample)
    if len(pairs) < MIN_SAMPLE:
        raise InputError(
            f"the sample has {len(pairs)} training pairs of different groups, at least "
            f"{MIN_SAMPLE} are needed: add pairs"
        )
    features: list[dict[str, Array]] = []
    computed = reused = 0
    for view, encoders in named.items():
        items = pairs.select(f"{view}_hash", view).unique(
            f"{view}_hash", keep="first", maintain_order=True
        )
        row = {item: i for i, item in enumerate(items[f"{view}_hash"])}
        rows = [row[item] for item in pairs[f"{view}_hash"]]
        of_view: dict[str, Array] = {}
        for name, settings in encoders.items():
            encoder = load_view_encoder(settings, params.compute.device)
            load_item = item_loader(
                settings, dataset_root(params.dataset, ws.root), params.dataset.max_image_pixels
            )
            asked = Items(items.rows(), load_item, f"embed {name}")
            done = embed_view(encoder, asked, ws.cache, params.compute.dask)
            of_view[name] = np.asarray(done.features)[rows]
            computed, reused = computed + done.computed, reused + done.reused
        features.append(of_view)
    ranked = rank_pairings(features[0], features[1])
    return Advice(params.view_names, len(pairs), ranked, computed, reused)


def rank_pairings(
    first: dict[str, Array], second: dict[str, Array], seed: int = 0
) -> list[Pairing]:
    """All pairings of one candidate of each view, best first.

    Args:
        first, second: candidate -> features (n, d) of the same n pairs, which are strangers to each
            other.
        seed: of folds, permutations and intervals.

    Returns:
        A pairing of every two candidates.
    """
    n = len(next(iter(first.values())))
    draws = group_draws(n, 1000, seed)
    measured: list[tuple[Pairing, Float64]] = []
    with one_thread_a_product():
        for a, b in product(first, second):
            nats, reciprocal = _held_out(first[a], second[b], seed)
            neighbours = mutual_neighbours(first[a], second[b], seed=seed)
            mrr = mean_estimate(reciprocal, np.arange(n), draws, 1 - _LEVEL)
            measured.append((Pairing((a, b), neighbours, nats, mrr), reciprocal))
    measured.sort(key=lambda one: -one[0].mrr.value)
    best = measured[0][1]
    confidence = 1 - _LEVEL / max(len(measured) - 1, 1)
    return [measured[0][0]] + [
        replace(pairing, behind=mean_estimate(reciprocal - best, np.arange(n), draws, confidence))
        for pairing, reciprocal in measured[1:]
    ]


def _held_out(X: Array, Y: Array, seed: int) -> tuple[float, Float64]:
    """Mutual information in nats, and each pair's mean reciprocal rank inside its fold, over
    both directions.
    """
    groups = np.arange(len(X))
    alignment = (
        CSA(score="normalised_likelihood_ratio", folds=_FOLDS, seed=seed).fit(X, Y).alignment_
    )
    refit = Refit(alignment, Training.of(X, Y, groups, _FOLDS, seed))
    fitted = refit.on(np.ones(len(X), dtype=np.bool_))
    reciprocal = np.empty(len(X))
    for k in range(fitted.folds):
        rows = np.flatnonzero(refit.fold == k)
        left, right = fitted.without(k).index_vectors(X[rows], Y[rows])
        own = (np.arange(len(rows)), np.arange(len(rows)))
        reciprocal[rows] = (1 / best_ranks(left, right, own) + 1 / best_ranks(right, left, own)) / 2
    return float(alignment.notes["mutual_information_nats"]), reciprocal


def named_candidates(
    params: Params, candidates: tuple[str, ...]
) -> dict[str, dict[str, ViewParams]]:
    """The candidates of each view.

    Args:
        params: whose views; a view without a candidate has its own encoder alone.
        candidates: as of `advise`.

    Returns:
        View -> candidate as it was written -> parameters.

    Raises:
        InputError: not VIEW=ENCODER[:key=value,...], an unknown view or key, a value out of range.
    """
    named: dict[str, dict[str, ViewParams]] = {view: {} for view in params.views}
    for text in candidates:
        view, equals, spec = text.partition("=")
        if not equals or not spec or view not in named:
            raise InputError(
                f"--view {text!r}: expected VIEW=ENCODER with a view of {', '.join(named)}, such "
                f"as "
                f"{next(iter(named))}=/models/dinov2:layer=-2,pooling=cls"
            )
        own = params.views[view]
        encoder, changes = _read_spec(text, spec)
        names = [encoder] if Path(encoder).exists() else encoder.split("+")
        settings = {
            "modality": own.modality,
            "batch_size": own.batch_size,
            **changes,
            "encoders": [{"encoder": one} for one in names],
        }
        try:
            named[view][spec] = ViewParams.model_validate(settings)
        except ValueError as error:
            words = " ".join(str(error).split())[:160]
            raise InputError(f"--view {text!r}: not settings of a view ({words})") from None
    return {
        view: some or {params.views[view].encoder_names: params.views[view]}
        for view, some in named.items()
    }


def _read_spec(text: str, spec: str) -> tuple[str, dict[str, Any]]:
    """The encoder's name and the settings behind its last colon."""
    encoder, colon, tail = spec.rpartition(":")
    if not colon or "=" not in tail:
        return spec, {}
    changes: dict[str, Any] = {}
    for part in tail.split(","):
        key, equals, value = part.partition("=")
        if key not in _OPTIONS or not equals:
            raise InputError(
                f"--view {text!r}: unknown setting {part!r}; there are {', '.join(_OPTIONS)}"
            )
        try:
            changes[key] = _OPTIONS[key](value)
        except ValueError:
            raise InputError(
                f"--view {text!r}: {key} must be a whole number, got {value!r}"
            ) from None
    return encoder, changes
