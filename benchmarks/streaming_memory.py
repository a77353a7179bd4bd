"""Moments of pairs on disk take memory that does not grow with them: 250 MB for any number of
768 x 768 features.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import csa
from benchmarks.measure import SEED, record
from csa.core.streams import ParquetPairs

_SHARD = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--worker", nargs=2, metavar=("KIND", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_measure(options.worker[0], Path(options.worker[1]))))
        return
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for n in options.pairs:
            for kind, write in (("npy", _write_npy), ("parquet", _write_parquet)):
                where = Path(folder) / f"{kind}-{n}"
                where.mkdir()
                write(where, n)
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.streaming_memory",
                    "--worker",
                    kind,
                    str(where),
                ]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                results.setdefault(kind, {})[str(n)] = json.loads(done.stdout)
                for file in where.iterdir():
                    file.unlink()
    record("streaming_memory", {"extra_memory_mb_and_seconds": results})


def _measure(kind: str, folder: Path) -> dict[str, Any]:
    # A small pass first: libraries and their own buffers are not the pass's memory.
    rng = np.random.default_rng(SEED)
    csa.Moments.from_arrays(rng.normal(size=(50, 4)), rng.normal(size=(50, 3)))
    if kind == "parquet":
        files = [sorted(folder.glob(f"{view}-*.parquet")) for view in "xy"]
        next(iter(ParquetPairs([files[0][0]], [files[1][0]])))
    before, start, cpu = _peak_mb(), time.perf_counter(), time.process_time()
    if kind == "parquet":
        moments = csa.Moments.from_blocks(ParquetPairs(*files))
    else:
        moments = csa.Moments.from_arrays(
            *(np.load(folder / f"{view}.npy", mmap_mode="r") for view in "xy")
        )
    return {
        "pairs": moments.n,
        "extra_mb": round(_peak_mb() - before, 1),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "wall_seconds": round(time.perf_counter() - start, 2),
    }


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return (
        int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
        / 1024
    )


def _blocks(n: int) -> Iterator[tuple[Any, Any]]:
    rng = np.random.default_rng(SEED)
    for start in range(0, n, _SHARD):
        m = min(_SHARD, n - start)
        Z = rng.standard_normal((m, 768), dtype=np.float32)
        yield Z, 0.5 * Z[:, ::-1] + rng.standard_normal((m, 768), dtype=np.float32)


def _write_npy(folder: Path, n: int) -> None:
    files = [
        np.lib.format.open_memmap(folder / f"{v}.npy", mode="w+", dtype=np.float32, shape=(n, 768))
        for v in "xy"
    ]
    for i, block in enumerate(_blocks(n)):
        for file, part in zip(files, block, strict=True):
            file[i * _SHARD : i * _SHARD + len(part)] = part
            file.flush()


def _write_parquet(folder: Path, n: int) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    for i, block in enumerate(_blocks(n)):
        for view, part in zip("xy", block, strict=True):
            lists = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1])
            parquet.write_table(
                pa.table({"features": lists}),
                folder / f"{view}-{i:04d}.parquet",
                row_group_size=4096,
                compression="none",
                use_dictionary=False,
            )


if __name__ == "__main__":
    main()
