"""Where everything lies: the one place that knows a path.

A workspace is a folder with `dvc.yaml`, `params.yaml` and the `data/` its stages write. A project
is one, made by `csa init`; a repository may hold several. A recipe runs in another,
`.csa/workspaces/NAME`, with parameters of its own. A scheduled run works in a git worktree of the
repository, `.csa/worktrees/NAME`. All of them share one state folder, `.csa/` beside the
repository's `.dvc/`: the item cache, the run records, and the local databases of Prefect, MLflow
and DuckDB.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from csa.errors import WorkspaceError
from csa.storage.files import unwritable

if TYPE_CHECKING:
    from csa.params.schema import Params


def check_place(folder: Path) -> None:
    """Refuse the one folder that no project can lie in.

    Args:
        folder: of a project.

    Raises:
        WorkspaceError: its path holds a `?`, at which an address of SQLite ends: the databases
            would be made outside.
    """
    if "?" in str(folder):
        raise WorkspaceError(
            f"{folder}: no project can lie in a folder whose name holds a `?`, as an address of "
            f"SQLite ends there; rename the folder"
        )


@dataclass(frozen=True)
class Workspace:
    """The paths of one workspace (`root`) and of the state it shares (`state`)."""

    root: Path
    state: Path

    @classmethod
    def find(cls, start: Path | None = None) -> "Workspace":
        """The workspace that `start` (default: the current folder) lies in.

        Raises:
            WorkspaceError: no folder upward of `start` has a dvc.yaml, or its path holds a `?`.
        """
        here = (start or Path.cwd()).resolve()
        for root in (here, *here.parents):
            if (root / "dvc.yaml").is_file():
                check_place(root)
                home = _home(root)
                return cls(root, home.parents[1] if _lies_in(home, "worktrees") else home / ".csa")
        raise WorkspaceError(
            f"{here}: no project here or above, as no folder has a dvc.yaml; `csa init` makes one, "
            "and `csa run RECIPE` works from inside one"
        )

    @property
    def home(self) -> Path:
        """The repository, or the private worktree of it, that this workspace was opened in."""
        return _home(self.root)

    @property
    def is_recipe(self) -> bool:
        """Whether a recipe made it, and no person."""
        return _lies_in(self.root, "workspaces")

    @property
    def name(self) -> str:
        """`main` for a project at the top of its repository and its worktrees; the folders from
        there for a project below, joined by a hyphen; else the recipe's name.
        """
        if self.is_recipe:
            return self.root.name
        return "-".join(self.root.relative_to(self.home).parts) or "main"

    @property
    def params_file(self) -> Path:
        """The validated parameters of this workspace."""
        return self.root / "params.yaml"

    def params(self) -> "Params":
        """Load and validate `params.yaml`."""
        from csa.params.schema import Params

        return Params.load(self.params_file)

    @property
    def data(self) -> Path:
        """What the stages write."""
        return self.root / "data"

    @property
    def code(self) -> Path:
        """The hash of each stage's code, which DVC compares; see `csa.pipeline.code`."""
        return self.data / "code.json"

    @property
    def start(self) -> Path:
        """The choices that a fit's search begins with, which DVC compares; see
        `csa.pipeline.start`.
        """
        return self.data / "start.json"

    @property
    def code_memory(self) -> Path:
        """What is known of each source file, so that it is not looked at again."""
        return self.state / "code.json"

    @property
    def kept_lock(self) -> Path:
        """dvc.lock as it was when a run last began, for one that is cut short. A worktree has its
        own, which goes with it.
        """
        return self.home / ".csa" / "locks" / f"{self.name}.lock"

    @property
    def pairs(self) -> Path:
        """The pairs table, written by ingest."""
        return self.data / "pairs.parquet"

    @property
    def quarantine(self) -> Path:
        """Rows that ingest set aside, with the reason of each."""
        return self.data / "quarantine.parquet"

    @property
    def account(self) -> Path:
        """What became of every file, row and column of the data set."""
        return self.data / "account.json"

    def features(self, view: str) -> Path:
        """The folder of feature shards of one view, written by embed."""
        return self.data / "features" / view

    def unpaired(self, view: str) -> Path:
        """The folder of a view's unpaired items and their features, written by unpaired; below
        `data/features`, so that what reads features depends on them.
        """
        return self.data / "features" / "unpaired" / view

    def unpaired_items(self, view: str) -> Path:
        """The table of a view's unpaired items: each one's value and hash."""
        return self.unpaired(view) / "items.parquet"

    @property
    def item_tables(self) -> list[Path]:
        """The tables of items that are there: of pairs, and of each view's unpaired items."""
        return [
            *([self.pairs] if self.pairs.is_file() else []),
            *sorted(self.unpaired_items("any").parents[1].glob("*/items.parquet")),
        ]

    def labels(self, view: str) -> Path:
        """The labels that a view's encoder knows: head, label features and names; there only where
        they are used.
        """
        return self.unpaired(view) / "labels.safetensors"

    @property
    def checks(self) -> Path:
        """What the data checks found, written by check."""
        return self.data / "checks.json"

    @property
    def admitted(self) -> Path:
        """That the data may be fitted on, written by check; the same bytes whatever the numbers
        were.
        """
        return self.data / "admitted.json"

    @property
    def alignment(self) -> Path:
        """The fitted alignment, written by fit."""
        return self.data / "alignment.safetensors"

    @property
    def moments(self) -> Path:
        """The moments the alignment was solved from, written by fit."""
        return self.data / "moments.safetensors"

    @property
    def fit_report(self) -> Path:
        """The choices and diagnostics of the fit."""
        return self.data / "fit.json"

    @property
    def evaluation(self) -> Path:
        """The folder of per-query tables, written by evaluate."""
        return self.data / "evaluation"

    @property
    def plots(self) -> Path:
        """The folder of the curves that `dvc plots` draws, written by evaluate."""
        return self.data / "plots"

    @property
    def headline(self) -> Path:
        """The few numbers that `dvc metrics` lists, written by evaluate."""
        return self.data / "headline.json"

    @property
    def suspects(self) -> Path:
        """What `csa suspects` found: a ranked table and a summary; no stage reads it."""
        return self.data / "suspects"

    @property
    def metrics(self) -> Path:
        """All metrics of the evaluation, with intervals."""
        return self.data / "metrics.json"

    def task(self, name: str) -> Path:
        """The folder of one task's metrics.json and evaluation/, written by its stage."""
        return self.data / "tasks" / name

    @property
    def report(self) -> Path:
        """The report of the last run, one HTML file; made from the artifacts, no output of a
        stage.
        """
        return self.data / "report.html"

    @property
    def pictures(self) -> Path:
        """The figures and retrieval sheets of the last run as PNG, drawn with its report."""
        return self.data / "report"

    @property
    def cache(self) -> Path:
        """Item features, addressed by encoder fingerprint and item hash; outside every DVC
        output.
        """
        return self.state / "cache"

    @property
    def runs(self) -> Path:
        """Run records, one folder a run; DuckDB is rebuilt from them."""
        return self.state / "runs"

    @property
    def duckdb(self) -> Path:
        """The local metrics database."""
        return self.state / "metrics.duckdb"

    @property
    def ledger(self) -> Path:
        """The append-only record of promotion decisions."""
        return self.state / "promotions.jsonl"

    @property
    def prefect_home(self) -> Path:
        """Prefect's local database and settings."""
        return self.state / "prefect"

    @property
    def mlflow_uri(self) -> str:
        """The MLflow tracking and registry address: MLFLOW_TRACKING_URI, else a SQLite file in
        the state folder.

        A relative SQLite path is one from the repository, from whichever folder it is called.
        """
        named = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.state}/mlflow/mlflow.db"
        scheme, _, path = named.partition(":///")
        return f"sqlite:///{self.state.parent / path}" if scheme == "sqlite" and path else named

    @property
    def drift(self) -> Path:
        """What the last comparison with the champion found. It depends on the registry, so it is
        no DVC output.
        """
        return self.state / "drift" / f"{self.name}.json"

    def stage_record(self, stage: str) -> Path:
        """What one stage did when it last ran here (items computed and reused, seconds): never a
        DVC output.
        """
        return self.state / "stages" / self.name / f"{stage.replace('@', '-')}.json"

    def prepare_state(self) -> None:
        """Create the state folder and prove that it can be written.

        Raises:
            WorkspaceError: it cannot.
        """
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            probe = self.state / f".probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise unwritable(self.state, error, "the state folder") from None


def _home(root: Path) -> Path:
    """The folder whose `.dvc` a workspace belongs to; itself, where there is none."""
    if _lies_in(root, "workspaces"):
        return root.parents[2]
    return next((above for above in (root, *root.parents) if (above / ".dvc").is_dir()), root)


def _lies_in(root: Path, folder: str) -> bool:
    return root.parent.name == folder and root.parents[1].name == ".csa"
