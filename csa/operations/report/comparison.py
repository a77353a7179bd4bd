"""The page that `csa compare --report` writes: two versions from the registry, on the
workspace's held-out pairs.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from csa.core.alignment import load
from csa.features.shards import fingerprint_of_features
from csa.operations.gate.paired import decide
from csa.operations.gate.slices import slices_of
from csa.operations.inspection import compare
from csa.operations.opened import Project
from csa.operations.registry import downloads
from csa.operations.registry.registry import Registry
from csa.operations.registry.versions import Version
from csa.operations.report.run import loaders_of
from csa.operations.runs.items import items_file, keep_items, read_items
from csa.operations.runs.records import read_record
from csa.params.gate import GateParams
from csa.pipeline.held_out import EvaluationData
from csa.pipeline.workspace import Workspace
from csa.report.comparison import BOTH, Side, Versus, comparison
from csa.results.compared import Difference
from csa.storage.files import write_atomic


def write_comparison(ws: Workspace, first: str, second: str, file: Path) -> None:
    """Write the page.

    Args:
        ws: a workspace.
        first, second: version numbers, or the aliases `champion` and `challenger`.
        file: where to.

    Raises:
        InputError: no such version, or they were measured on different queries.
        ArtifactError: what the registry holds of a version is gone or was changed.
    """
    project = Project(ws)
    params, registry = project.params, project.registry
    versions = compare.find(registry, first), compare.find(registry, second)
    tables = (
        downloads.queries_of(registry, versions[0]),
        downloads.queries_of(registry, versions[1]),
    )
    one, other = (
        _side(project, version, table) for version, table in zip(versions, tables, strict=True)
    )
    held_out = EvaluationData(ws).held_out() if ws.pairs.is_file() else None
    same = held_out is not None and {side.run["evaluation_id"] for side in (one, other)} == {
        held_out.evaluation_id
    }
    versus = Versus(
        model=params.model.name,
        sides=(one, other),
        differences=_differences(params.gate, versions, tables),
        slices=_slices(project, tables) if same else [],
        confidence=params.gate.confidence,
        held_out=held_out if same else None,
        loaders=loaders_of(ws, params),
        modalities=tuple(view.modality for view in params.views.values()),
    )
    write_atomic(file, comparison(versus).encode())


def _differences(
    gate: GateParams, versions: tuple[Version, Version], tables: tuple[pl.DataFrame, pl.DataFrame]
) -> dict[str, list[Difference]]:
    """Over both directions, then in each."""
    found = {BOTH: compare.differences(gate, versions, tables)}
    for direction in tables[0]["direction"].unique(maintain_order=True):
        one, other = (table.filter(pl.col("direction") == direction) for table in tables)
        found[direction] = compare.differences(gate, versions, (one, other))
    return found


def _slices(project: Project, tables: tuple[pl.DataFrame, pl.DataFrame]) -> list[dict[str, Any]]:
    """The slices of the gate in which the second version fares worst, by the gate's metric:
    slice, gain, at_most.
    """
    params = project.params
    slices = slices_of(
        read_items(items_file(project.ws, keep_items(project))),
        params.view_names,
        params.gate.slices,
    )
    found: list[dict[str, Any]] = decide(tables[1], tables[0], params.gate, slices).evidence.get(
        "slices", []
    )
    return found


def _side(project: Project, version: Version, queries: pl.DataFrame) -> Side:
    ws = project.ws
    encoders = {
        view: fingerprint_of_features(ws.features(view))
        for view in project.params.views
        if ws.features(view).is_dir()
    }
    askable = version.mapping("encoders") == encoders
    alignment = load(downloads.alignment_file(project.registry, version)) if askable else None
    return Side(
        version.version, version.aliases, queries, _run_of(project.registry, version), alignment
    )


def _run_of(registry: Registry, version: Version) -> dict[str, Any]:
    """The run record of a version: this clone's, else the registry's copy."""
    run_id = version.tags["run_id"]
    if (registry.ws.runs / run_id).is_dir():
        return asdict(read_record(registry.ws, run_id))
    return downloads.run_json(registry, version)
