"""What a whole run costs at 100,000 to 1,000,000 pairs of precomputed features, stage by stage.

    python -m benchmarks.scale [--pairs 100000 200000 400000 1000000] [--limit 900]

Makes pairs of 768 and 384 numbers that share 64 dimensions, a project on them with `csa init`, and
runs it with `csa run`, everything chosen by cross-validation. Seconds, processor seconds and the
peak of resident memory are those that each stage notes itself (`.csa/executions.jsonl`); the last
is the kernel's accounting. A run that takes more than `--limit` seconds is ended and said so.
Writes benchmarks/results/scale.json, a row a size.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import SEED, record

WIDTHS = {"image": 768, "text": 384}
SHARED = 64
NOISE = 2.0
_BLOCK = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--pairs", type=int, nargs="+", default=[100_000, 200_000, 400_000, 1_000_000]
    )
    parser.add_argument("--limit", type=float, default=3600, help="seconds of one run")
    options = parser.parse_args()
    rows = []
    for pairs in options.pairs:
        with tempfile.TemporaryDirectory() as folder:
            write_features(Path(folder) / "features", pairs)
            rows.append({"pairs": pairs, **run(Path(folder), options.limit)})
    record("scale", {"widths": WIDTHS, "shared": SHARED, "noise": NOISE, "rows": rows})


def write_features(folder: Path, pairs: int) -> None:
    """Features of both views, a .npy file each, made block by block.

    Args:
        folder: where to.
        pairs: how many rows.
    """
    folder.mkdir()
    rng = np.random.default_rng(SEED)
    maps = {view: rng.normal(size=(SHARED, width)) for view, width in WIDTHS.items()}
    files = {
        view: np.lib.format.open_memmap(
            folder / f"{view}.npy", "w+", dtype=np.float32, shape=(pairs, width)
        )
        for view, width in WIDTHS.items()
    }
    for start in range(0, pairs, _BLOCK):
        block = slice(start, min(start + _BLOCK, pairs))
        shared = rng.normal(size=(block.stop - start, SHARED))
        for view, width in WIDTHS.items():
            noise = NOISE * rng.normal(size=(len(shared), width))
            files[view][block] = shared @ maps[view] / np.sqrt(SHARED) + noise
    for file in files.values():
        file.flush()


def run(folder: Path, limit: float) -> dict[str, Any]:
    """One run of a new project.

    Args:
        folder: of the features, and of the project.
        limit: seconds after which the run is ended.

    Returns:
        Outcome, seconds in all, and the stages' own records.
    """
    project, csa = folder / "project", [sys.executable, "-m", "csa.cli"]
    subprocess.run(
        [*csa, "init", str(project), "--data", str(folder / "features")], check=True, env=_env()
    )
    try:
        subprocess.run([*csa, "run"], cwd=project, check=True, timeout=limit, env=_env())
    except subprocess.TimeoutExpired:
        return {"outcome": f"ended after {limit:.0f} s", "stages": _records(project)}
    said = json.loads((project / ".csa" / "executions.jsonl").read_text().splitlines()[-1])
    return {key: said[key] for key in ("outcome", "seconds", "cpu_seconds", "stages")}


def _env() -> dict[str, str]:
    here = str(Path(__file__).parents[1])
    return os.environ | {"PYTHONPATH": here, "PYTHONUNBUFFERED": "1"}


def _records(project: Path) -> dict[str, Any]:
    """What the stages that ended have noted."""
    found = sorted((project / ".csa" / "stages").rglob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in found}


if __name__ == "__main__":
    main()
