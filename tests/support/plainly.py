"""`csa` without Prefect and with empty figures, for runs of tests that are about neither: a Prefect
server alone takes more processor time than the rest of a small run. `python -m plainly run` is a
process of its own; `VARIABLES` make a fork of `warm.processes()` one.
"""

import os
import sys

from matplotlib.figure import Figure
from undrawn import draw_nothing

VARIABLES = {"CSA_TEST_PLAINLY": "1"}


def leave_out():
    """In this process, from here on."""
    from csa.flows import retrain
    from csa.operations import run, steps

    retrain._under_prefect = lambda project, wait: run.run(project, steps.plainly)
    Figure.savefig = draw_nothing


def leave_out_where_asked():
    """In a new process of `csa run` whose variables ask for it."""
    if sys.argv[:2] == ["csa.cli", "run"] and VARIABLES.items() <= os.environ.items():
        leave_out()


if __name__ == "__main__":
    from csa.cli.entry import main

    leave_out()
    main()
