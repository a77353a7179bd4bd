"""Lineage both ways: from a model down to data, code, parameters and environment; from an item
up to every model that saw it.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from csa.datasets.pairs_table import read_pairs, read_written
from csa.datasets.roots import dataset_root
from csa.errors import ArtifactError, InputError
from csa.operations.ledger import team_ledger
from csa.operations.opened import Project
from csa.operations.registry import downloads
from csa.operations.registry.registry import Registry
from csa.operations.registry.versions import CHALLENGER, CHAMPION, Version
from csa.operations.registry.vouched import vouch
from csa.operations.runs.items import UNPAIRED, items_file, read_items, run_items
from csa.operations.runs.records import RunRecord, file_sha256, read_record, recorded_runs

_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>.+)|/(?P<number>\d+))")
_RUN_ID = re.compile(r"[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ALIASES = (CHAMPION, CHALLENGER)
_SEEN_AS = {"training": "train", "held_out": "test", "unpaired": UNPAIRED}


def names_a_model(name: str) -> bool:
    """Whether `name` is one of a model: models:/NAME@ALIAS, models:/NAME/VERSION, an alias, a
    version number or a run id.
    """
    return bool(
        name in _ALIASES or name.isdecimal() or _URI.fullmatch(name) or _RUN_ID.fullmatch(name)
    )


def of_model(project: Project, name: str) -> dict[str, Any]:
    """What a registered version, or a recorded run, was made from.

    Args:
        project: whose model.
        name: see `names_a_model`.

    Returns:
        Keys and values for a table or JSON: run, encoders, code, data, fit and evaluation.

    Raises:
        InputError: there is no such version or run.
        ArtifactError: its record is gone or damaged.
    """
    ws, registry = project.ws, project.registry
    if _RUN_ID.fullmatch(name):
        if not (ws.runs / name).is_dir():
            raise InputError(f"no run {name} on record; see `csa metrics`")
        run = read_record(ws, name)
        of_run = [v for v in registry.versions(run.model) if v.tags.get("run_id") == name]
        version = of_run[-1] if of_run else None  # the first; a later one has copied its tags
    else:
        version = _version(registry, name)
        run = _record_of(registry, version)
    return {
        "run": {key: getattr(run, key) for key in ("run_id", "created", "workspace", "model")},
        "registered": None if version is None else _registered(project, run, version),
        "data": _data(project, run, version),
        "labels": _labels(project, run, version),
        "features": {
            view: {"encoder": run.encoders[view], "md5": run.outputs.get(f"data/features/{view}")}
            for view in run.views
        },
        "alignment_sha256": run.alignment_sha256,
        "code": {"git_commit": run.git_commit, "git_dirty": run.git_dirty},
        "params_hash": run.params_hash,
        "params": run.params,
        "environment": run.versions,
    }


@dataclass(frozen=True)
class ItemLineage:
    """Who saw an item.

    Attributes:
        item: as it was asked for.
        found_as: in which columns it was found, such as image or pair_id.
        runs: one row a run that saw it: run_id, created, workspace, model, versions, training and
            held_out (numbers of pairs), and unpaired (1 where it was an item without a partner).
    """

    item: str
    found_as: list[str]
    runs: pl.DataFrame

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"item": self.item, "found_as": self.found_as, "runs": self.runs.to_dicts()}


def of_item(project: Project, item: str) -> ItemLineage:
    """Every run on record, and every registered version of its model, that saw an item, and whether
    as training or held-out.

    Args:
        project: a workspace; runs of all workspaces are looked at.
        item: an image's path, a text, a sha256, a pair's id, or any item as the pairs table names
            it.

    Returns:
        In which columns it was found, and the runs that saw it.
    """
    ws, registry = project.ws, project.registry
    hashes = hashes_of(project, item)
    runs = {run_id: read_record(ws, run_id) for run_id in recorded_runs(ws)}
    versions = {
        model: registry.versions(model)
        for model in {project.model, *(run.model for run in runs.values())}
    }
    rows, found_as, seen = [], set(), {}
    for run_id, (file, facts) in _item_files(registry, runs, versions).items():
        if file not in seen:
            seen[file] = _occurrences(read_items(file), hashes, item)
        columns, counts = seen[file]
        if columns:
            found_as |= columns
            registered = [
                version
                for version in versions.get(facts["model"], [])
                if version.tags.get("run_id") == run_id
            ]
            said = ", ".join(
                " ".join([str(v.version), *sorted(v.aliases)]) for v in reversed(registered)
            )
            rows.append(
                {
                    "run_id": run_id,
                    **facts,
                    "versions": said,
                    **counts,
                }
            )
    schema = dict.fromkeys(("run_id", "created", "workspace", "model", "versions"), pl.String)
    table = pl.DataFrame(rows, schema=schema | dict.fromkeys(_SEEN_AS, pl.Int64))
    return ItemLineage(item, sorted(found_as), table.sort("created", "run_id"))


def _item_files(
    registry: Registry, runs: dict[str, RunRecord], versions: dict[str, list[Version]]
) -> dict[str, tuple[Path, dict[str, str]]]:
    """Run id -> file of its items and what is known of it: recorded runs, and versions that
    teammates registered.
    """
    found, ws = {}, registry.ws
    for run_id, run in runs.items():
        if run.items_sha256 and items_file(ws, run.items_sha256).is_file():
            facts = {"created": run.created, "workspace": run.workspace, "model": run.model}
            found[run_id] = (items_file(ws, run.items_sha256), facts)
    for model, known in versions.items():
        for version in known:
            run_id = version.tags.get("run_id", "")
            if run_id not in found and "items_sha256" in version.tags:
                facts = {"created": version.created, "workspace": "(a teammate's)", "model": model}
                found[run_id] = (downloads.items_of(registry, version), facts)
    return found


def _occurrences(
    items: pl.DataFrame, hashes: set[str], pair_id: str
) -> tuple[set[str], dict[str, int]]:
    """Columns in which an item occurs, and in how many rows of each split."""
    hits = {
        name.removesuffix("_hash"): items[name].is_in(list(hashes))
        for name in items.columns
        if name.endswith("_hash")
    }
    hits["pair_id"] = items["pair_id"] == pair_id
    any_hit = pl.DataFrame(hits).select(pl.any_horizontal(pl.all())).to_series()
    splits = items.filter(any_hit)["split"]
    return (
        {name for name, hit in hits.items() if hit.any()},
        {name: int((splits == split).sum()) for name, split in _SEEN_AS.items()},
    )


def is_hash(name: str) -> bool:
    """Whether `name` is a sha256 in hexadecimal digits."""
    return _SHA256.fullmatch(name) is not None


def hashes_of(project: Project, item: str) -> set[str]:
    """The hashes that an item may have: it may be a hash, a file, a value of the pairs table or
    among the unpaired items, or a text.

    Args:
        project: whose data set, pairs table and unpaired items.
        item: as a person names it.

    Returns:
        Hashes (sha256); empty if nothing is known of the item.
    """
    if is_hash(item):
        return {item}
    found, ws = set(), project.ws
    for folder in (Path(), ws.root, dataset_root(project.params.dataset, ws.root)):
        try:
            if (folder / item).is_file():
                found.add(file_sha256(folder / item))
        except OSError:  # a text that is too long for a file's name
            break
    for file in ws.item_tables:
        known = read_pairs(file) if file == ws.pairs else read_written(file)
        for view in set(project.params.view_names) & set(known.columns):
            found |= set(known.filter(pl.col(view) == item)[f"{view}_hash"].to_list())
    return found or {hashlib.sha256(item.strip().encode()).hexdigest()}


def _version(registry: Registry, name: str) -> Version:
    model, known = registry.model, registry.versions()
    match = _URI.fullmatch(name)
    if match and match["name"] != model:
        raise InputError(
            f"{name}: this workspace's model is {model}; name the other's workspace with -w"
        )
    wanted = (match["alias"] or match["number"]) if match else name
    for version in known:
        if wanted == str(version.version) or wanted in version.aliases:
            return version
    numbers = ", ".join(str(version.version) for version in known) or "none"
    raise InputError(f"{model} has no version or alias {wanted!r}; versions: {numbers}")


def _record_of(registry: Registry, version: Version) -> RunRecord:
    """A version's run record: this state folder's, else the copy that was registered with it."""
    run_id, ws = version.tags.get("run_id", ""), registry.ws
    vouch(registry, version)
    if run_id and (ws.runs / run_id).is_dir():
        return read_record(ws, run_id)
    try:
        return RunRecord(**downloads.run_json(registry, version))
    except TypeError as error:
        raise ArtifactError(
            f"version {version.version}: its run.json is not a run record of this version of csa "
            f"({error})"
        ) from None


def _registered(project: Project, run: RunRecord, version: Version) -> dict[str, Any]:
    lines = team_ledger.meet(project, run.model).history
    moves = [
        line
        for line in lines
        if version.version in (line["to"], line.get("challenger"), line["from"])
    ]
    return {
        "version": version.version,
        "aliases": sorted(version.aliases),
        "created": version.created,
        "mlflow_run": version.mlflow_run,
        "metrics": {
            key: version.tags[key]
            for key in ("r1_forward", "r1_back", "mrr_forward", "mrr_back")
            if key in version.tags
        },
        "ledger": [
            {key: line[key] for key in ("when", "who", "verdict", "from", "to", "reason")}
            for line in moves
        ],
    }


def _data(project: Project, run: RunRecord, version: Version | None) -> dict[str, Any]:
    pairs_md5 = run.outputs["data/pairs.parquet"]
    facts = {
        "dataset": run.params["dataset"],
        "pairs_md5": pairs_md5,
        "items_sha256": run.items_sha256,
        "evaluation_id": run.evaluation_id,
    }
    try:
        items = run_items(project, run.items_sha256, pairs_md5)
    except ArtifactError:
        if version is None or "items_sha256" not in version.tags:
            # a run of an older version: which items it saw was not kept
            return facts | {"pairs": None}
        items = read_items(downloads.items_of(project.registry, version))
    parts = {split: items.filter(pl.col("split") == split) for split in _SEEN_AS.values()}
    unpaired = parts.pop(UNPAIRED)
    return facts | {
        "pairs": {split: len(part) for split, part in parts.items()},
        "groups": {split: part["group"].n_unique() for split, part in parts.items()},
        "items": {view: items[f"{view}_hash"].drop_nulls().n_unique() for view in run.views},
        "unpaired": {view: unpaired[f"{view}_hash"].count() for view in run.views},
    }


def _labels(project: Project, run: RunRecord, version: Version | None) -> list[str]:
    """Names of the encoder's labels that the fit has learned from."""
    report = downloads.kept_fit_report(project.registry, run.run_id, version)
    return (report and report.unpaired and report.unpaired.label_names) or []


