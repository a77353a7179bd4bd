"""The pipeline's stages as commands: read parameters, call the library, write artifacts.

    python -m csa.pipeline demo | ingest | embed VIEW | check | fit | evaluate | task NAME

DVC runs them from dvc.yaml, in the workspace's folder. They know nothing of Prefect, DVC, MLflow or
DuckDB. Bad input is one line on standard error and exit code 2.
"""

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from csa.core.threads import one_thread_a_product
from csa.errors import CSAError, InputError, RefusedError
from csa.pipeline.check import check_stage
from csa.pipeline.embed import embed_stage
from csa.pipeline.evaluate import evaluate_stage
from csa.pipeline.fit import fit_stage
from csa.pipeline.ingest import demo_stage, ingest_stage
from csa.pipeline.task import task_stage
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_json

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
                f"usage: python -m csa.pipeline {' | '.join(STAGES)}, embed with the name of a "
                f"view and task with that of a task; "
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
