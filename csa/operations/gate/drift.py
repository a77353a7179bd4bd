"""Today's training pairs and unpaired items against the champion, before anything is fitted:
counts, drift, and whether new pairs belong.
"""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from csa.checks.checks import Check, admit
from csa.checks.drift import check_drift, check_new_pairs, check_pool_drift
from csa.checks.profile import Profile
from csa.core.alignment import Alignment, load
from csa.datasets.pairs_table import read_pairs
from csa.errors import ArtifactError
from csa.evaluation.bootstrap import number_groups
from csa.features.shards import FeatureTable, fingerprint_of_features
from csa.operations.opened import Project
from csa.operations.registry import downloads
from csa.operations.registry.versions import Version
from csa.operations.runs.items import read_items
from csa.pipeline.data import PipelineData
from csa.pipeline.profiles import pool_profiles
from csa.pipeline.workspace import Workspace
from csa.results.fit import FitReport
from csa.storage.files import write_json


def checks_against_champion(project: Project) -> list[Check]:
    """Compare, and keep what was found in the state folder; nothing where there is no champion, or
    none that compares.

    Raises:
        RefusedError: a check refuses.
    """
    ws, champion = project.ws, project.registry.champion()
    if champion is None:
        return []
    report = _report(project, champion)
    if report is None or report.profile is None or not _same_encoders(project, champion):
        _keep(
            ws,
            champion,
            [],
            "the champion's encoders are others, or it was fitted by an older version",
        )
        return []
    alignment = load(downloads.alignment_file(project.registry, champion))
    views, limits = project.params.view_names, project.params.checks
    tables = {view: FeatureTable.read(ws.features(view)) for view in views}
    pairs = read_pairs(ws.pairs)
    train = pairs.filter(pl.col("split") == "train")
    now = Profile.of(alignment, *_features(train, tables), number_groups(train["group"]))
    checks = check_drift(Profile.of_record(report.profile), now, views, limits)
    new = _new_pairs(project, champion, alignment, pairs, tables)
    checks += [new] if new else []
    if report.unpaired_profiles is not None:
        known = report.unpaired_profiles
        for view, pool in pool_profiles(PipelineData(project.ws), alignment).items():
            if view in known:
                before = Profile.of_record(known[view])
                checks += check_pool_drift(before, pool, view, limits)
    _keep(ws, champion, checks, "")
    admit(checks)
    return checks


def forget_last(ws: Workspace) -> None:
    """Remove what an earlier run found, before other data is looked at."""
    ws.drift.unlink(missing_ok=True)


def _new_pairs(
    project: Project,
    champion: Version,
    alignment: Alignment,
    pairs: pl.DataFrame,
    tables: dict[str, FeatureTable],
) -> Check | None:
    """The check of training pairs the champion has never seen, by held-out pairs it has never
    seen either.
    """
    try:
        known = read_items(downloads.items_of(project.registry, champion))
    except (ArtifactError, KeyError):
        return None
    hashes = [f"{view}_hash" for view in tables]
    new = pairs.filter(pl.col("split") == "train").join(known, on=hashes, how="anti")
    held_out = known.filter(pl.col("split") == "test")
    true = pairs.filter(pl.col("split") == "test").join(held_out, on=hashes, how="semi")
    if new.is_empty() or true.is_empty():
        return None
    scores = [alignment.score_pairs(*_features(part, tables)) for part in (true, new)]
    groups = [number_groups(part["group"]) for part in (true, new)]
    return check_new_pairs(scores[0], groups[0], scores[1], groups[1], project.params.checks)


def _features(
    pairs: pl.DataFrame, tables: dict[str, FeatureTable]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    first, second = (table.rows(pairs[f"{view}_hash"].to_list()) for view, table in tables.items())
    return first, second


def _same_encoders(project: Project, champion: Version) -> bool:
    known = champion.mapping("encoders")
    return all(
        known.get(v) == fingerprint_of_features(project.ws.features(v))
        for v in project.params.view_names
    )


def _report(project: Project, champion: Version) -> FitReport | None:
    """The champion's fit.json, from its run record or the registry; None if neither has one of
    this version.
    """
    run_id = champion.tags.get("run_id", "")
    try:
        return downloads.kept_fit_report(project.registry, run_id, champion)
    except ArtifactError:
        return None


def _keep(ws: Workspace, champion: Version, checks: list[Check], why_not: str) -> None:
    facts = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "champion": champion.version,
        "refused": any(check.outcome == "refuse" for check in checks),
        "checks": [check.as_dict() for check in checks],
        "not_compared": why_not,
    }
    write_json(ws.drift, facts)
