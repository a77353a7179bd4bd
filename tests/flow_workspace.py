"""A workspace as the stages leave it, made in a moment: what records, registry and gate look at."""

import hashlib

import numpy as np
import polars as pl
import yaml
from factory import shared_signal

import csa
from csa.files import write_json
from csa.params import Params
from csa.workspace import Workspace

VIEWS = ("image", "text")
STAGES = ["ingest", "embed@image", "embed@text", "fit", "evaluate"]


def make_workspace(root, seed=0, quality=0.5, **changes):
    """Write artifacts, dvc.lock and parameters into `root`; `changes` are top-level sections of params.yaml."""
    ws = Workspace(root, root / ".csa")
    root.mkdir(parents=True, exist_ok=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    params = Params.from_mapping(changes)
    ws.params_file.write_text(yaml.safe_dump(params.dump(), sort_keys=False))
    rng = np.random.default_rng(seed)
    X, Y = shared_signal(60, 6, 5, 3, 1 - quality, rng)
    csa.CSA(score="canonical", shrinkage=0.1, n_components=3).fit(X, Y).save(_parent(ws.alignment))
    _parent(ws.pairs).write_bytes(b"pairs")
    for view in VIEWS:
        write_json(ws.features(view) / "index.json", {"fingerprint": f"encoder of {view}"})
    write_json(ws.fit_report, {"score": "canonical", "shrinkage": [0.1, 0.1]})
    queries_table(seed=seed, quality=quality).write_parquet(_parent(ws.evaluation / "queries.parquet"))
    (ws.evaluation / "spectrum.png").write_bytes(b"\x89PNG")
    write_json(ws.metrics, metrics_of(pl.read_parquet(ws.evaluation / "queries.parquet")))
    for stage in STAGES:
        write_json(ws.stage_record(stage), {"stage": stage, "seconds": 1.5})
    lock(ws)
    return ws


def lock(ws):
    """Write dvc.lock for what lies in data/."""
    outs = {
        "ingest": [ws.pairs],
        "embed@image": [ws.features("image")],
        "embed@text": [ws.features("text")],
        "fit": [ws.alignment, ws.fit_report],
        "evaluate": [ws.evaluation, ws.metrics],
    }
    stages = {
        stage: {"outs": [{"path": path.relative_to(ws.root).as_posix(), "md5": _md5(path)} for path in paths]}
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
                    "query": [f"{direction[0]}{i}" for i in range(n)],
                    "group": [f"g{i // group_size}" for i in range(n)],
                    "rank": ranks,
                    "gallery": [n] * n,
                    **{f"recall_at_{k}": (ranks <= k).astype(float) for k in (1, 5, 10)},
                    "mrr": 1 / ranks,
                }
            )
        )
    return pl.concat(frames)


def metrics_of(queries, evaluation_id="e" * 64):
    """metrics.json for a table of queries."""
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6}
    return {
        "evaluation_id": evaluation_id,
        "pairs": {"train": 100, "test": 80},
        "retrieval": {
            direction: {
                name: estimate | {"value": float(queries.filter(pl.col("direction") == direction)[name].mean())}
                for name in ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
            }
            for direction in ("image_to_text", "text_to_image")
        },
        "mismatch": {"auc": estimate},
    }


def _parent(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _md5(path):
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return hashlib.md5(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()
