"""Which unpaired items to label next: criteria against random choice, at an equal budget of labels.

    python -m benchmarks.suggest FLICKR8K FOLDER [--seeds 3] [--fits pools]

n items are labelled (with all their texts); a criterion then chooses the next ones of a pool of
1,000 unpaired items of the first view, whose texts are revealed, and a fit to all labelled items is
measured by retrieval both ways: on dev's 1,000 photos and 5,000 captions of Flickr8k, and on the
held-out fifth of the built-in data set's groups. The 1,000 texts of the other pool belong to other
items. `pairs`: every fit sees labelled items alone; `pools`: every fit looks at the pools too.
Random choice is drawn three times a seed. FOLDER keeps the features. Adds to
benchmarks/results/suggest.json after every fit and goes on where it stopped.
"""

import argparse
import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import csa
from benchmarks.measure import about
from benchmarks.unpaired_features import IMAGE, TEXT, features
from csa.core.matrices import Array, Float64
from csa.core.preparation import unit
from csa.core.representative import representative
from csa.core.search import best_ranks
from csa.datasets.openmoji import build_demo
from csa.features.embed import Items
from csa.features.embedder import Embedder
from csa.storage.files import read_json, write_json

RESULTS = Path(__file__).parent / "results" / "suggest.json"
STEPS = ((20, 50), (50, 100))
POOL = 1000
RANDOM_DRAWS = 3
MEASURES = ("mrr", "recall_at_1")
Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Corpus:
    """Items of the first view, each with its texts.

    Attributes:
        items: features, shape (n, p).
        texts: features, shape (m, q).
        owner: the item of each text, shape (m,).
        held_out: whether an item is for measuring, shape (n,).
    """

    items: Array
    texts: Array
    owner: Rows
    held_out: NDArray[np.bool_]

    def texts_of(self, items: Rows) -> Rows:
        """Rows of the texts of these items."""
        return np.flatnonzero(np.isin(self.owner, items))


@dataclass(frozen=True, eq=False)
class Situation:
    """What is known when items are to be suggested.

    Attributes:
        base: fits a model to what is labelled, once.
        labelled: features of the labelled items, shape (n, p).
        pool: of the items that could be, shape (N, p).
        others: features of unpaired texts, shape (M, q).
        rng: of random choices.
    """

    base: Callable[[], csa.CSA]
    labelled: Array
    pool: Array
    others: Array
    rng: np.random.Generator

    def predicted(self, items: Array) -> Float64:
        """What the model expects of the other view's canonical coordinates, at unit length."""
        weights = self.base().weights_
        return unit(self.base().transform(X=items)[:, : len(weights)] * weights)

    @property
    def entropy(self) -> Float64:
        """Of each pool item's distribution over the unpaired texts, in nats."""
        left, right = self.base().index_vectors(self.pool, self.others)
        scores = left @ right.T
        scores -= scores.max(axis=1, keepdims=True)
        p = np.exp(scores)
        p /= p.sum(axis=1, keepdims=True)
        entropy: Float64 = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)
        return entropy


def nothing(known: Situation, count: int) -> Rows:
    """No further item: what is labelled alone."""
    return np.arange(0)


def at_random(known: Situation, count: int) -> Rows:
    """Any items."""
    return known.rng.choice(len(known.pool), count, replace=False)


def far(known: Situation, count: int) -> Rows:
    """One after another the item that is farthest, by what the model expects of it, from all that
    are labelled or chosen (k-center; Sener & Savarese 2018).
    """
    pool = known.predicted(known.pool)
    nearest = (pool @ known.predicted(known.labelled).T).max(axis=1)
    chosen: list[int] = []
    for _ in range(count):
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, pool @ pool[chosen[-1]])
    return np.array(chosen)


def medoids(known: Situation, count: int) -> Rows:
    """What `csa suggest-pairs` chooses, in the encoder's features."""
    return representative(known.pool, known.labelled, count)


def predicted_medoids(known: Situation, count: int) -> Rows:
    """The same by what the model expects of the items."""
    return representative(known.predicted(known.pool), known.predicted(known.labelled), count)


def uncertain(known: Situation, count: int) -> Rows:
    """Items whose text could be any."""
    return np.argsort(-known.entropy, kind="stable")[:count]


