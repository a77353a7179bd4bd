"""The pipeline's stages as commands: read parameters, call the library, write artifacts.

    python -m csa.pipeline demo | ingest | check | fit | evaluate
    python -m csa.pipeline embed VIEW | unpaired VIEW | task NAME
    python -m csa.pipeline code

DVC runs them from dvc.yaml, in the workspace's folder. They know nothing of Prefect, DVC, MLflow or
DuckDB. Bad input is one line on standard error and exit code 2. `code` writes the hashes of the
stages' code, which DVC compares.
"""

import resource
import signal
import sys
import time
from importlib import import_module
from types import FrameType

from csa.core.threads import one_thread_a_product
from csa.errors import CSAError, InputError, RefusedError
from csa.extras import remedy_of
from csa.pipeline.code import STAGES, write_hashes
from csa.pipeline.pools import drop_stale
from csa.pipeline.start import keep_start
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_json
from csa.storage.room import beyond_us

_WITH_A_NAME = ("embed", "unpaired", "task")


def _peak_megabytes() -> float:
    """The most memory this process has held; the unit of ru_maxrss differs between systems."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


def _run(ws: Workspace, name: str, rest: list[str]) -> None:
    """Run one stage and write the record of what it did."""
    stage = getattr(import_module(STAGES[name]), f"{name}_stage")
    key = "@".join([name, *rest])
    started, cpu = time.perf_counter(), time.process_time()
    with one_thread_a_product():
        done = stage(ws, *rest)
    record = {
        "stage": key,
        **done,
        "seconds": round(time.perf_counter() - started, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "peak_megabytes": _peak_megabytes(),
    }
    write_json(ws.stage_record(key), record)


def _stop(number: int, frame: FrameType | None) -> None:
    """Leave by an exception, so that nothing half written stays."""
    sys.exit(128 + number)


def main(arguments: list[str]) -> int:
    """Run one stage; returns the exit code."""
    name, *rest = arguments or [""]
    try:
        if name not in (*STAGES, "code") or len(rest) != (name in _WITH_A_NAME):
            raise InputError(
                f"usage: python -m csa.pipeline {' | '.join(STAGES)} | code, embed and unpaired "
                f"with the name of a view and task with that of a task; got {arguments}"
            )
        ws = Workspace.find()
        ws.prepare_state()
        if name == "code":
            write_hashes(ws.code, ws.code_memory)
            drop_stale(ws)
            keep_start(ws)
        else:
            _run(ws, name, rest)
    except RefusedError as error:
        print(f"csa: refused: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except CSAError as error:
        print(f"csa: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        remedy = remedy_of(error)
        if remedy is None:
            raise
        print(f"csa: error: stage {name} needs {remedy}", file=sys.stderr)
        return 2
    except (OSError, MemoryError) as error:
        said = beyond_us(error)
        if said is None:
            raise
        print(f"csa: error: {said}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(_number) is not signal.SIG_IGN:
            signal.signal(_number, _stop)
    sys.exit(main(sys.argv[1:]))
