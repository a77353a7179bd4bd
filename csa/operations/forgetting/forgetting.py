"""Forgetting items: out of every cache here and on the remotes, out of every workspace, and kept
out from now on.

`exclude.csv` names them, so git carries the wish to every clone, and each clone's next run carries
it out in its own caches. What is left is said: the versions that were fitted on an item keep its
share in their sums until a later version takes their place.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from csa.datasets.exclude import EXCLUDE_FILE
from csa.errors import InputError, RegistryError
from csa.features.cache import forget_items
from csa.operations.forgetting import forgotten
from csa.operations.forgetting.purge import look_again, purge
from csa.operations.inspection import lineage
from csa.operations.opened import Project
from csa.operations.registry.reports import withdraw
from csa.pipeline.workspace import Workspace
from csa.questions.stored_graphs import folder_of
from csa.storage.written_yaml import read_yaml

_BESIDE_STAGES = (
    "report.html",
    "report",
    "suspects",
    "sweep",
)  # of data/: made by commands, not by stages


@dataclass(frozen=True)
class Forgotten:
    """What was done, and what is left to do.

    Attributes:
        items: item as it was named -> its hashes.
        removed: place -> number of features, files or workspaces removed there; `reports` are
            files of MLflow that show items.
        unreached: remote -> why it could not be cleaned; the next run tries again.
        versions: model -> registered versions that saw one of the items, paired or unpaired, with
            their aliases.
    """

    items: dict[str, list[str]]
    removed: dict[str, int]
    unreached: dict[str, str]
    versions: dict[str, list[str]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self.__dict__

    def __str__(self) -> str:
        lines = [f"forgotten: {name[:80]}" for name in self.items]
        lines += [f"  {place:<12}{count:,} removed" for place, count in self.removed.items()]
        lines += [
            f"  {name:<12}not reached ({why}); the next `csa run` tries again"
            for name, why in self.unreached.items()
        ]
        lines.append(f"  kept out by {EXCLUDE_FILE}; commit it, and your team's clones forget too")
        if self.versions:
            seen = "; ".join(
                f"{model} {', '.join(versions)}" for model, versions in self.versions.items()
            )
            lines.append(
                f"  fitted or measured on it: {seen}. Next: `csa run` for a new champion, and "
                f"delete those in MLflow"
            )
        lines.append("  the data set itself is yours: the file or row is still there")
        return "\n".join(lines)


def find(project: Project, names: tuple[str, ...]) -> dict[str, list[str]]:
    """Name -> hashes of items that a pairs table, a cache or a run on record knows.

    Args:
        project: the workspace that paths and texts are looked up in.
        names: an image's path, a text, a sha256.

    Returns:
        Name -> hashes (sha256), each list sorted.

    Raises:
        InputError: an item is nowhere known.
    """
    found, workspaces = {}, _workspaces(Workspace(project.ws.home, project.ws.state))
    for name in names:
        hashes = lineage.hashes_of(project, name)
        known = lineage.of_item(project, name)
        if not (
            set(known.found_as) - {"pair_id"}
            or lineage.is_hash(name)
            or any(_names(table, hashes) for one in workspaces for table in one.item_tables)
        ):
            hint = (
                "it is a pair's id: name its items, or list the pair in exclude.csv"
                if known.found_as
                else "a typo?"
            )
            raise InputError(
                f"{name[:80]!r}: no item that a run or workspace knows ({hint}); give its path, "
                f"its text or its sha256"
            )
        found[name] = sorted(hashes)
    return found


def forget(project: Project, items: dict[str, list[str]], reason: str) -> Forgotten:
    """Forget items: list them in the repository's exclude.csv, and carry it out here.

    Args:
        project: a workspace of the repository; hold its lock.
        items: from `find`.
        reason: why, for exclude.csv and the record.

    Returns:
        What was removed, and what was not reached.
    """
    ws, versions = project.ws, _versions(project, list(items))
    forgotten.list_items(
        ws.home / EXCLUDE_FILE, {item: reason for hashes in items.values() for item in hashes}
    )
    removed, unreached = _carry_out(
        project, {item: reason for hashes in items.values() for item in hashes}, versions
    )
    return Forgotten(items, removed, unreached, versions)


def carry_out(project: Project) -> list[str]:
    """Do what exclude.csv or the record asks for and this clone has not done yet; returns what to
    tell.

    Also brings back to exclude.csv what the record names and it does not, as in a checkout of an
    older commit.
    """
    ws = project.ws
    forgotten.list_items(ws.home / EXCLUDE_FILE, forgotten.wanted(ws))
    if ws.root != ws.home:
        forgotten.list_items(ws.root / EXCLUDE_FILE, forgotten.wanted(ws))
    items = forgotten.not_yet_carried_out(ws)
    if not items:
        return _keep_out(ws)
    removed, unreached = _carry_out(project, items, _versions(project, list(items)))
    counts = ", ".join(f"{count} from {place}" for place, count in removed.items())
    said = [f"{EXCLUDE_FILE} names {len(items)} items to forget; removed: {counts}"]
    return said + [
        f"{name} could not be reached ({why}); the next run tries again"
        for name, why in unreached.items()
    ]


def _keep_out(ws: Workspace) -> list[str]:
    """Remove what has come back into a cache of all that was forgotten; returns what to tell."""
    items = forgotten.wanted(ws)
    found = look_again(Workspace(ws.home, ws.state), set(items)) if items else None
    if found is None:
        return []
    counts = ", ".join(f"{count} from {place}" for place, count in found.removed.items())
    said = [f"something of forgotten items had come back; removed: {counts}"]
    return said + [
        f"{count} objects of {place} are in no run cache, so nothing says whether they were made "
        f"from forgotten items; `dvc gc` there removes what no commit names"
        for place, count in found.unjudged.items()
    ]


def _carry_out(
    project: Project, items: dict[str, str], versions: dict[str, list[str]]
) -> tuple[dict[str, int], dict[str, str]]:
    ws, hashes = project.ws, set(items)
    repository = Workspace(ws.home, ws.state)
    removed = {"item cache": forget_items(ws.cache, hashes)}
    held = [one for one in _workspaces(repository) if _holds(one, hashes)]
    for one in held:
        _empty(one)
    _remove(folder_of(repository))  # an index holds a vector of every item
    purged = purge(repository, hashes)
    reports, without_registry = _withdraw_reports(project, versions)
    removed |= {"workspaces": len(held), **purged.removed, "reports": reports}
    unreached = purged.unreached | without_registry
    forgotten.note(
        ws, {"items": items, "removed": removed, "unreached": unreached, "versions": versions}
    )
    return removed, unreached


def _withdraw_reports(
    project: Project, versions: dict[str, list[str]]
) -> tuple[int, dict[str, str]]:
    """Remove from MLflow what shows the items: how many files, and why where it could not."""
    try:
        return sum(
            withdraw(project.registry, model, [int(named.split()[0]) for named in known])
            for model, known in versions.items()
        ), {}
    except RegistryError as error:
        return 0, {"MLflow": str(error)}


def _workspaces(repository: Workspace) -> list[Workspace]:
    """The repository's own, those of recipes, and worktrees that a scheduled run left."""
    roots = [
        *(repository.state / "workspaces").glob("*/"),
        *(repository.state / "worktrees").glob("*/"),
    ]
    return [repository, *(Workspace(root, repository.state) for root in sorted(roots))]