def uncertain_medoids(known: Situation, count: int) -> Rows:
    """Medoids of the more uncertain half of the pool."""
    half = uncertain(known, len(known.pool) // 2)
    return half[representative(known.pool[half], known.labelled, count)]


CRITERIA: dict[str, Callable[[Situation, int], Rows]] = {
    "nothing": nothing,
    "random": at_random,
    "far": far,
    "medoids": medoids,
    "medoids of what is expected": predicted_medoids,
    "uncertain": uncertain,
    "uncertain medoids": uncertain_medoids,
}


@dataclass(frozen=True, eq=False)
class Task:
    """One draw of labelled items and pools.

    Attributes:
        corpus: of which.
        labelled, pool: rows of items.
        others: rows of unpaired texts.
        with_pools: whether fits look at the pools.
    """

    corpus: Corpus
    labelled: Rows
    pool: Rows
    others: Rows
    with_pools: bool

    @classmethod
    def draw(cls, corpus: Corpus, n: int, seed: int, with_pools: bool) -> "Task":
        """n labelled items, and pools of other items."""
        rng = np.random.default_rng(seed)
        order = rng.permutation(np.flatnonzero(~corpus.held_out))
        rest = order[n:]
        half = len(rest) // 2
        others = rng.permutation(corpus.texts_of(rest[half:]))[:POOL]
        return cls(corpus, order[:n], rest[: min(half, POOL)], others, with_pools)

    def fit(self, labelled: Rows) -> csa.CSA:
        """A fit to these items and, where it is to look at them, the pools."""
        texts = self.corpus.texts_of(labelled)
        owner = self.corpus.owner[texts]
        beside: dict[str, Any] = {}
        if self.with_pools:
            left = np.setdiff1d(self.pool, labelled)
            beside["unpaired_x"] = self.corpus.items[left]
            beside["unpaired_y"] = self.corpus.texts[self.others]
        return csa.CSA().fit(self.corpus.items[owner], self.corpus.texts[texts], owner, **beside)

    def chosen(self, base: Callable[[], csa.CSA], criterion: str, count: int, seed: int) -> Rows:
        """Rows of the items that a criterion chooses next."""
        known = Situation(
            base,
            self.corpus.items[self.labelled],
            self.corpus.items[self.pool],
            self.corpus.texts[self.others],
            np.random.default_rng(seed),
        )
        return self.pool[CRITERIA[criterion](known, count)]

    def measured(self, model: csa.CSA) -> dict[str, float]:
        """Mean reciprocal rank and R@1 on held-out items, means of both ways, in percent."""
        items = np.flatnonzero(self.corpus.held_out)
        texts = self.corpus.texts_of(items)
        left, right = model.index_vectors(self.corpus.items[items], self.corpus.texts[texts])
        left, right = left.astype(np.float32), right.astype(np.float32)
        own, text = np.searchsorted(items, self.corpus.owner[texts]), np.arange(len(texts))
        ranks = best_ranks(left, right, (own, text)), best_ranks(right, left, (text, own))
        return {
            "mrr": 50 * sum(float((1 / r).mean()) for r in ranks),
            "recall_at_1": 50 * sum(float((r == 1).mean()) for r in ranks),
        }


def corpora(data: Path, folder: Path) -> dict[str, Corpus]:
    """Both data sets, embedded once.

    Args:
        data: folder of Flickr8k.
        folder: for features.

    Returns:
        Name -> data set.
    """
    flickr = features(data, folder)
    n, per, q = flickr.captions.shape
    owner = np.repeat(np.arange(n), per)
    return {
        "Flickr8k": Corpus(flickr.photos, flickr.captions.reshape(-1, q), owner, flickr.dev),
        "OpenMoji": _openmoji(folder),
    }


def _openmoji(folder: Path) -> Corpus:
    """The built-in data set; a fifth of its groups is held out."""
    from PIL import Image

    root = folder / "openmoji"
    if not root.exists():
        build_demo(root)
    with (root / "pairs.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    names = list(dict.fromkeys(row["image"] for row in rows))
    group_of = {row["image"]: row["group"] for row in rows}
    groups = sorted(set(group_of.values()))
    held = set(np.random.default_rng(0).permutation(groups)[: len(groups) // 5])
    embedder = Embedder(folder / "items")
    items = Items(
        [(name, name) for name in names],
        lambda name: Image.open(root / name).convert("RGB"),
        "pictures",
    )
    return Corpus(
        embedder.items(IMAGE, items).rows(names),
        embedder.texts(TEXT, [row["text"] for row in rows], "names"),
        np.array([names.index(row["image"]) for row in rows]),
        np.array([group_of[name] in held for name in names]),
    )


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Attributes:
        fits: "pairs" or "pools".
        criteria: names of `CRITERIA`.
        path: of the results.
    """

    fits: str
    criteria: list[str]
    path: Path


def run(name: str, corpus: Corpus, seed: int, asked: Asked) -> None:
    """All steps and criteria of one draw that are not in the results yet.

    Args:
        name: of the data set.
        corpus: its features.
        seed: of the draw.
        asked: what is to be measured.
    """
    for n, goal in STEPS:
        task = Task.draw(corpus, n, seed, asked.fits == "pools")
        base = cache(lambda task=task: task.fit(task.labelled))
        for criterion in asked.criteria:
            for draw in range(RANDOM_DRAWS if criterion == "random" else 1):
                key = {"data": name, "fits": asked.fits, "labelled": n, "goal": goal}
                key |= {"seed": seed, "criterion": criterion, "draw": draw}
                if any(key.items() <= row.items() for row in _rows(asked.path)):
                    continue
                began = time.perf_counter()
                more = task.chosen(base, criterion, goal - n, 100 * seed + draw)
                model = task.fit(np.concatenate([task.labelled, more])) if len(more) else base()
                row = {**key, **task.measured(model)}
                account = model.alignment_.notes.get("unpaired")
                row |= {} if account is None else {"pools_used": account["used"]}
                row["seconds"] = round(time.perf_counter() - began, 1)
                write_json(asked.path, {"rows": [*_rows(asked.path), row]})


def _rows(path: Path) -> list[dict[str, Any]]:
    return list(read_json(path)["rows"]) if path.exists() else []


def gains(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each criterion gains over random choice: each seed's less the mean of its random draws.

    Args:
        rows: of the results.

    Returns:
        A line each for data set, kind of fits, step and criterion: the mean over seeds, and the
        gain with half the width of its 95 % interval (Student's t).
    """
    lines = []
    case_of = ("data", "fits", "labelled", "goal")
    for case in dict.fromkeys(tuple(row[name] for name in case_of) for row in rows):
        mine = [row for row in rows if tuple(row[name] for name in case_of) == case]
        for criterion in CRITERIA:
            seeds = sorted({row["seed"] for row in mine if row["criterion"] == criterion})
            if len(seeds) < 2:
                continue
            line: dict[str, Any] = {**dict(zip(case_of, case, strict=True)), "criterion": criterion}
            line["seeds"] = len(seeds)
            for measure in MEASURES:
                values, at_random = (
                    np.array([_mean(mine, name, seed, measure) for seed in seeds])
                    for name in (criterion, "random")
                )
                gained = values - at_random
                half = stats.sem(gained) * stats.t.ppf(0.975, len(seeds) - 1)
                line[measure] = round(float(values.mean()), 2)
                line[f"{measure}_gain"] = round(float(gained.mean()), 2)
                line[f"{measure}_gain_half_width"] = round(float(half), 2)
            lines.append(line)
    return lines


def _mean(rows: list[dict[str, Any]], criterion: str, seed: int, measure: str) -> float:
    found = [row[measure] for row in rows if (row["criterion"], row["seed"]) == (criterion, seed)]
    return float(np.mean(found))


def main() -> None:
    """Measure what is not in the results yet, and print the gains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fits", choices=["pairs", "pools"], default="pairs")
    parser.add_argument("--criteria", default=",".join(CRITERIA))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    found = corpora(options.data, options.folder)
    asked = Asked(options.fits, options.criteria.split(","), options.results)
    for seed in range(options.seeds):
        for name, corpus in found.items():
            run(name, corpus, seed, asked)
    rows = _rows(options.results)
    command = "python -m benchmarks.suggest FLICKR8K FOLDER"
    write_json(options.results, {**about(command), "gains": gains(rows), "rows": rows})
    for line in gains(rows):
        print(line)


if __name__ == "__main__":
    main()
