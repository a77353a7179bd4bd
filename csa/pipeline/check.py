"""Stage `check`: whether the data may be fitted on."""

from typing import Any

import polars as pl

from csa.checks.checks import admit
from csa.checks.data_checks import check_data, check_pool
from csa.params.checks import ChecksParams
from csa.pipeline.data import PipelineData
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_json


def check_stage(ws: Workspace) -> dict[str, Any]:
    """Check that the data may be fitted on; what was found is written even where it may not."""
    data = PipelineData(ws)
    params = data.params
    limits: ChecksParams = params.checks
    checks = check_data(
        data.pairs, params.view_names, data.feature_tables, params.anchor_view, limits
    )
    test = data.pairs.filter(pl.col("split") == "test")
    for view in params.view_names:
        pool = data.unpaired(view)
        if pool is not None:
            held_out = test[f"{view}_hash"].unique().sort().to_list()
            checks.append(check_pool(view, held_out, data.features(view), pool, limits))
    write_json(ws.checks, [check.as_dict() for check in checks])
    admit(checks)
    write_json(ws.admitted, {"admitted": True})
    return {"checks": len(checks), "warnings": sum(check.outcome == "warn" for check in checks)}
