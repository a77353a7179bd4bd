"""Stage `check`: whether the data may be fitted on."""

from typing import Any

from csa.checks.checks import admit
from csa.checks.data_checks import check_data
from csa.datasets.pairs import read_pairs
from csa.pipeline.data import feature_tables
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_json


def check_stage(ws: Workspace) -> dict[str, Any]:
    """Check that the data may be fitted on; what was found is written even where it may not."""
    params = ws.params()
    first, second = feature_tables(ws, params)
    found = check_data(
        read_pairs(ws.pairs), params.view_names, (first, second), params.anchor_view, params.checks
    )
    write_json(ws.checks, [check.as_dict() for check in found])
    admit(found)
    write_json(ws.admitted, {"admitted": True})
    return {"checks": len(found), "warnings": sum(check.outcome == "warn" for check in found)}
