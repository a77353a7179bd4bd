"""The retraining flow: stages, record, publish, register, gate, report.

Prefect sees to order, retries and what a person sees of a run.

What a stage computes, and whether it has to, is DVC's business; Prefect caches nothing.
"""

import os
import sys
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from csa.errors import CSAError, RegistryError
from csa.flows import approval, server, watching
from csa.flows.environment import end_orphaned_servers
from csa.operations.cache import dvc, sharing
from csa.operations.cache.dvc import StageOutcome
from csa.operations.forgetting import forgetting
from csa.operations.gate import decide as promotion
from csa.operations.gate import drift, settled
from csa.operations.gate.decide import Proposal
from csa.operations.gate.paired import Decision
from csa.operations.registry import databases
from csa.operations.registry import versions as registry
from csa.operations.registry.versions import Registered
from csa.operations.report.run import publish_report
from csa.operations.runs import metrics
from csa.operations.runs.locked import only_run
from csa.operations.runs.records import RunRecord, record_run
from csa.operations.runs.result import RetrainResult
from csa.pipeline.workspace import Workspace


def _may_pass(task: Any, run: Any, state: Any) -> bool:
    """Whether trying again can help: errors we raise on purpose come again, a network's or a
    registry's may not.
    """
    error = state.result(raise_on_failure=False)
    return isinstance(error, RegistryError) or not isinstance(error, CSAError)


@task(task_run_name="stage {stage}", cache_policy=NO_CACHE)
def run_stage(ws: Workspace, stage: str) -> StageOutcome:
    """Bring one DVC stage up to date."""
    outcome = sharing.bring_up_to_date(ws, stage)
    print(f"  {stage:<14}{outcome.status} in {outcome.seconds:.1f} s", file=sys.stderr)
    return outcome


@task(
    task_run_name="compare with champion",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=_may_pass,
)
def compare_with_champion(ws: Workspace) -> None:
    """Refuse data that has moved too far from what the champion was fitted on."""
    for check in drift.checks_against_champion(ws):
        if check.outcome == "warn":
            print(f"  note: {check.name}: {check.said} (more than {check.warn:g})", file=sys.stderr)


@task(task_run_name="record", cache_policy=NO_CACHE)
def record(ws: Workspace, stages: list[str]) -> tuple[RunRecord, bool]:
    """Write the run record and enter it into DuckDB."""
    run, new = record_run(ws, stages)
    metrics.publish(ws, run.run_id)
    return run, new


@task(
    task_run_name="register {run.run_id}",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=_may_pass,
)
def register(ws: Workspace, run: RunRecord) -> Registered:
    """Register the alignment in MLflow."""
    return registry.register(ws, run)


@task(
    task_run_name="gate version {version}",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=_may_pass,
)
def gate(ws: Workspace, run: RunRecord, version: int) -> Proposal:
    """Decide whether the version becomes champion."""
    return promotion.propose(ws, run, version, lambda alignment: _queries_of(ws, alignment))


@task(
    task_run_name="conclude",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=_may_pass,
)
def conclude(ws: Workspace, proposal: Proposal) -> Decision:
    """Write the decision down and move the champion."""
    return promotion.conclude(ws, proposal)


@task(
    task_run_name="report version {version}",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=_may_pass,
)
def report(ws: Workspace, run: RunRecord, version: int) -> None:
    """Write the report and log it in MLflow."""
    publish_report(ws, run, version)


@task(task_run_name="show", cache_policy=NO_CACHE)
def show(ws: Workspace, result: RetrainResult) -> None:
    """Put what came of it on the run's page in Prefect; if that fails, the run has not."""
    try:
        watching.show_in_prefect(
            ws, result.outcomes, result.run_id, result.version, result.decision
        )
    except Exception as error:  # whatever a server or its database says
        print(f"  note: no artifacts in Prefect ({type(error).__name__})", file=sys.stderr)


@task(task_run_name="push", cache_policy=NO_CACHE)
def push(ws: Workspace) -> None:
    """Share what was computed; a remote that does not answer is no obstacle."""
    said = sharing.push(ws)
    if said is not None:
        print(f"  push          {said}", file=sys.stderr)


@flow(name="csa-retrain", flow_run_name="{workspace_root}", validate_parameters=False)
def retrain(workspace_root: str) -> RetrainResult:
    """Bring a workspace's model up to date.

    Args:
        workspace_root: the workspace's folder.
    """
    ws = Workspace.find(Path(workspace_root))
    with only_run(ws):
        dvc.ensure_repo(ws)
        stages = dvc.stages(ws)
        stale = dvc.status(ws)
        outcomes = []
        for stage in stages:
            if stale and stage == "check":
                drift.forget_last(ws)
            outcomes.append(
                run_stage(ws, stage) if stale else StageOutcome(stage, "unchanged", 0.0)
            )
            if stale and stage == "check":
                compare_with_champion(ws)
        run, new = record(ws, stages)
        known = settled.recall(ws, run)
        if known is not None:
            result = RetrainResult(outcomes, run.run_id, new, known.version, False, known.decision)
        else:
            registered = register(ws, run)
            proposal = approval.ask(
                gate(ws, run, registered.version), ws.params().gate.approval_seconds
            )
            decision = conclude(ws, proposal)
            settled.remember(ws, run, registered.version, decision)
            result = RetrainResult(
                outcomes, run.run_id, new, registered.version, registered.created, decision
            )
        report(ws, run, result.version)
        show(ws, result)
        push(ws)
        return result


def run_retrain(ws: Workspace, wait: float = 0) -> RetrainResult:
    """Run the flow in this process; call `prepare_environment` first.

    Args:
        ws: whose model to bring up to date.
        wait: seconds to wait for another run to end; by default it is refused at once.

    Raises:
        WorkspaceError: another run is at work in the same state folder.
        CSAError: whatever a stage or an adapter says.
    """
    with only_run(ws, wait), watching.watched(ws) as execution:
        for said in forgetting.carry_out(ws):
            print(f"note: {said}", file=sys.stderr)
        if "PREFECT_API_URL" not in os.environ:
            end_orphaned_servers(ws)
            mended = databases.mend_prefect(ws)
            if mended:
                print(f"note: {mended}", file=sys.stderr)
            print("starting Prefect (about 10 s, the first time 20 s)", file=sys.stderr)
        with server.prefect_at_work(ws), server.slot(wait):
            result = retrain(str(ws.root))
        execution.run_id, execution.version = result.run_id, result.version
        execution.verdict, execution.message = result.decision.verdict, result.decision.reason
        execution.stages = {
            outcome.stage: {"status": outcome.status} for outcome in result.outcomes
        }
        return result


def _queries_of(ws: Workspace, alignment: Path) -> pl.DataFrame:
    from csa.pipeline.evaluate import evaluate_elsewhere

    return evaluate_elsewhere(ws, alignment).queries
