"""The pipeline's stages as commands: read parameters, call the library, write artifacts.

    python -m csa.stages demo | ingest | embed VIEW | check | fit | evaluate | task NAME

DVC runs them from dvc.yaml, in the workspace's folder. They know nothing of Prefect, DVC, MLflow or DuckDB. Bad input is one line
on standard error and exit code 2.
"""

import logging
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import polars as pl

from csa.core.alignment import load
from csa.core.estimator import CSA
from csa.core.moments import Moments
from csa.core.threads import one_thread_a_product
from csa.datasets import dataset_root, ingest, item_loader
from csa.datasets.openmoji import build_demo
from csa.datasets.pairs import read_pairs, write_pairs
from csa.encoders import load_view_encoder
from csa.errors import CSAError, InputError, RefusedError
from csa.features import embed_view, write_shards
from csa.files import write_json
from csa.task_stages import evaluate_stage, feature_tables, task_stage
from csa.tasks.bootstrap import number_groups
from csa.tasks.checks import admit
from csa.tasks.data_checks import check_data
from csa.tasks.drift import Profile
from csa.tasks.evaluation import Evaluation, evaluate
from csa.tasks.held_out import HeldOut
from csa.workspace import Workspace


def demo_stage(ws: Workspace) -> dict[str, Any]:
    """Render the built-in data set into data/openmoji."""
    return {"images": build_demo(ws.data / "openmoji", ws.params().dataset.language)}


def ingest_stage(ws: Workspace) -> dict[str, Any]:
    """Read and check the data set; write the pairs table and what was set aside."""
    result = ingest(ws.params(), ws.root)
    write_pairs(result.pairs, ws.pairs)
    write_pairs(result.quarantine, ws.quarantine)
    return {"pairs": len(result.pairs), "quarantined": len(result.quarantine)}


def embed_stage(ws: Workspace, view: str) -> dict[str, Any]:
    """Compute the features of one view's items that the cache does not have; write all as shards."""
    params = ws.params()
    if view not in params.views:
        raise InputError(f"embed {view!r}: no such view; params.yaml has {', '.join(params.views)}")
    items = read_pairs(ws.pairs).select(f"{view}_hash", view).unique(f"{view}_hash", keep="first", maintain_order=True)
    encoder = load_view_encoder(params.views[view])
    load_item = item_loader(params.views[view], dataset_root(params, ws.root), params.dataset.max_image_pixels)
    result = embed_view(encoder, items.rows(), load_item, ws.cache, f"embed {view}", params.compute.dask)
    write_shards(ws.features(view), items[f"{view}_hash"].to_list(), result.features, encoder)
    return {"computed": result.computed, "reused": result.reused}


def check_stage(ws: Workspace) -> dict[str, Any]:
    """Check that the data may be fitted on; what was found is written even where it may not."""
    params = ws.params()
    first, second = feature_tables(ws, params)
    found = check_data(read_pairs(ws.pairs), params.view_names, (first, second), params.anchor_view, params.checks)
    write_json(ws.checks, [check.as_dict() for check in found])
    admit(found)
    write_json(ws.admitted, {"admitted": True})
    return {"checks": len(found), "warnings": sum(check.outcome == "warn" for check in found)}


def fit_stage(ws: Workspace) -> dict[str, Any]:
    """Fit the alignment on the training pairs."""
    params = ws.params()
    train = read_pairs(ws.pairs).filter(pl.col("split") == "train")
    X, Y = (
        table.rows(train[f"{view}_hash"].to_list())
        for view, table in zip(params.view_names, feature_tables(ws, params), strict=True)
    )
    asked: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in params.fit.model_dump().items()
    }
    logging.basicConfig(format="fit: %(message)s", stream=sys.stderr)
    logging.getLogger("csa").setLevel(logging.INFO)  # a fit takes a minute on tens of thousands of pairs: say what it is at
    model = CSA(**asked).fit(X, Y, groups=train["group"].to_numpy())
    model.save(ws.alignment)
    Moments.from_arrays(X, Y).save(ws.moments)
    group = number_groups(train["group"])
    report = {
        "pairs": len(train),
        "groups": train["group"].n_unique(),
        "score": model.score_,
        "shrinkage": list(model.shrinkage_),
        "n_components": model.n_components_,
        "preparation": [model.alignment_.prepare_x.name, model.alignment_.prepare_y.name],
        "hubness_corrected": model.alignment_.hubness_corrected,
        "diagnostics": model.alignment_.notes,
        "tried": model.tried_,
        "profile": Profile.of(model.alignment_, X, Y, group).as_dict(),
        "weights": model.weights_.tolist(),
        "training_correlations": model.alignment_.training_correlations.tolist(),
    }
    write_json(ws.fit_report, report)
    return {"pairs": len(train)}


def evaluate_elsewhere(ws: Workspace, alignment_file: Any) -> Evaluation:
    """Measure another alignment, such as the champion's, on this workspace's held-out pairs; writes nothing."""
    params = ws.params()
    held_out = HeldOut.of(read_pairs(ws.pairs), params.view_names, feature_tables(ws, params))
    return evaluate(load(alignment_file), held_out, params.evaluate)


STAGES: dict[str, Callable[..., dict[str, Any]]] = {
    "demo": demo_stage,
    "ingest": ingest_stage,
    "embed": embed_stage,
    "check": check_stage,
    "fit": fit_stage,
    "evaluate": evaluate_stage,
    "task": task_stage,
}


def _peak_megabytes() -> float:
    """The most memory this process has held; the unit of ru_maxrss differs between systems."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


def main(arguments: list[str]) -> int:
    """Run one stage; returns the exit code."""
    name, *rest = arguments or [""]
    try:
        if name not in STAGES or len(rest) != (name in ("embed", "task")):
            raise InputError(
                f"usage: python -m csa.stages {' | '.join(STAGES)}, embed with the name of a view and task with that of a task; "
                f"got {arguments}"
            )
        ws = Workspace.find()
        ws.prepare_state()
        started, cpu = time.perf_counter(), time.process_time()
        with one_thread_a_product():
            done = STAGES[name](ws, *rest)
        record = {
            "stage": "@".join(arguments),
            **done,
            "seconds": round(time.perf_counter() - started, 3),
            "cpu_seconds": round(time.process_time() - cpu, 3),
            "peak_megabytes": _peak_megabytes(),
        }
        write_json(ws.stage_record("@".join(arguments)), record)
    except RefusedError as error:
        print(f"csa: refused: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except CSAError as error:
        print(f"csa: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
