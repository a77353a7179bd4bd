"""A workspace as the stages leave it, made in a moment: what records, registry and gate look at."""

import hashlib

import numpy as np
import polars as pl
import yaml
from factory import shared_signal

import csa
from csa.datasets.pairs_table import write_pairs
from csa.evaluation.held_out import evaluation_id
from csa.operations.gate.decide import conclude, propose
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_json

VIEWS = ("image", "text")
STAGES = ["ingest", "embed@image", "embed@text", "fit", "evaluate"]


def make_workspace(root, seed=0, quality=0.5, **changes):
    """Write artifacts, dvc.lock and parameters into `root`; `changes` are top-level sections of
    params.yaml.
    """
    ws = Workspace(root, root / ".csa")
    root.mkdir(parents=True, exist_ok=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    params = Params.from_mapping(changes)
    ws.params_file.write_text(yaml.safe_dump(params.dump(), sort_keys=False))
    rng = np.random.default_rng(seed)
    X, Y = shared_signal(60, 6, 5, 3, 1 - quality, rng)
    csa.CSA(score="canonical", shrinkage=0.1, n_components=3).fit(X, Y).save(_parent(ws.alignment))
    queries = queries_table(seed=seed, quality=quality)
    write_pairs(pairs_of(queries), ws.pairs)
    for view in VIEWS:
        write_json(ws.features(view) / "index.json", {"fingerprint": f"encoder of {view}"})
    write_json(ws.fit_report, {"score": "canonical", "shrinkage": [0.1, 0.1]})
    queries.write_parquet(_parent(ws.evaluation / "queries.parquet"))
    _parent(ws.pictures / "spectrum.png").write_bytes(b"\x89PNG")
    write_json(ws.metrics, metrics_of(queries))
    for stage in STAGES:
        write_json(ws.stage_record(stage), {"stage": stage, "seconds": 1.5})
    lock(ws)
    return ws


def lock(ws, views=VIEWS):
    """Write dvc.lock for what lies in data/."""
    outs = {
        "ingest": [ws.pairs],
        **{f"embed@{view}": [ws.features(view)] for view in views},
        "fit": [ws.alignment, ws.fit_report],
        "evaluate": [ws.evaluation, ws.metrics],
    }
    stages = {
        stage: {
            "outs": [
                {"path": path.relative_to(ws.root).as_posix(), "md5": _md5(path)} for path in paths
            ]
        }
        for stage, paths in outs.items()
    }
    (ws.root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def queries_table(n=80, seed=0, quality=0.5, group_size=2):
    """Per-query results; the higher the quality, the better the ranks."""
    rng = np.random.default_rng(seed)
    frames = []
    for direction in ("image_to_text", "text_to_image"):
        ranks = 1 + rng.geometric(quality, size=n) // 2
        frames.append(
            pl.DataFrame(
                {
                    "direction": [direction] * n,
                    "query": [item_hash(f"{direction[0]}{i}") for i in range(n)],
                    "group": [f"g{i // group_size}" for i in range(n)],
                    "rank": ranks,
                    "gallery": [n] * n,
                    **{f"recall_at_{k}": (ranks <= k).astype(float) for k in (1, 5, 10)},
                    "mrr": 1 / ranks,
                }
            )
        )
    return pl.concat(frames)


def pairs_of(queries, train=60):
    """The pairs table that such queries come from: held-out pairs in their order, and training
    pairs of other groups.
    """
    ways = [queries.filter(pl.col("direction") == f"{a}_to_{b}") for a, b in (VIEWS, VIEWS[::-1])]
    n = len(ways[0])
    rows = [
        ("test", f"p{i}", ways[0]["group"][i], ways[0]["query"][i], ways[1]["query"][i])
        for i in range(n)
    ]
    rows += [
        ("train", f"q{i}", f"h{i // 2}", item_hash(f"image{i}"), item_hash(f"text{i}"))
        for i in range(train)
    ]
    split, pair_id, group, images, texts = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "pair_id": pair_id,
            "group": group,
            "split": split,
            "label": ["even" if i % 2 == 0 else "odd" for i in range(n + train)],
            "image": [f"images/{name}.png" for name in pair_id],
            "image_hash": images,
            "text": [" ".join(["word"] * (1 + i % 9)) + f" {pair_id[i]}" for i in range(n + train)],
            "text_hash": texts,
        }
    )


def item_hash(name):
    """The sha256 by which an item of that content is addressed."""
    return hashlib.sha256(name.encode()).hexdigest()


def metrics_of(queries):
    """metrics.json for a table of queries."""
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6}
    return {
        "evaluation_id": evaluation_id(pairs_of(queries), VIEWS),
        "pairs": {"train": 60, "test": 80},
        "retrieval": {
            direction: {
                name: estimate
                | {"value": float(queries.filter(pl.col("direction") == direction)[name].mean())}
                for name in ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
            }
            for direction in ("image_to_text", "text_to_image")
        },
        "mismatch": {"auc": estimate},
    }


def gate(project, run, version, reevaluate):
    """Decide on a registered run and carry the decision out, where nobody has to be asked."""
    return conclude(project, propose(project, run, version, reevaluate))


def _parent(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _md5(path):
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return hashlib.md5(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()
