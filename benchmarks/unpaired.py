"""Few pairs beside unpaired items, or labels alone: R@1 on Flickr8k against the number of pairs.

    python -m benchmarks.unpaired FLICKR8K FOLDER [--sizes 0,20,50] [--seeds 0,1,2]

n training photos with their five captions each; the pools are the photos of one half of the other
training photos and at most 5,000 captions of the *other* half, so no pair hides in them. Retrieval
both ways on the 1,000 photos and 5,000 captions of the dev split. Everything is chosen inside the n
pairs. FOLDER keeps the features. Adds to benchmarks/results/unpaired.json after every fit and goes
on where it stopped.
"""

import argparse
import json
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import csa
from benchmarks.measure import about
from benchmarks.unpaired_features import Features, features
from csa.core.matrices import Array
from csa.core.search import best_ranks
from csa.evaluation.matching import fidelity, foscttm
from csa.storage.files import read_json, write_json

RESULTS = Path(__file__).parent / "results" / "unpaired.json"
SIZES = (0, 20, 50, 100, 300, 1000)
SEEDS = (0, 1, 2)
METHODS = ("pairs", "pools", "pools and bridge")
_CAPTIONS_IN_POOL = 5000


@dataclass(frozen=True, eq=False)
class Subset:
    """Pairs and pools of one draw.

    Attributes:
        X, Y: features of the pairs, a photo five times.
        groups: the photo of each pair.
        U, V: pools of photos and captions.
    """

    X: Array
    Y: Array
    groups: NDArray[np.intp]
    U: Array
    V: Array

    @classmethod
    def draw(cls, data: Features, n: int, seed: int) -> "Subset":
        """n photos as pairs, and pools from the others."""
        order = np.random.default_rng(seed).permutation(np.flatnonzero(~data.dev))
        paired, rest = order[:n], order[n:]
        half = len(rest) // 2
        captions = data.captions[rest[half:]].reshape(-1, data.captions.shape[2])
        some = np.random.default_rng(seed).permutation(len(captions))[:_CAPTIONS_IN_POOL]
        per = data.captions.shape[1]
        return cls(
            np.repeat(data.photos[paired], per, axis=0),
            data.captions[paired].reshape(n * per, data.captions.shape[2]),
            np.repeat(np.arange(n), per),
            data.photos[rest[:half]],
            captions[some],
        )


def fitted(method: str, subset: Subset, data: Features) -> csa.CSA:
    """The fit of a method in `METHODS` on one subset."""
    if method == "pairs":
        return csa.CSA().fit(subset.X, subset.Y, subset.groups)
    bridge = data.bridge if method == "pools and bridge" else None
    pairs = (subset.X, subset.Y, subset.groups) if len(subset.X) else (None, None, None)
    return csa.CSA().fit(*pairs, unpaired_x=subset.U, unpaired_y=subset.V, bridge=bridge)


def measured(model: csa.CSA, data: Features) -> dict[str, float]:
    """Retrieval both ways among the dev photos and all their captions, in percent, and the
    literature's two numbers.
    """
    photos, captions = data.photos[data.dev], data.captions[data.dev]
    left, right = model.index_vectors(photos, captions.reshape(-1, captions.shape[2]))
    a, b = model.transform(photos, captions[:, 0])
    return {**retrieval(left, right), "fidelity": fidelity(a, b, model.weights_)}


def retrieval(photos: Array, captions: Array) -> dict[str, float]:
    """R@1, 5 and 10 both ways in percent, and FOSCTTM.

    Args:
        photos, captions: vectors whose inner product is the score; every photo has equally many
            captions, in the photos' order.

    Returns:
        The figures.
    """
    left, right = photos.astype(np.float32), captions.astype(np.float32)
    per = len(right) // len(left)
    photo, caption = np.repeat(np.arange(len(left)), per), np.arange(len(right))
    forward = best_ranks(left, right, (photo, caption))
    backward = best_ranks(right, left, (caption, photo))
    return {
        **{f"image_to_text_r{k}": 100 * float((forward <= k).mean()) for k in (1, 5, 10)},
        **{f"text_to_image_r{k}": 100 * float((backward <= k).mean()) for k in (1, 5, 10)},
        "foscttm": foscttm(left, right[::per]),
    }


def main() -> None:
    """Measure what is not in the results yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--methods", default="|".join(METHODS), help="names, separated by |")
    options = parser.parse_args()
    data = features(options.data, options.folder)
    for n in map(int, options.sizes.split(",")):
        for seed in map(int, options.seeds.split(",")):
            for method in options.methods.split("|"):
                if n or method == "pools and bridge":
                    measure((method, n, seed), data, options.results)


def measure(key: tuple[str, int, int], data: Features, path: Path) -> None:
    """Fit, measure and add a row to the results, unless it is there.

    Args:
        key: a method in `METHODS`, the number of paired photos, and the subset's seed.
        data: all features.
        path: of the results.
    """
    results = read_json(path) if path.exists() else {"rows": []}
    method, n, seed = key
    if any((row["method"], row["photos"], row["seed"]) == key for row in results["rows"]):
        return
    subset = Subset.draw(data, n, seed)
    began = time.perf_counter()
    model = fitted(method, subset, data)
    seconds = time.perf_counter() - began
    row = {
        "method": method,
        "photos": n,
        "seed": seed,
        "pools": [len(subset.U), len(subset.V)],
        "fit_seconds": seconds,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **measured(model, data),
        "unpaired": model.alignment_.notes.get("unpaired"),
    }
    path.parent.mkdir(exist_ok=True)
    command = "python -m benchmarks.unpaired FLICKR8K FOLDER"
    write_json(path, {**about(command), "rows": [*results["rows"], row]})
    recalls = f"{row['image_to_text_r1']:.1f}/{row['text_to_image_r1']:.1f}"
    account = row["unpaired"] or {}
    said = {
        name: account[name] for name in ("used", "round", "weight", "labels") if name in account
    }
    print(
        f"{method:17} n={n:4} seed={seed} {recalls} {seconds:.1f} s {json.dumps(said)}", flush=True
    )


if __name__ == "__main__":
    main()
