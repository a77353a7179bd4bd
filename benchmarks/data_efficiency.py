"""Retrieval against the number of training images on Flickr8k: CSA's default, its parts, its
baselines and a trained head.

    csa run recipes/flickr8k.yaml --data PATH
    python -m benchmarks.data_efficiency [flickr8k] [--methods "default|published"] [--threads 1]

n training images with their five captions each, three random subsets; standard retrieval both ways
on the 1,000 images and 5,000 captions of the dev split. All choices are made inside the n pairs,
except by "published, best s on dev", which is told its number of components. The features are those
of a recipe's workspace that was run. Adds to benchmarks/results/data_efficiency.json after every
fit and goes on where it stopped. Subsets, fits and measures are those of `csa sweep`; the rows
measured before it was there (they have no mrr) counted equal captions of two images as two.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

import csa
from benchmarks.contrastive_head import ContrastiveHead
from benchmarks.measure import about
from csa.baselines import ASIF, PlainCCA, Procrustes, RidgeMap
from csa.core.scores import CanonicalScore, component_grid
from csa.evaluation.held_out import HeldOut
from csa.params.measure import EvaluateParams
from csa.pipeline.recipes import existing_workspace
from csa.questions.sweep import SweepData, fit_subset, retrieval
from csa.results.evaluation import RetrievalMetrics
from csa.storage.files import write_json

RESULTS = Path(__file__).parent / "results" / "data_efficiency.json"
SIZES = (20, 50, 100, 300, 1000, 2642, 3000, 6000)
SEEDS = (0, 1, 2)
METHODS: dict[str, Callable[[], Any]] = {
    "default": csa.CSA,
    "published": lambda: csa.CSA(score="canonical", shrinkage=0.0),
    "published, best s on dev": lambda: csa.CSA(
        score="canonical", shrinkage=0.0, n_components=10_000
    ),
    "contrastive head": ContrastiveHead,
    "likelihood ratio": lambda: csa.CSA(score="likelihood_ratio"),
    "likelihood ratio, hubness": lambda: csa.CSA(score="likelihood_ratio", hubness=True),
    "canonical, cross-fitted": lambda: csa.CSA(score="canonical"),
    "canonical, cross-fitted, hubness": lambda: csa.CSA(score="canonical", hubness=True),
    "regularised CCA cosine": PlainCCA,
    "ASIF": ASIF,
    "Procrustes": Procrustes,
    "ridge map": RidgeMap,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "workspace", nargs="?", default="flickr8k", help="name of a recipe that was run"
    )
    parser.add_argument("--methods", default="|".join(METHODS), help="names, separated by |")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    data = SweepData.of(existing_workspace(options.workspace))
    methods = options.methods.split("|")
    with threadpool_limits(options.threads):
        for name in methods:
            for n in map(int, options.sizes.split(",")):
                for seed in SEEDS if n < data.groups else SEEDS[:1]:
                    measure(name, n, seed, data)


def measure(name: str, n: int, seed: int, data: SweepData) -> None:
    """Fit one method on one subset, measure it on dev, and add the row to the results, unless it
    is there.
    """
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": []}
    if any(
        (row["method"], row["images"], row["seed"]) == (name, n, seed) for row in results["rows"]
    ):
        return
    model, pairs, seconds = fit_subset(METHODS[name], data, min(n, data.groups), 0.0, seed)
    told = name == "published, best s on dev"
    scores = (
        _at_best_size(model, data.held_out)
        if told
        else retrieval(model, data.held_out, EvaluateParams())
    )
    row = {
        "method": name,
        "images": n,
        "seed": seed,
        "pairs": pairs,
        "fit_seconds": seconds,
        **{way: found.as_dict() for way, found in scores.items()},
    }
    if name == "default":
        row["recipe"] = model.alignment_.facts()
    RESULTS.parent.mkdir(exist_ok=True)
    command = "python -m benchmarks.data_efficiency"
    write_json(RESULTS, {**about(command), "rows": [*results["rows"], row]})
    recalls = [found.recall_at_1.value for found in scores.values()]
    print(
        f"{name:34} n={n:5} seed={seed} {recalls[0]:.3f}/{recalls[1]:.3f} {seconds:.1f} s",
        flush=True,
    )


@dataclass(frozen=True)
class _OfSize:
    """A fitted CSA with the canonical score of so many components."""

    model: csa.CSA
    score: CanonicalScore

    def index_vectors(self, X: Any, Y: Any) -> tuple[Any, Any]:
        a, b = self.model.transform(X, Y)
        return self.score.left(a), self.score.right(b)


def _at_best_size(model: csa.CSA, held_out: HeldOut) -> dict[str, RetrievalMetrics]:
    rho = model.canonical_correlations_
    sizes = [_OfSize(model, CanonicalScore(rho[:s])) for s in component_grid(len(rho))]
    results = [retrieval(sized, held_out, EvaluateParams()) for sized in sizes]
    return max(results, key=lambda ways: sum(found.recall_at_1.value for found in ways.values()))


if __name__ == "__main__":
    main()
