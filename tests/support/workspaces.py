"""Workspaces for tests, from one builder: bare; with artifacts made in a moment, which records,
registry and gate look at; and with artifacts that the real stages made of pictures and texts.
"""

import hashlib
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import polars as pl
import yaml
from factory import shared_signal
from small_repo import COLOURS, SHAPES, draw_shape, write_table

import csa
from csa.datasets.pairs_table import read_pairs, write_pairs
from csa.evaluation.held_out import evaluation_id
from csa.features.shards import write_shards
from csa.operations.gate.decide import conclude, propose
from csa.operations.opened import Project
from csa.operations.registry.registering import register
from csa.operations.runs.records import record_run
from csa.params.schema import Params
from csa.pipeline.embed import embed_stage
from csa.pipeline.evaluate import evaluate_stage
from csa.pipeline.fit import fit_stage
from csa.pipeline.ingest import ingest_stage
from csa.pipeline.workspace import Workspace
from csa.results.estimate import Estimate
from csa.results.evaluation import (
    DetectionMetrics,
    EvaluationMetrics,
    PairCounts,
    RetrievalMetrics,
    TestCount,
)
from csa.results.fit import FitReport
from csa.storage.files import write_json

VIEWS = ("image", "text")


def stages_of(views):
    """Names of the stages of a pipeline without a check, in order."""
    return ["ingest", *(f"embed@{view}" for view in views), "fit", "evaluate"]


STAGES = stages_of(VIEWS)

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


