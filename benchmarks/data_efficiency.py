"""Retrieval against the number of training images on Flickr8k: CSA's default, its parts, its baselines and a trained head.

    csa run recipes/flickr8k.yaml --data PATH
    python -m benchmarks.data_efficiency [flickr8k] [--methods "default|published"] [--threads 1]

n training images with their five captions each, three random subsets; standard retrieval both ways on the 1,000 images and
5,000 captions of the dev split. All choices are made inside the n pairs, except by "published, best s on dev", which is told
its number of components. The features are those of a recipe's workspace that was run. Adds to
benchmarks/results/data_efficiency.json after every fit and goes on where it stopped.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from threadpoolctl import threadpool_limits

import csa
from benchmarks.contrastive_head import ContrastiveHead
from csa.baselines import ASIF, PlainCCA, Procrustes, RidgeMap
from csa.core.scores import CanonicalScore
from csa.core.search import best_ranks
from csa.core.select import component_grid
from csa.datasets.pairs import read_pairs
from csa.features import FeatureTable
from csa.files import write_json
from csa.tasks.bootstrap import group_draws, mean_estimate
from flows.workspaces import existing_workspace

RESULTS = Path(__file__).parent / "results" / "data_efficiency.json"
SIZES = (20, 50, 100, 300, 1000, 2642, 3000, 6000)
SEEDS = (0, 1, 2)
METHODS: dict[str, Callable[[], Any]] = {
    "default": csa.CSA,
    "published": lambda: csa.CSA(score="canonical", shrinkage=0.0),
    "published, best s on dev": lambda: csa.CSA(score="canonical", shrinkage=0.0, n_components=10_000),
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
    parser.add_argument("workspace", nargs="?", default="flickr8k", help="name of a recipe that was run")
    parser.add_argument("--methods", default="|".join(METHODS), help="names, separated by |")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    data = features_of(options.workspace)
    methods = options.methods.split("|")
    with threadpool_limits(options.threads):
        for name in methods:
            for n in map(int, options.sizes.split(",")):
                for seed in SEEDS if n < data["n_train"] else SEEDS[:1]:
                    measure(name, n, seed, data)


def features_of(workspace: str) -> dict[str, Any]:
    """X (images, p) with the training images first, Y (captions, q), image_of (captions,) and n_train."""
    ws = existing_workspace(workspace)
    first, second = ws.params().view_names
    pairs = read_pairs(ws.pairs).sort("split", descending=True, maintain_order=True)  # train, then test
    images = pairs.unique(f"{first}_hash", keep="first", maintain_order=True)
    number = {item: i for i, item in enumerate(images[f"{first}_hash"])}
    return {
        "X": FeatureTable.read(ws.features(first)).rows(list(number)),
        "Y": FeatureTable.read(ws.features(second)).rows(pairs[f"{second}_hash"].to_list()),
        "image_of": np.array([number[item] for item in pairs[f"{first}_hash"]]),
        "n_train": int((images["split"] == "train").sum()),
    }


def measure(name: str, n: int, seed: int, data: dict[str, Any]) -> None:
    """Fit one method on one subset, measure it on dev, and add the row to the results, unless it is there."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": []}
    if any((row["method"], row["images"], row["seed"]) == (name, n, seed) for row in results["rows"]):
        return
    X, Y, image_of, n_train = data["X"], data["Y"], data["image_of"], int(data["n_train"])
    chosen = np.random.default_rng(seed).permutation(n_train)[:n]
    pairs = np.flatnonzero(np.isin(image_of, chosen))
    started = time.perf_counter()
    model = METHODS[name]().fit(X[image_of[pairs]], Y[pairs], groups=image_of[pairs])
    seconds = time.perf_counter() - started
    captions = np.flatnonzero(image_of >= n_train)
    dev = X[n_train:], Y[captions], image_of[captions] - n_train
    told = name == "published, best s on dev"
    scores = _at_best_size(model, *dev) if told else retrieval(model.index_vectors(*dev[:2]), dev[2])
    row = {"method": name, "images": n, "seed": seed, "pairs": len(pairs), "fit_seconds": round(seconds, 2), **scores}
    if name == "default":
        row["recipe"] = model.alignment_.facts()
    about = {"machine": platform.processor() or platform.machine(), "numpy": np.__version__, "scipy": scipy.__version__}
    RESULTS.parent.mkdir(exist_ok=True)
    command = "python -m benchmarks.data_efficiency"
    write_json(RESULTS, {"command": command, **about, "rows": [*results["rows"], row]})
    recalls = [scores[way]["recall_at_1"]["value"] for way in ("image_to_text", "text_to_image")]
    print(f"{name:34} n={n:5} seed={seed} {recalls[0]:.3f}/{recalls[1]:.3f} {seconds:.1f} s", flush=True)


def retrieval(vectors: tuple[Any, Any], image_of: Any) -> dict[str, Any]:
    """Recalls with 95 % intervals over images, and median ranks, both ways."""
    left, right = (v.toarray() if scipy.sparse.issparse(v) else v for v in vectors)
    captions = np.arange(len(right))
    draws = group_draws(len(left), 1000, 0)
    ways = {
        "image_to_text": (best_ranks(left, right, (image_of, captions)), np.arange(len(left))),
        "text_to_image": (best_ranks(right, left, (captions, image_of)), image_of),
    }
    return {
        way: {
            **{f"recall_at_{k}": mean_estimate((ranks <= k).astype(float), group, draws, 0.95).as_dict() for k in (1, 5, 10)},
            "median_rank": float(np.median(ranks)),
        }
        for way, (ranks, group) in ways.items()
    }


def _at_best_size(model: csa.CSA, X: Any, Y: Any, image_of: Any) -> dict[str, Any]:
    a, b = model.transform(X, Y)
    rho = model.canonical_correlations_
    scores = (CanonicalScore(rho[:s]) for s in component_grid(len(rho)))
    results = [retrieval((score.left(a), score.right(b)), image_of) for score in scores]
    return max(results, key=lambda r: r["image_to_text"]["recall_at_1"]["value"] + r["text_to_image"]["recall_at_1"]["value"])


if __name__ == "__main__":
    main()
