"""A run in this process, without Prefect and with empty figures, for tests that are about none of
these: the stages are processes of DVC's as ever, and what a run imports is imported already.
"""

import pytest
import warm
from matplotlib.figure import Figure
from undrawn import draw_nothing

from csa.operations.inspection.summary import summary_json
from csa.operations.opened import Project
from csa.operations.run import run
from csa.operations.runs.locked import only_run


def run_here(ws):
    """Bring a workspace up to date; what `csa run --json` would print."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        patch.setattr(Figure, "savefig", draw_nothing)
        project = Project(ws)
        with only_run(ws), warm.processes():
            return summary_json(project, run(project))