def _holds(ws: Workspace, hashes: set[str]) -> bool:
    """Whether any table in data/ names one of the items."""
    return any(_names(path, hashes) for path in ws.data.rglob("*.parquet"))


def _names(path: Path, hashes: set[str]) -> bool:
    """Whether a table names one of the items."""
    try:
        table = pl.read_parquet(path, glob=False)
    # damaged: not ours to judge; the next run makes it anew
    except (pl.exceptions.PolarsError, OSError):
        return False
    return any(
        column.is_in(list(hashes)).any()
        for column in table.iter_columns()
        if column.dtype == pl.String
    )


def _empty(ws: Workspace) -> None:
    """Remove what the stages wrote, but for a data set that one of them made, and dvc.lock,
    which names it.
    """
    lock = ws.root / "dvc.lock"
    try:
        stages = read_yaml(lock.read_text(encoding="utf-8"))["stages"].values()
        written = [ws.root / out["path"] for stage in stages for out in stage["outs"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        written = [ws.pairs, ws.quarantine, ws.data / "features", ws.evaluation]
    dataset = (ws.root / ws.params().dataset.path).resolve()
    for path in (*written, *(ws.data / name for name in _BESIDE_STAGES)):
        if path.resolve() != dataset and not dataset.is_relative_to(path.resolve()):
            _remove(path)
    lock.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _versions(project: Project, names: list[str]) -> dict[str, list[str]]:
    """Model -> versions that saw any of the items."""
    found: dict[str, dict[str, None]] = {}
    for name in names:
        for row in lineage.of_item(project, name).runs.iter_rows(named=True):
            if row["versions"]:
                found.setdefault(row["model"], {}).update(
                    dict.fromkeys(row["versions"].split(", "))
                )
    return {model: list(versions) for model, versions in found.items()}