def bare_workspace(root, sections):
    """A workspace with these sections of params.yaml, defaults for the rest, and no stage."""
    ws = Workspace(root, root / ".csa")
    root.mkdir(parents=True, exist_ok=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    write_params(ws, sections)
    return ws


def run_stages(ws, views=VIEWS):
    """The real stages but the check, in this process; stage -> what each said."""
    said = {"ingest": ingest_stage(ws)}
    said |= {f"embed@{view}": embed_stage(ws, view) for view in views}
    return said | {"fit": fit_stage(ws), "evaluate": evaluate_stage(ws)}


def write_params(ws, sections):
    """Write params.yaml as `csa run` resolves it."""
    params = Params.from_mapping(sections)
    ws.params_file.write_text(yaml.safe_dump(params.dump(), sort_keys=False))


def as_run(ws, views=VIEWS, costs=None):
    """Note what each stage cost and lock its outputs, as if DVC had just run them all.

    Args:
        ws: with the artifacts in data/.
        views: names of the two views.
        costs: stage -> further facts of its record.
    """
    for stage in stages_of(views):
        known = (costs or {}).get(stage, {})
        write_json(ws.stage_record(stage), {"stage": stage, **known, "seconds": 1.5})
    lock(ws, views)
    return ws


ESTIMATE = Estimate(0.5, 0.4, 0.6)
FIT = FitReport(
    pairs=60,
    groups=60,
    score="canonical",
    shrinkage=[0.1, 0.1],
    n_components=3,
    preparation=["raw", "raw"],
    hubness_corrected=False,
    diagnostics={},
    weights=[0.9, 0.8, 0.7],
    training_correlations=[0.9, 0.8, 0.7],
)


def note_encoder(ws, view, name):
    """Note beside a view's features whose they are."""
    index = {"fingerprint": name, "encoder": {"encoder": name}}
    write_json(ws.features(view) / "index.json", index)


def make_workspace(root, seed=0, quality=0.5, **changes):
    """Write artifacts, dvc.lock and parameters into `root`; `changes` are top-level sections of
    params.yaml.
    """
    ws = bare_workspace(root, changes)
    rng = np.random.default_rng(seed)
    X, Y = shared_signal(60, 6, 5, 3, 1 - quality, rng)
    csa.CSA(score="canonical", shrinkage=0.1, n_components=3).fit(X, Y).save(_parent(ws.alignment))
    queries = queries_table(seed=seed, quality=quality)
    write_pairs(pairs_of(queries), ws.pairs)
    for view in VIEWS:
        note_encoder(ws, view, f"encoder of {view}")
    write_json(ws.fit_report, FIT.as_dict())
    queries.write_parquet(_parent(ws.evaluation / "queries.parquet"))
    _parent(ws.pictures / "spectrum.png").write_bytes(b"\x89PNG")
    write_json(ws.metrics, metrics_of(queries))
    return as_run(ws)


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


def reranked(table, by=1):
    """Every rank lower by so many places, one number or one a row, and all numbers of it; higher
    where it is negative.
    """
    rank = pl.max_horizontal(pl.col("rank") + by, 1)
    recalls = {f"recall_at_{k}": (rank <= k).cast(pl.Float64) for k in (1, 5, 10)}
    return table.with_columns(rank=rank, mrr=1 / rank, **recalls)


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
    """metrics.json for a table of queries: their means, and made-up numbers elsewhere."""
    test = pairs_of(queries).filter(pl.col("split") == "test")
    metrics = EvaluationMetrics(
        evaluation_id=evaluation_id(pairs_of(queries), VIEWS),
        pairs=PairCounts(train=60, test=80),
        groups=TestCount(test["group"].n_unique()),
        galleries={view: test[f"{view}_hash"].n_unique() for view in VIEWS},
        retrieval={
            direction: _retrieval(queries.filter(pl.col("direction") == direction))
            for direction in ("image_to_text", "text_to_image")
        },
        retrieval_paper={},
        mismatch=DetectionMetrics(ESTIMATE, ESTIMATE, ESTIMATE),
    )
    return metrics.as_dict()


def _retrieval(queries):
    means = {
        name: Estimate(float(queries[name].mean()), ESTIMATE.low, ESTIMATE.high)
        for name in ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
    }
    return RetrievalMetrics(**means, map=ESTIMATE, median_rank=ESTIMATE)


def gate(project, run, version, reevaluate):
    """Decide on a registered run and carry the decision out, where nobody has to be asked."""
    return conclude(project, propose(project, run, version, reevaluate))


def no_reevaluation(alignment):
    raise AssertionError(f"{alignment} should not have been measured again")


def a_run_of(root, table, edit=None, **changes):
    """A project and its record, after stages that made a new alignment (by its seed) and these
    queries.
    """
    ws = make_workspace(root, seed=int(table["mrr"].sum() * 1e6), **changes)
    table.write_parquet(ws.evaluation / "queries.parquet")
    write_json(ws.metrics, metrics_of(table))
    write_pairs(pairs_of(table), ws.pairs)
    if edit:
        edit(ws)
    lock(ws)
    project = Project(ws)
    return project, record_run(project, STAGES)[0]


def run_once(root, table, reevaluate=no_reevaluation, edit=None, **changes):
    """What a run does after the stages: registered and gated."""
    project, run = a_run_of(root, table, edit, **changes)
    version = register(project.registry, run).version
    decision = gate(project, run, version, reevaluate)
    return SimpleNamespace(
        ws=project.ws,
        run=run,
        version=version,
        decision=decision,
        champion=project.registry.champion().version,
    )


def _parent(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _md5(path):
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return hashlib.md5(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()


@dataclass(frozen=True)
class _Given:
    """Stands for the encoder that features came from."""

    fingerprint: str
    description: dict


def make_report_workspace(root, seed=0, noise=0.5, **changes):
    """Write a data set of 64 shapes with hostile captions among its held-out texts, and all
    artifacts, into `root`.
    """
    ws = bare_workspace(
        root,
        {
            "dataset": {"kind": "table", "path": "shapes", "table": "pairs.csv"},
            "fit": {"folds": 3, "seed": 0},
            "evaluate": {"bootstrap": 100, "sheet_queries": 50},
            "model": {"name": "shapes"},
        }
        | changes,
    )
    _write_data(root / "shapes")
    ran = {"ingest": ingest_stage(ws)}
    rng = np.random.default_rng(seed)
    features = shared_signal(64, 12, 10, 4, noise, rng)
    pairs = read_pairs(ws.pairs)
    for view, matrix in zip(VIEWS, features, strict=True):
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
    embedded = {f"embed@{view}": {"computed": 64, "reused": 0} for view in VIEWS}
    return as_run(ws, costs=embedded | ran)


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

    made = []
    for noise in (1.5, 0.5):
        ws = make_report_workspace(root, noise=noise)
        run, _ = record_run(Project(ws), STAGES)
        version = register(Project(ws).registry, run).version
        decision = gate(Project(ws), run, version, lambda alignment: pl.DataFrame())
        settled.remember(Project(ws), run, version, decision)
        made.append(run)
    return SimpleNamespace(ws=ws, runs=made)
