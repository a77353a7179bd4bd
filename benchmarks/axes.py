"""No first principal axis of either view is a nuisance, and a planted one costs a fit little.

    python -m benchmarks.axes FLICKR8K FOLDER [--seeds 5]

A nuisance axis varies much and tells nothing of the partner. `axes`: pairs of different items of
Flickr8k and of the built-in data set; each of the first five principal axes of either view is
dropped in turn, and partners are looked for inside held-out folds of a small fit, in 128 principal
dimensions. `planted`: the captions of Flickr8k get a common direction with random signs, so that it
has a share of their variance; fits to clean and to such features find partners among 1,000 dev
photos and their first captions. Orthogonal Procrustes, which does not whiten, stands beside.
FOLDER keeps the features. Adds to benchmarks/results/axes.json after every draw and goes on where
it stopped.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import csa
from benchmarks.measure import about
from benchmarks.suggest import Corpus, corpora
from csa.core.alignment import Alignment
from csa.core.matrices import Array, Float64
from csa.core.preparation import unit
from csa.core.refit import Refit
from csa.core.select import reciprocal_ranks
from csa.core.shrinkage import Shrinkage
from csa.core.threads import one_thread_a_product
from csa.core.training import Training
from csa.evaluation.bootstrap import group_draws, mean_estimate
from csa.storage.files import read_json, write_json

RESULTS = Path(__file__).parent / "results" / "axes.json"
AXES = 5
DIMENSIONS = 128
PAIRS = (100, 500)
SHARES = (0.0, 0.5, 0.9, 0.99, 0.999)
CONFIDENCE = 1 - 0.05 / (2 * AXES)  # for all axes of both views together
Views = tuple[Array, Array]


def pairs_of(corpus: Corpus, n: int, seed: int) -> Views:
    """Features of n items that are not held out, each with its first text."""
    items = np.random.default_rng(seed).permutation(np.flatnonzero(~corpus.held_out))[:n]
    return corpus.items[items], corpus.texts[_first_texts(corpus, items)]


def _first_texts(corpus: Corpus, items: Any) -> Any:
    return np.unique(corpus.owner, return_index=True)[1][items]


def principal(features: Array) -> tuple[Float64, Float64]:
    """Features in their leading principal axes, and each axis's share of the variance."""
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    left, s, _ = np.linalg.svd(centred, full_matrices=False)
    return (left * s)[:, :DIMENSIONS], s**2 / (s**2).sum()


def drops(views: Views) -> Iterator[tuple[int, int, Views]]:
    """(view, axis, both views without it) for the first axes of both."""
    x, y = views
    for axis in range(AXES):
        yield 0, axis, (np.delete(x, axis, axis=1), y)
    for axis in range(AXES):
        yield 1, axis, (x, np.delete(y, axis, axis=1))


def chosen(views: Views) -> Alignment:
    """A small fit, its shrinkage chosen by held-out retrieval."""
    return csa.CSA(score="normalised_likelihood_ratio").fit(*views).alignment_


def held_out(recipe: Alignment, views: Views) -> Float64:
    """Reciprocal rank of each pair inside its fold, a mean of both directions."""
    n = len(views[0])
    refit = Refit(recipe, Training.of(*views, np.arange(n)))
    fitted, reciprocal = refit.on(np.ones(n, dtype=np.bool_)), np.empty(n)
    for k in range(fitted.folds):
        rows = np.flatnonzero(refit.fold == k)
        vectors = fitted.without(k).index_vectors(views[0][rows], views[1][rows])
        reciprocal[rows] = _reciprocal(*vectors).mean(axis=0)
    return reciprocal


def _reciprocal(left: Array, right: Array) -> Float64:
    """Of each pair's ranks in both directions, shape (2, n)."""
    return reciprocal_ranks(left, right, np.arange(len(left)))


