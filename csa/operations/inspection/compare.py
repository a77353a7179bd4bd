"""Two registered versions, query by query on the held-out pairs that both were measured on."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from csa.errors import InputError
from csa.evaluation.retrieval import QUERY_METRICS
from csa.operations.gate.paired import decide
from csa.operations.opened import Project
from csa.operations.registry import downloads
from csa.operations.registry.registry import Registry
from csa.operations.registry.versions import Version
from csa.params.gate import GateParams
from csa.results.compared import Difference

_MOST_DIGITS = 18  # of the number of a version


@dataclass(frozen=True)
class Comparison:
    """Paired differences of two versions.

    Attributes:
        differences: metric by metric, over both directions.
        queries: how many were compared.
    """

    first: int
    second: int
    differences: list[Difference]
    queries: int

    @property
    def table(self) -> pl.DataFrame:
        """The differences, a row each."""
        return pl.DataFrame(self.differences)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "queries": self.queries,
            "metrics": [row.as_dict() for row in self.differences],
        }


def compare(project: Project, first: str, second: str) -> Comparison:
    """Compare two versions of the workspace's model.

    Args:
        project: whose model.
        first, second: version numbers, or the aliases `champion` and `challenger`.

    Returns:
        The differences, metric by metric.

    Raises:
        InputError: no such version, or they were measured on different queries.
        ArtifactError: a per-query table is gone from the registry, or is another one.
    """
    registry = project.registry
    versions = find(registry, first), find(registry, second)
    tables = (
        downloads.queries_of(registry, versions[0]),
        downloads.queries_of(registry, versions[1]),
    )
    return Comparison(
        versions[0].version,
        versions[1].version,
        differences(project.params.gate, versions, tables),
        len(tables[0]),
    )


def differences(
    gate: GateParams, versions: tuple[Version, Version], tables: tuple[pl.DataFrame, pl.DataFrame]
) -> list[Difference]:
    """For each metric both means over the directions, second minus first, and its interval.

    Args:
        gate: how the bootstrap is done.
        versions: the two.
        tables: what each was measured to be, query by query.

    Returns:
        One a metric.

    Raises:
        InputError: the tables are not of the same queries.
    """
    rows = []
    for metric in QUERY_METRICS:
        decision = decide(
            tables[1],
            tables[0],
            gate.model_copy(update={"metric": metric, "margin": 0.0}),
        )
        if decision.gain is None or decision.low is None or decision.high is None:
            raise InputError(
                f"versions {versions[0].version} and {versions[1].version}: {decision.reason}"
            )
        first, second = (
            float(table.group_by("direction").agg(pl.col(metric).mean())[metric].to_numpy().mean())
            for table in tables
        )
        rows.append(Difference(metric, first, second, decision.gain, decision.low, decision.high))
    return rows


def find(registry: Registry, name: str) -> Version:
    """The version called by its number or by an alias.

    Args:
        registry: of a model.
        name: 1, 2, ..., or champion or challenger.

    Returns:
        The version.

    Raises:
        InputError: there is none.
    """
    if name.isdecimal() and len(name) <= _MOST_DIGITS:
        return registry.version(int(name))
    for version in registry.versions():
        if name in version.aliases:
            return version
    raise InputError(f"{registry.model} has no version or alias {name[:80]!r}; see `csa models`")
