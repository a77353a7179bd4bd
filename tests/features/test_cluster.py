"""A scheduler and three workers, started as an operator starts them (docs/operations.md)."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import counted
import numpy as np
import polars as pl
import pytest

from csa.core.streams import ParquetPairs
from csa.encoders.registry import load_encoder
from csa.errors import WorkspaceError
from csa.features.cache import FeatureCache
from csa.features.compute import moments_of_parts, workers
from csa.features.embed import Items, embed
from csa.params.views import ViewParams

pytest.importorskip("distributed")

WORKERS, BATCH, ITEMS = 3, 2, 48
# batches in hand at a time: one at work and one waiting for each worker
IN_HAND = 2 * WORKERS
ROOT, SUPPORT = Path(__file__).parents[2], Path(counted.__file__).parent


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """(address, scheduler and workers)."""
    folder = tmp_path_factory.mktemp("cluster")
    file, started = folder / "scheduler.json", []
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, SUPPORT))),
        "OPENBLAS_NUM_THREADS": "1",
    }

    def start(*words):
        command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
        log = (folder / f"{len(started)}.log").open("w")
        started.append(subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log))

    try:
        start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        for _ in range(WORKERS):
            start("worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny")
        yield address_in(file, started), started
    finally:
        for process in started:
            process.kill()
            process.wait()


def address_in(file, started):
    """The scheduler's address, once all workers have come to it."""
    from distributed import Client

    while not file.exists() or not file.read_text().endswith("}"):
        assert all(process.poll() is None for process in started), "a process of Dask ended"
        time.sleep(0.1)
    address = json.loads(file.read_text())["address"]
    with Client(address, timeout=60) as client:
        client.wait_for_workers(WORKERS, timeout=60)
    return address


class KillsOne(FeatureCache):
    """A cache that kills a process when it has been written to a few times."""

    def __init__(self, root, fingerprint, process):
        super().__init__(root, fingerprint)
        self._left, self._process = 6, process

    def write(self, items, features):
        super().write(items, features)
        self._left -= 1
        if not self._left and self._process is not None:
            self._process.kill()
            self._process.wait()


def embedded(folder, dask, process=None):
    """Features of all items, and how often each was made; a process is killed in the middle."""
    encoder = load_encoder(ViewParams(modality="series", encoder="rocket", batch_size=BATCH))
    values = [str(i) for i in range(ITEMS)]
    rows = [(hashlib.sha256(value.encode()).hexdigest(), value) for value in values]
    folder.mkdir(exist_ok=True)
    cache = KillsOne(folder / "cache", encoder.fingerprint, process)
    load = partial(counted.load, folder=str(folder))
    return embed(encoder, Items(rows, load, "embed"), cache, dask)


def test_a_killed_worker_costs_its_batches_and_no_bits(cluster, tmp_path):
    address, (_, first, *others) = cluster
    here = embedded(tmp_path / "here", None)
    there = embedded(tmp_path / "there", address, first)
    assert first.poll() is not None and there.computed == ITEMS
    assert there.features.tobytes() == here.features.tobytes()

    notes = [line.split() for line in (tmp_path / "there" / "loads").read_text().splitlines()]
    assert {int(pid) for pid, _ in notes} == {process.pid for process in (first, *others)}
    made = Counter(value for _, value in notes)
    assert len(made) == ITEMS
    again = sum(made.values()) - ITEMS
    assert again <= IN_HAND * BATCH, "only what was in hand is made again"

    parts = shards(tmp_path, there.features)
    with workers(address) as pool:
        over_there = moments_of_parts(pool, parts)
    with workers() as pool:
        over_here = moments_of_parts(pool, parts)
    for name in ("mean_x", "mean_y", "cxx", "cyy", "cxy"):
        assert getattr(over_there, name).tobytes() == getattr(over_here, name).tobytes()


def test_a_scheduler_that_is_killed_is_one_line_and_what_came_back_is_kept(cluster, tmp_path):
    address, (scheduler, *_) = cluster
    with pytest.raises(WorkspaceError, match="the scheduler went away; start it, or set compute"):
        embedded(tmp_path / "there", address, scheduler)
    again = embedded(tmp_path / "there", None)
    assert again.reused >= 6 * BATCH and again.computed + again.reused == ITEMS


def shards(folder, features):
    """Pairs of features in three files, which each worker reads where it is."""
    found = []
    for number, block in enumerate(np.array_split(features[:, :40], 3)):
        file, kind = folder / f"{number}.parquet", pl.Array(pl.Float32, 20)
        views = {"x": block[:, :20], "y": block[:, 20:]}
        table = {name: pl.Series(view, dtype=kind) for name, view in views.items()}
        pl.DataFrame(table).write_parquet(file)
        found.append(ParquetPairs([file], [file], "x", "y"))
    return found