def at_best(views: Views, recipe: Alignment, others: Views, other: Alignment) -> Float64:
    """Held-out retrieval by the better of two choices of the ridge: these views' own and that of
    other views.

    A ridge is a share of the mean variance, which an axis may have most of; the search for it can
    end in another place for each set of axes. So what is compared has the same choices.
    """
    ridges = []
    for g, view, of in zip(other.shrinkage, views, others, strict=True):
        ridge = g / (1 - g) * of.var(axis=0).mean()
        ridges.append(ridge / (ridge + view.var(axis=0).mean()))
    tried = [
        held_out(one, views) for one in (recipe, replace(recipe, shrinkage=Shrinkage(*ridges)))
    ]
    return max(tried, key=lambda reciprocal: float(reciprocal.mean()))


def axes(corpus: Corpus, n: int, seed: int) -> dict[str, Any]:
    """What mean reciprocal rank gains without each axis, in percent, with intervals over pairs for
    all axes together.
    """
    (x, share_x), (y, share_y) = (principal(view) for view in pairs_of(corpus, n, seed))
    views: Views = (x, y)
    recipe, draws, gains = chosen(views), group_draws(n, 1000, seed), []
    for view, axis, without in drops(views):
        other = chosen(without)
        kept = at_best(views, recipe, without, other)
        dropped = at_best(without, other, views, recipe)
        gain = mean_estimate(100 * (dropped - kept), np.arange(n), draws, CONFIDENCE)
        share = float((share_x, share_y)[view][axis])
        gains.append({"view": view, "axis": axis + 1, "share": share, **gain.as_dict()})
    return {"mrr": 100 * float(held_out(recipe, views).mean()), "gains": gains}


def planted(features: Array, share: float, seed: int) -> Array:
    """Features with a common direction of random sign, which has this share of their variance."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=features.shape[1])
    length = np.sqrt(share / (1 - share) * features.var(axis=0).sum())
    signs = rng.choice([-1, 1], size=len(features))
    moved: Array = features + np.outer(signs, length * direction / np.linalg.norm(direction))
    return moved.astype(np.float32)


def procrustes(X: Array, Y: Array) -> Callable[[Array, Array], Views]:
    """The rotation that brings centred features of unit length nearest to their partners."""
    means = X.mean(axis=0), Y.mean(axis=0)
    left, _, right = np.linalg.svd(unit(X - means[0]).T @ unit(Y - means[1]), full_matrices=False)
    return lambda x, y: (unit(x - means[0]) @ left @ right, unit(y - means[1]))


def retrieval(corpus: Corpus, n: int, share: float, seed: int) -> dict[str, Any]:
    """R@1 and mean reciprocal rank on held-out items, means of both ways, in percent."""
    X, Y = pairs_of(corpus, n, seed)
    items = np.flatnonzero(corpus.held_out)
    texts = np.concatenate([Y, corpus.texts[_first_texts(corpus, items)]])
    texts = planted(texts, share, seed)  # one direction for pairs and held-out texts
    Y, held = texts[:n], texts[n:]
    found = {}
    for name, vectors in (
        ("csa", csa.CSA().fit(X, Y).index_vectors),
        ("procrustes", procrustes(X, Y)),
    ):
        reciprocal = _reciprocal(*vectors(corpus.items[items], held))
        found[name] = {
            "r1": 100 * float((reciprocal == 1).mean()),
            "mrr": 100 * float(reciprocal.mean()),
        }
    return found


def main() -> None:
    """Measure what is not in the results yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    corpus = corpora(options.data, options.folder)
    asked: list[tuple[dict[str, Any], Callable[[], dict[str, Any]]]] = []
    for seed in range(options.seeds):
        for n in PAIRS:
            for name, of in corpus.items():
                key = {"part": "axes", "data": name, "pairs": n, "seed": seed}
                asked.append((key, partial(axes, of, n, seed)))
            for share in SHARES:
                key = {"part": "planted", "pairs": n, "share": share, "seed": seed}
                asked.append((key, partial(retrieval, corpus["Flickr8k"], n, share, seed)))
    for key, work in asked:
        rows = read_json(options.results)["rows"] if options.results.exists() else []
        if any(key.items() <= row.items() for row in rows):
            continue
        with one_thread_a_product():
            row = {**key, **work()}
        command = "python -m benchmarks.axes FLICKR8K FOLDER"
        write_json(options.results, {**about(command), "rows": [*rows, row]})
        print(row, flush=True)


if __name__ == "__main__":
    main()
