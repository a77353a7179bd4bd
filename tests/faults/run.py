"""A run that is killed, or meets a full or a broken disk, at every single change of a file.

    python tests/faults/run.py                    # make faults: all of them, hours
    python tests/faults/run.py --every 40         # each fortieth
    python tests/faults/run.py --databases        # within SQLite's and DuckDB's files
    python tests/faults/run.py --only kill --at 3 117

A small project has run once; then its data change, so that the next run replaces all files. That
run fails at its first change of a file, at its second, and so on, and each time the next run must
end with the bytes that an undisturbed one leaves. What is watched lies in the project, in DVC's own
folders and databases, in the registry and on the remote.

Prefect is left out, pictures are drawn empty, and threads that work beside each other take turns,
so that the n-th change is the same one each time.
"""

import argparse
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import bench
import forks
import yaml
from bench import FAULTS, PAGE, Bench, Page, Sweep

FIRST_USE = "CSA_TEST_FIRST_USE"  # where tests/support/first_use.py keeps what it makes


class Run(Bench):
    """A project of its own, with its remote and DVC's own folder."""

    server_code = Path(__file__)
    words = ("csa.cli", "run")

    @property
    def home(self):
        """Where the run works."""
        return self.place / "own"

    def variables(self):
        """DVC's databases lie with the rest; git knows who commits."""
        who = {f"GIT_{name}_NAME": "t" for name in ("AUTHOR", "COMMITTER")}
        who |= {f"GIT_{name}_EMAIL": "t@example.org" for name in ("AUTHOR", "COMMITTER")}
        quiet = {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
        return who | quiet | {"DVC_SITE_CACHE_DIR": str(self.place / "site")}

    def start(self):
        """It has run; its data have changed since."""
        from own_project import Project

        project = Project.make(self.home)
        project.set("sheet_queries: 8", "sheet_queries: 1")
        project.csa("remote", "add", "team", str(self.place / "store"))
        project.dvc("config", "core.checksum_jobs", "1")  # one thing after the other
        project.dvc("remote", "modify", "team", "jobs", "1")
        project.commit("settings")
        code, said = self.work()
        assert code == 0, said
        self.learn()
        project.write_features(130)

    def left(self):
        """What a run leaves, less times and the names of temporary files."""
        lock, state = (self.home / "dvc.lock").read_bytes(), self.home / ".csa"
        stages = yaml.safe_load(lock)["stages"].values()
        outs = {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}
        ledger = state / "promotions.jsonl"
        lines = ledger.read_text().splitlines() if ledger.is_file() else []
        return {
            "dvc.lock": hashlib.sha256(lock).hexdigest(),
            "outputs": {
                file.relative_to(self.home).as_posix(): _sha256(file)
                for path in outs
                for file in sorted([self.home / path, *(self.home / path).rglob("*")])
                if file.is_file() and file.suffix != ".tmp"
            },
            "runs": {
                file.relative_to(state).as_posix()
                for file in (state / "runs").rglob("*")
                if file.is_file() and file.suffix != ".tmp"
            },
            "registry": _registry(state / "mlflow" / "mlflow.db"),
            "ledger": [
                [json.loads(line)[key] for key in ("verdict", "from", "to")] for line in lines
            ],
            "not on the remote": _missing(self.place / "store" / "files" / "md5", outs),
        }


def _sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _registry(database):
    """Versions and aliases, as the database has them."""
    with closing(sqlite3.connect(database)) as connection:
        ask = "SELECT version, value FROM model_version_tags WHERE key = 'run_id' ORDER BY version"
        aliases = "SELECT alias, version FROM registered_model_aliases ORDER BY alias"
        return [connection.execute(words).fetchall() for words in (ask, aliases)]


def _missing(store, outs):
    """Outputs whose objects are not whole on the remote."""
    missing = []
    for path, oid in outs.items():
        file = store / oid[:2] / oid[2:]
        content = file.read_bytes() if file.is_file() else b""
        if hashlib.md5(content).hexdigest() != oid.removesuffix(".dir"):
            missing.append(path)
    return missing


class InTurn:
    """An executor that does at once what it is given."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def submit(self, work, *arguments, **options):
        """The work's result, which is there already."""
        future = Future()
        try:
            future.set_result(work(*arguments, **options))
        except BaseException as error:
            future.set_exception(error)
        return future


def prepare():
    """In a new process: csa without Prefect, pauses and pictures, one thing after the other."""
    if sys.argv[0] != "csa.cli":
        return
    from matplotlib.figure import Figure
    from undrawn import draw_nothing

    from csa.flows import retrain
    from csa.operations import run, steps
    from csa.operations.cache import dvc, leftovers, restoring, sharing

    page, names = Page.at(os.environ[PAGE]), Path(os.environ[PAGE]).with_name("steps")

    def step(one):
        page.step = 1 + _place(names, one.name)
        return steps.plainly(one)

    retrain._under_prefect = lambda project, wait: run.run(project, step)
    run.ThreadPoolExecutor = InTurn
    steps.PAUSE_SECONDS = sharing._PAUSE_SECONDS = 0
    dvc.PAUSES = restoring.PAUSES = (0.1, 0.2, 0.5)
    leftovers._WRITTEN_SECONDS = 0.01
    Figure.savefig = draw_nothing


def _place(file, name):
    """A name's line in a file, where the name is added if it is new."""
    known = file.read_text().splitlines() if file.is_file() else []
    if name not in known:
        file.write_text("".join(f"{line}\n" for line in [*known, name]))
    return [*known, name].index(name)


def warm():
    """In the server, once: what every process of DVC or MLflow would make for itself."""
    from warm import remember

    from csa.pipeline import code

    remember()
    code.stage_hashes()


def main():
    """Sweep over all changes; 1 where a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=FAULTS, help="one kind of fault")
    parser.add_argument("--databases", action="store_true", help="inside databases, not elsewhere")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="each K-th change alone")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="begin with the N-th")
    parser.add_argument("--at", type=int, nargs=2, metavar=("STEP", "N"), help="a single change")
    options = parser.parse_args()
    if options.serve:
        subprocess.Popen = forks.Popen
        forks.Popen.address = options.serve
        forks.serve(options.serve, prepare, warm)
        return 0
    sys.path.insert(0, str(bench.HERE.parents[1]))
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with (
        tempfile.TemporaryDirectory() as os.environ[FIRST_USE],
        tempfile.TemporaryDirectory(dir=place) as folder,
        closing(Run(Path(folder))) as run,
    ):
        run.prepare()
        found = [sweep(run, name, options) for name in FAULTS if options.only in (None, name)]
    return int(any(found))


def sweep(run, name, options):
    """All changes, or the chosen ones; the faults that were found."""
    made, began = Sweep(run, name, options.databases), time.monotonic()
    print(f"{name}: {sum(made.counts)} changes in {len(made.counts)} steps", flush=True)
    if options.at:
        run.reset()
        made.fail(*options.at)
        made.check(*options.at)
    else:
        for number in range(options.first, max(made.counts) + 1, options.every):
            made.chain(number)
            print(f"  {number} of {max(made.counts)}: {made}", flush=True)
    print(f"{made}; {time.monotonic() - began:.0f} s", flush=True)
    return made.faults


if __name__ == "__main__":
    sys.exit(main())
