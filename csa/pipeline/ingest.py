"""Stages `demo` and `ingest`: the built-in data set, and the pairs table."""

from typing import Any

from csa.datasets.ingest import ingest
from csa.datasets.openmoji import build_demo
from csa.datasets.pairs import write_pairs
from csa.pipeline.workspace import Workspace


def demo_stage(ws: Workspace) -> dict[str, Any]:
    """Render the built-in data set into data/openmoji."""
    return {"images": build_demo(ws.data / "openmoji", ws.params().dataset.language)}


def ingest_stage(ws: Workspace) -> dict[str, Any]:
    """Read and check the data set; write the pairs table and what was set aside."""
    result = ingest(ws.params(), ws.root)
    write_pairs(result.pairs, ws.pairs)
    write_pairs(result.quarantine, ws.quarantine)
    return {"pairs": len(result.pairs), "quarantined": len(result.quarantine)}