def _some(names: list[str]) -> str:
    shown = "; ".join(names[:3])
    return f"{shown} ({len(names):,} in all)" if len(names) > 3 else shown


def text(lineage: dict[str, Any]) -> str:
    """`of_model` for people."""
    run, data, registered = lineage["run"], lineage["data"], lineage["registered"]
    dirty = " with uncommitted changes" if lineage["code"]["git_dirty"] else ""
    lines = [f"{run['model']}  run {run['run_id']}  {run['created']}  workspace {run['workspace']}"]
    if registered:
        aliases = f" ({', '.join(registered['aliases'])})" if registered["aliases"] else ""
        lines.append(
            f"  registered   version {registered['version']}{aliases} on {registered['created']}"
        )
        for line in registered["ledger"]:
            move = f"{line['from'] or 'none'} -> {line['to'] or 'none'}"
            lines.append(
                f"  ledger       {line['when'][:16]}  {line['who']}  {line['verdict']} {move}: "
                f"{line['reason']}"
            )
    pairs = (
        data["pairs"]
        and f"{data['pairs']['train']:,} to train on, {data['pairs']['test']:,} held out"
    )
    lines += [
        f"  data         {data['dataset']['kind']} {data['dataset']['path']}: "
        f"{pairs or 'which items, was not kept'}",
        f"               pairs table {data['pairs_md5'][:12]}, held-out pairs "
        f"{data['evaluation_id'][:12]}",
        *(
            f"  unpaired     {count:,} items of {view}"
            for view, count in data.get("unpaired", {}).items()
            if count
        ),
        *([f"  labels       {_some(lineage['labels'])}"] if lineage["labels"] else []),
        *(
            f"  features     {view}: {facts['encoder']}"
            for view, facts in lineage["features"].items()
        ),
        f"  alignment    {lineage['alignment_sha256'][:12]}",
        f"  code         {lineage['code']['git_commit'][:12]}{dirty}",
        f"  parameters   {lineage['params_hash'][:12]} (all of them with --json)",
        f"  environment  "
        f"{', '.join(f'{name} {version}' for name, version in lineage['environment'].items())}",
    ]
    return "\n".join(lines)
