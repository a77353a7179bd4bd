"""Stage `ingest`: the pairs table."""

from typing import Any

from csa.datasets.ingest import ingest
from csa.datasets.pairs_table import write_pairs
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace


def ingest_stage(ws: Workspace) -> dict[str, Any]:
    """Read and check the data set; write the pairs table and what was set aside."""
    result = ingest(Params.load(ws.params_file), ws.root)
    write_pairs(result.pairs, ws.pairs)
    write_pairs(result.quarantine, ws.quarantine)
    return {"pairs": len(result.pairs), "quarantined": len(result.quarantine)}
