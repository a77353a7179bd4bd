"""What takes seconds in a project's first use, made once a session and copied: empty databases of
MLflow and of Prefect, by their own commands, and what is known of each source file.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from filelock import FileLock

from csa.pipeline.code import stage_hashes

FOLDER = "CSA_TEST_FIRST_USE"  # the variable that names the folder of all workers of a session


@cache
def _made(tool):
    path = Path(os.environ[FOLDER]) / f"{tool}.made"
    with FileLock(f"{path}.lock"):
        if not path.is_file():
            new = path.with_suffix(".new")
            _MAKERS[tool](new)
            new.rename(path)
    return path


def _mlflow(path):
    _upgrade("mlflow", "db", "upgrade", f"sqlite:///{path}")


def _prefect(path):
    address = {"PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{path}"}
    _upgrade("prefect", "server", "database", "upgrade", "-y", variables=address)


def _upgrade(*command, variables=None):
    subprocess.run(
        [sys.executable, "-m", *command],
        env=os.environ | (variables or {}),
        check=True,
        capture_output=True,
    )


_MAKERS = {"mlflow": _mlflow, "prefect": _prefect, "code": stage_hashes}


def place(tool, target):
    """Copy what was made for mlflow, prefect or code to where none is."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_made(tool), target)


def prepare(ws):
    """Spare a workspace the seconds of its first use."""
    place("mlflow", ws.state / "mlflow" / "mlflow.db")
    place("prefect", ws.prefect_home / "prefect.db")
    place("code", ws.code_memory)
