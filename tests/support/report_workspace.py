"""A workspace with everything a report is made from: real pictures, texts that mean harm, real
ingest, fit and evaluation.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import polars as pl
import yaml
from factory import shared_signal
from flow_workspace import STAGES, gate, lock
from small_repo import COLOURS, SHAPES, draw_shape, write_table

from csa.datasets.pairs_table import read_pairs
from csa.features.shards import write_shards
from csa.operations.opened import Project
from csa.operations.registry.registering import register
from csa.params.schema import Params
from csa.pipeline.evaluate import evaluate_stage
from csa.pipeline.fit import fit_stage
from csa.pipeline.ingest import ingest_stage
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_json

HOSTILE = [
    "<script>document.title = 'owned'</script>",
    '"><img src="https://example.org/x.png" onerror="document.title = 1">',
    "' onmouseover='document.title = 2' x='",
    "</style><style>* { display: none }</style>",
    "</script><script>fetch('https://example.org')</script>",
    "{{ 7 * 7 }} {% raw %} ${7 * 7} $x^2$",
    "&lt;b&gt; &amp; &#0; &nbsp;",
    "שלום עולם, \u202eright to left\u202c",
    "👩‍👩‍👧‍👦 🏳️‍🌈 family",
    "W" * 600,
    "]]> <!-- --> <svg onload=alert(1)>",
]


@dataclass(frozen=True)
class _Given:
    """Stands for the encoder that features came from."""

    fingerprint: str
    description: dict


def make_report_workspace(root, seed=0, noise=0.5, **changes):
    """Write a data set of 64 shapes with hostile captions among its held-out texts, and all
    artifacts, into `root`.
    """
    ws = Workspace(root, root / ".csa")
    root.mkdir(parents=True, exist_ok=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    params = Params.from_mapping(
        {
            "dataset": {"kind": "table", "path": "shapes", "table": "pairs.csv"},
            "fit": {"folds": 3, "seed": 0},
            "evaluate": {"bootstrap": 100, "sheet_queries": 50},
            "model": {"name": "shapes"},
        }
        | changes
    )
    ws.params_file.write_text(yaml.safe_dump(params.dump(), sort_keys=False))
    _write_data(root / "shapes")
    ran = {"ingest": ingest_stage(ws)}
    rng = np.random.default_rng(seed)
    features = shared_signal(64, 12, 10, 4, noise, rng)
    pairs = read_pairs(ws.pairs)
    for view, matrix in zip(params.views, features, strict=True):
        unique = pairs.with_row_index("row").unique(
            f"{view}_hash", keep="first", maintain_order=True
        )
        encoder = _Given(
            f"encoder-of-{view}",
            {"encoder": f"encoder of {view}", "modality": view, "pooling": "mean"},
        )
        write_shards(
            ws.features(view),
            unique[f"{view}_hash"].to_list(),
            matrix[unique["row"]].astype(np.float32),
            encoder,
        )
    ran |= {"fit": fit_stage(ws), "evaluate": evaluate_stage(ws)}
    for stage in STAGES:
        write_json(
            ws.stage_record(stage),
            {"stage": stage, **ran.get(stage, {"computed": 64, "reused": 0}), "seconds": 1.5},
        )
    lock(ws)
    return ws


def _write_data(folder):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows, harm = [], iter(HOSTILE)
    for k, (colour, shape) in enumerate((colour, shape) for colour in COLOURS for shape in SHAPES):
        name, held_out = f"images/{colour}-{shape}.png", k % 3 == 0
        draw_shape(colour, shape).save(folder / name)
        text = next(harm, None) if held_out else None
        split = "test" if held_out else "train"
        rows.append(
            {
                "id": f"{colour}-{shape}",
                "image": name,
                "text": text or f"a {colour} {shape}",
                "split": split,
            }
        )
    write_table(folder / "pairs.csv", rows)


def two_versions(root):
    """A workspace with two registered versions of one model; it holds the second."""
    from csa.operations.gate import settled
    from csa.operations.runs.records import record_run

    made = []
    for noise in (1.5, 0.5):
        ws = make_report_workspace(root, noise=noise)
        run, _ = record_run(Project(ws), STAGES)
        version = register(Project(ws).registry, run).version
        decision = gate(Project(ws), run, version, lambda alignment: pl.DataFrame())
        settled.remember(Project(ws), run, version, decision)
        made.append(run)
    return SimpleNamespace(ws=ws, runs=made)
