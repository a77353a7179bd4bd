"""Three views: retrieval from one, two and missing ones, by a joint fit, calibrated pairs and
single pairs.

    csa run recipes/flickr8k.yaml --data PATH
    python -m benchmarks.any_to_any [--audio FILE.npz]

Flickr8k with two captions a photo as views of their own: image, first and second caption. With
--audio (arrays image: file names,
audio: features, of spoken captions of the same photos), also image, written and spoken caption.
Training and test photos: of captions the workspace's own split, of spoken captions 100 random
photos to test. Recall at 1 and mean reciprocal rank with 95 % intervals over photos. "missing":
half of the queries lack the one view, the other half the other.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import csa
from benchmarks.measure import SEED, record
from csa.core.search import best_ranks
from csa.core.threads import one_thread_a_product
from csa.datasets.pairs_table import read_pairs
from csa.evaluation.bootstrap import group_draws, mean_estimate
from csa.features.shards import FeatureTable
from csa.pipeline.recipes import existing_workspace

TRAINING = 1000
SPOKEN_TEST = 100
MODELS: dict[str, Callable[[], Any]] = {
    "GCCA": lambda: csa.GCCA(preparation={"image": "root"}),
    "AnyToAny": csa.AnyToAny,
    "Any2Any as published": lambda: csa.AnyToAny("cdf", calibration=0.2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=Path, help="features of spoken captions")
    options = parser.parse_args()
    photos = photos_of("flickr8k")
    with one_thread_a_product():
        results = {"captions": measure(*captions(photos), ("image", "caption", "second"))}
        if options.audio is not None:
            results["spoken captions"] = measure(
                *spoken(photos, options.audio), ("image", "caption", "audio")
            )
    record("any_to_any", {"results": results})


def photos_of(workspace: str) -> dict[str, Any]:
    """Features and split of every photo with its captions, by file name."""
    ws = existing_workspace(workspace)
    pairs = read_pairs(ws.pairs)
    image, text = (FeatureTable.read(ws.features(view)) for view in ("image", "text"))
    photos = pairs.group_by("image", maintain_order=True).agg(
        pl.col("image_hash").first(), pl.col("split").first(), "text_hash"
    )
    return {
        Path(name).name: (image.rows([item])[0], text.rows(texts), split)
        for name, item, split, texts in photos.rows()
    }


def captions(photos: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Image and two captions: 1,000 training photos, all test photos."""
    parts = []
    for split in ("train", "test"):
        rows = [(X, Y) for X, Y, part in photos.values() if part == split and len(Y) > 1]
        some = np.random.default_rng(SEED).permutation(len(rows))[
            : TRAINING if split == "train" else None
        ]
        views = {"image": [rows[i][0] for i in some], "caption": [rows[i][1][0] for i in some]}
        parts.append(stacked(views | {"second": [rows[i][1][1] for i in some]}))
    return parts[0], parts[1]


def spoken(photos: dict[str, Any], file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Image, written caption and spoken caption. The written one is another of the photo's than
    was spoken.
    """
    with np.load(file) as arrays:
        names, audio, said = (
            [str(name) for name in arrays["image"]],
            arrays["audio"],
            arrays["number"],
        )
    known = [i for i, name in enumerate(names) if name in photos and len(photos[name][1]) > 1]
    order = np.random.default_rng(SEED).permutation(known)
    parts = []
    for some in (order[SPOKEN_TEST:], order[:SPOKEN_TEST]):
        text = [photos[names[i]][1][(said[i] + 1) % len(photos[names[i]][1])] for i in some]
        views = {"image": [photos[names[i]][0] for i in some], "caption": text}
        parts.append(stacked(views | {"audio": [audio[i] for i in some]}))
    return parts[0], parts[1]


def stacked(views: dict[str, Any]) -> dict[str, Any]:
    return {name: np.stack(rows) for name, rows in views.items()}


def measure(
    train: dict[str, Any], test: dict[str, Any], names: tuple[str, str, str]
) -> dict[str, Any]:
    """All models on all questions."""
    models = {name: make().fit(train) for name, make in MODELS.items()}
    pairs = {(v, w): csa.CSA().fit(train[v], train[w]) for v in names for w in names if v < w}
    rows: dict[str, Any] = {"training": len(train[names[0]]), "gallery": len(test[names[0]])}
    for target in names:
        others = [name for name in names if name != target]
        gallery = {target: test[target]}
        for asked in ([others[0]], [others[1]], others):
            question = f"{' and '.join(asked)} → {target}"
            scores = {
                name: model.similarity({v: test[v] for v in asked}, gallery)
                for name, model in models.items()
            }
            singles = [single(pairs, test, v, target) for v in asked]
            scores["single CSA" if len(singles) == 1 else "sum of single CSAs"] = np.sum(
                singles, axis=0
            )
            rows[question] = {name: retrieval(values) for name, values in scores.items()}
        half = len(test[target]) // 2
        queries = {v: test[v].copy() for v in others}
        queries[others[0]][:half], queries[others[1]][half:] = np.nan, np.nan
        rows[f"{others[0]} or {others[1]} (missing) → {target}"] = {
            name: retrieval(model.similarity(queries, gallery)) for name, model in models.items()
        }
        gallery_of_both = {v: queries[v] for v in others}
        rows[f"{target} → {others[0]} or {others[1]} (missing)"] = {
            name: retrieval(model.similarity({target: test[target]}, gallery_of_both))
            for name, model in models.items()
        }
    for question, values in rows.items():
        print(
            question,
            values
            if isinstance(values, int)
            else {k: v["mrr"]["value"] for k, v in values.items()},
            flush=True,
        )
    return rows


def single(pairs: dict[tuple[str, str], Any], test: dict[str, Any], query: str, target: str) -> Any:
    if (query, target) in pairs:
        return pairs[query, target].similarity(test[query], test[target])
    return pairs[target, query].similarity(test[target], test[query]).T


def retrieval(scores: Any) -> dict[str, Any]:
    """Recall at 1 and mean reciprocal rank; query i belongs to item i."""
    n = len(scores)
    ranks = best_ranks(scores, np.eye(n), (np.arange(n), np.arange(n)))
    draws = group_draws(n, 1000, SEED)
    return {
        name: mean_estimate(values, np.arange(n), draws, 0.95).as_dict()
        for name, values in (("recall_at_1", (ranks == 1).astype(float)), ("mrr", 1 / ranks))
    }


if __name__ == "__main__":
    main()
