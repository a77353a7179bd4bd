"""Whole pipelines without the time their imports take: in the block of `warm.processes()` each
command of csa and DVC, and each stage, is a fork of a process that has imported what they need.

They are real processes with their own folder, variables and files. What a test of pipelines is
rarely about is left out: that a fresh Python finds the code. Tests that kill what a run has started
stay with fresh processes, as a fork is the server's child.

Prefect and a stage's encoders stay for each process to import: Prefect reads its settings then.
"""

import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import forks
import plainly

HERE = Path(__file__)
LATER = ("csa.flows", "csa.serving", "csa.encoders", "csa.exporting")  # with all they import
MODULES = (
    "alembic.migration", "duckdb", "dvc.cli", "dvc.commands.data_sync", "dvc.commands.repro",
    "dvc.repo", "jinja2", "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg", "mlflow", "mlflow.pyfunc", "mlflow.pyfunc.scoring_server",
    "mlflow.store.model_registry.sqlalchemy_store", "mlflow.store.tracking.sqlalchemy_store",
    "networkx", "pandas", "PIL.Image", "polars", "psutil", "pyarrow.parquet", "safetensors.numpy",
    "scipy.optimize", "scipy.sparse", "scipy.stats", "torch", "tqdm",
)  # fmt: skip


@contextmanager
def processes():
    """In the block `subprocess` starts a fork where it would start csa's or DVC's Python."""
    forks.Popen.address, before = str(_address(_server())), subprocess.Popen
    subprocess.Popen = forks.Popen
    try:
        yield
    finally:
        subprocess.Popen = before


@cache
def _server():
    """The folder of this process's server; both end with it."""
    folder = tempfile.TemporaryDirectory(prefix="forks-")
    address = _address(folder)
    process = subprocess.Popen([sys.executable, HERE, address], start_new_session=True)
    while not address.exists():
        assert process.poll() is None, "the server of forks ended"
        time.sleep(0.05)
    return folder


def _address(folder):
    return Path(folder.name) / "server"


def main():
    """Import, then serve at the address that is given."""
    for name in MODULES:
        import_module(name)
    import csa

    for found in walk_packages(csa.__path__, "csa."):
        if not found.name.startswith(LATER) and not found.name.endswith("__main__"):
            import_module(found.name)
    assert "prefect" not in sys.modules
    address = sys.argv[1]
    forks.Popen.address, subprocess.Popen = address, forks.Popen
    remember()
    forks.serve(address, fresh, lambda: None)


def remember():
    """What each process of DVC's or MLflow's would make for itself: DVC's parser of its command
    line, and MLflow's list of what is installed.
    """
    from dvc.cli import parser
    from mlflow.utils import requirements_utils

    requirements_utils._init_modules_to_packages_map()
    made = parser.get_main_parser()
    parser.get_main_parser = lambda: made


def fresh():
    """In a new process: what modules had read of the server's variables is forgotten."""
    tempfile.tempdir = None
    plainly.leave_out_where_asked()


if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parents[2])]
    main()
