"""The retraining flow: the steps of `csa.operations.run` as Prefect tasks, and what surrounds them.

Prefect sees to order, retries and what a person sees of a run. What a stage computes, and whether
it has to, is DVC's business; Prefect caches nothing. Prefect takes seconds to import and to start,
so it is imported only where there is something to do.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from csa.flows import server, watching
from csa.flows.environment import end_orphaned_servers
from csa.flows.stage_graph import Followed
from csa.masking import masked_errors
from csa.operations import finished
from csa.operations.forgetting import forgotten
from csa.operations.opened import Project
from csa.operations.registry import databases
from csa.operations.runs.locked import only_run
from csa.operations.runs.result import RetrainResult
from csa.operations.steps import PAUSE_SECONDS, Step, may_pass

T = TypeVar("T")


def run_retrain(project: Project, wait: float = 0) -> RetrainResult:
    """Bring a workspace's model up to date in this process; call `prepare_environment` first.

    Args:
        project: whose model.
        wait: seconds to wait for another run to end; by default it is refused at once.

    Returns:
        What was done.

    Raises:
        WorkspaceError: another run is at work in the same state folder.
        CSAError: whatever a stage or an adapter says.
    """
    with only_run(project.ws, wait), watching.watched(project) as execution:
        _forget(project)
        result = finished.nothing_to_do(project) or _under_prefect(project, wait)
        execution.run_id, execution.version = result.run_id, result.version
        execution.verdict, execution.message = result.decision.verdict, result.decision.reason
        execution.stages = {
            outcome.stage: {"status": outcome.status} for outcome in result.outcomes
        }
        return result


def _forget(project: Project) -> None:
    """Carry out what exclude.csv or the record asks for. It takes polars, DuckDB and more, which
    are not loaded where nothing was ever to be forgotten.
    """
    if forgotten.wanted(project.ws):
        from csa.operations.forgetting import forgetting

        for said in forgetting.carry_out(project):
            print(f"note: {said}", file=sys.stderr)


def _under_prefect(project: Project, wait: float) -> RetrainResult:
    """The run as a flow, on the Prefect server that is named or on one for this process."""
    if "PREFECT_API_URL" not in os.environ:
        end_orphaned_servers(project.ws)
        mended = databases.mend_prefect(project.ws)
        if mended:
            print(f"note: {mended}", file=sys.stderr)
        print("starting Prefect (about 10 s, the first time 20 s)", file=sys.stderr)
    at_work, one_of_ours = server.prefect_at_work(project.ws), server.server_of_a_run(project.ws)
    with at_work, server.slot(wait), one_of_ours:
        return _as_flow(project)


def _as_flow(project: Project) -> RetrainResult:
    """Carry the run out as a flow. Its parameter tells `csa approve` where it works."""
    from prefect import flow

    from csa.flows import approval
    from csa.operations.run import run

    @flow(name=approval.FLOW, flow_run_name="{workspace_root}", validate_parameters=False)
    def retrain(workspace_root: str) -> RetrainResult:
        followed = Followed(_as_task)
        try:
            with masked_errors():
                result = run(project, followed, partial(approval.ask, project.ws))
        except Exception as error:
            _show(partial(watching.show_failure, project, followed.became, str(error)))
            raise
        show = partial(watching.show_in_prefect, project, result)
        _as_task(Step("show", "show", lambda: _show(show)))
        return result

    return retrain(str(project.ws.root))


def _as_task(step: Step[T]) -> T:
    """Carry a step out as a Prefect task."""
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    prepared = task(
        name=step.kind,
        task_run_name=lambda: step.name,
        cache_policy=NO_CACHE,
        retries=step.retries,
        retry_delay_seconds=PAUSE_SECONDS,
        retry_condition_fn=_may_pass,
    )
    result: T = prepared(masked_errors()(step.work))()
    return result


def _may_pass(task: Any, run: Any, state: Any) -> bool:
    """`may_pass`, as Prefect asks it."""
    return may_pass(state.result(raise_on_failure=False))


def _show(put: Callable[[], None]) -> None:
    """Put what came of it on the run's page in Prefect; if that fails, the run has not."""
    try:
        put()
    except Exception as error:  # whatever a server or its database says
        print(f"  note: no artifacts in Prefect ({type(error).__name__})", file=sys.stderr)
