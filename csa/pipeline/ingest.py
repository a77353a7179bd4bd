"""Stage `ingest`: the pairs table."""

from typing import Any

from csa.datasets.ingest import ingest
from csa.datasets.pairs_table import write_pairs
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_json


def ingest_stage(ws: Workspace) -> dict[str, Any]:
    """Read and check the data set; write the pairs table, what was set aside, and the account."""
    result = ingest(Params.load(ws.params_file), ws.root)
    write_pairs(result.pairs, ws.pairs)
    write_pairs(result.quarantine, ws.quarantine)
    write_json(ws.account, result.account)
    return {"pairs": len(result.pairs), "quarantined": len(result.quarantine)}
