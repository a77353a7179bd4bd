"""Empty databases of MLflow and of Prefect, made once a session by their own commands and copied:
each takes seconds of migrations.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from filelock import FileLock

FOLDER = "CSA_TEST_DATABASES"  # the variable that names the folder of all workers of a session


@cache
def _made(tool):
    path = Path(os.environ[FOLDER]) / f"{tool}.db"
    address = f"sqlite:///{path}.new"
    command, variables = {
        "mlflow": (["mlflow", "db", "upgrade", address], {}),
        "prefect": (
            ["prefect", "server", "database", "upgrade", "-y"],
            {"PREFECT_API_DATABASE_CONNECTION_URL": address.replace("sqlite", "sqlite+aiosqlite")},
        ),
    }[tool]
    with FileLock(f"{path}.lock"):
        if not path.is_file():
            subprocess.run(
                [sys.executable, "-m", *command],
                env=os.environ | variables,
                check=True,
                capture_output=True,
            )
            Path(f"{path}.new").rename(path)
    return path


def place(tool, target):
    """Copy the empty database of mlflow or prefect to where none is."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_made(tool), target)
