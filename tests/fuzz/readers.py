"""Fuzz the readers: `make fuzz MINUTES=60`, or `python tests/fuzz/readers.py --minutes 60`.

Each case is a sound small data set with one thing or a few damaged. A worker process reads it
under a limit of memory and of 10 seconds; whatever is neither pairs nor one of our errors is kept
under --out, with its parameters and what happened. The same seed makes the same cases.
"""

import argparse
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).parents[2] / room) for room in (".", "tests/support"))

from builtin_encoders import ENCODERS
from damage import damage
from layouts import LAYOUTS
from seeds import SEEDS
from supervisor import Supervisor

SECONDS = 10
FIRST_SECONDS = 30  # a fresh worker loads its libraries
GIGABYTES = 1
A_WORKERS_CASES = 5000
SOUND = SEEDS | LAYOUTS


def read(folder: Path, case: dict[str, Any]) -> str:
    """Read one case: "pairs", "refused", or what is wrong with what it did."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        outcome = _read(folder, case)
    return f"a library's warning: {said[0].message}" if said else outcome


def _read(folder: Path, case: dict[str, Any]) -> str:
    from csa.datasets.ingest import ingest
    from csa.datasets.unpaired import read_unpaired
    from csa.errors import CSAError
    from csa.params.schema import Params

    views = {
        name: {"modality": kind, "encoder": ENCODERS[kind]} for name, kind in case["views"].items()
    }
    mapping = {"dataset": {**case["dataset"], "path": str(folder)}, "views": views}
    try:
        params = Params.from_mapping(mapping)
        pairs = ingest(params, folder, progress=False).pairs
        for view in params.dataset.unpaired:
            read_unpaired(params.dataset, (view, params.views[view]), folder, pairs)
    except CSAError as error:
        if "\n" in str(error):
            return f"an error of several lines: {error!r}"
        if "fault of the reader" in str(error):
            return f"the account is wrong: {error!r}"
        return "refused"
    except BaseException:
        return traceback.format_exc()
    return "pairs"


def worker(pipe: Connection) -> None:
    """Read cases as they come; one line of answer each."""
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115  # where progress is shown
    import csa.datasets.ingest  # noqa: F401  # what it loads is not the case's memory

    with open("/proc/self/statm") as file:  # noqa: PTH123
        used = int(file.read().split()[5]) * resource.getpagesize()
    limit = used + GIGABYTES * 2**30  # of data: what threads reserve is no memory of theirs
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    while True:
        folder, case = pipe.recv()
        pipe.send(read(Path(folder), case))


def main() -> None:
    """Run the cases and print a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz-finds"))
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    finds: Counter[str] = Counter()
    supervisor = Supervisor(worker)
    home = Path(tempfile.mkdtemp(prefix="fuzz-"))
    sound = {
        name: (home / "sound" / name, seed(home / "sound" / name)) for name, seed in SOUND.items()
    }
    for name, (folder, (dataset, views)) in sound.items():
        whole = {"dataset": dataset, "views": views}
        outcome = supervisor.ask((str(folder), whole), SECONDS, FIRST_SECONDS)
        assert outcome == "pairs", f"the sound data set {name} is not read: {outcome}"
    started, number = time.monotonic(), 0
    while time.monotonic() - started < 60 * options.minutes:
        dice = random.Random(f"{options.seed}:{number}")
        name = dice.choice(sorted(sound))
        folder, (dataset, views) = sound[name]
        work = home / "case"
        shutil.copytree(folder, work)
        done = []
        for _ in range(dice.choice((1, 1, 1, 2, 3))):
            try:
                done.append(damage(work, dice))
            except (OSError, IndexError, RecursionError, ValueError):
                break
        case = {
            "dataset": {**dataset, "on_error": dice.choice(("refuse", "quarantine"))},
            "views": views,
        }
        outcome = supervisor.ask((str(work), case), SECONDS, FIRST_SECONDS)
        if outcome not in ("pairs", "refused"):
            kind = outcome.strip().splitlines()[-1][:120]
            finds[f"{name}: {kind}"] += 1
            if finds[f"{name}: {kind}"] == 1:
                target = options.out / f"{name}-{number}"
                shutil.copytree(work, target / "data", symlinks=True, ignore=_special)
                case |= {"done": done, "outcome": outcome, "number": number}
                (target / "case.json").write_text(json.dumps(case, indent=1) + "\n")
            outcome = "found"
        counts[outcome] += 1
        number += 1
        if not number % A_WORKERS_CASES:
            supervisor.renew()
        shutil.rmtree(work)
    supervisor.stop()
    shutil.rmtree(home)
    slowest = f"slowest {supervisor.slowest:.1f} s"
    print(f"{number} cases in {options.minutes:g} min, {slowest}: {dict(counts)}")
    for kind, count in finds.most_common():
        print(f"{count:6} {kind}")
    sys.exit(bool(finds))


def _special(folder: str, names: list[str]) -> set[str]:
    return {
        name for name in names if not (Path(folder, name).is_file() or Path(folder, name).is_dir())
    }


if __name__ == "__main__":
    main()
