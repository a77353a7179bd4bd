"""The sequence of a run: stages, check, compare with the champion, record, register, gate,
approval, conclude, remember, report, push.

It is plain code over named steps and knows no Prefect: whoever calls `run` says how a step is
carried out and who is asked before a promotion. The state folder's lock is the caller's.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import polars as pl

from csa.operations import finished
from csa.operations.cache import dvc, leftovers, sharing
from csa.operations.cache.dvc import StageOutcome
from csa.operations.cache.lock import computed_anew
from csa.operations.gate import decide as gate
from csa.operations.gate import drift, settled
from csa.operations.gate.decide import Proposal
from csa.operations.gate.decision import Decision
from csa.operations.inspection import standing_seen
from csa.operations.opened import Project
from csa.operations.registry.registering import register
from csa.operations.report.run import publish_report
from csa.operations.runs import metrics
from csa.operations.runs.records import RunRecord, record_run
from csa.operations.runs.result import RetrainResult
from csa.operations.steps import Runner, Step, plainly

_RETRIES = 2  # of steps that ask MLflow, which may be out of reach for a moment
_CHECK = "check"

Approver = Callable[[Proposal, int], Proposal]
"""Asks a person about a proposal that needs one, for this many seconds, and returns it answered."""


def nobody(proposal: Proposal, seconds: int) -> Proposal:
    """Where no person can be asked, a promotion that needs one is refused.

    Args:
        proposal: what the gate would do.
        seconds: unused; nobody is waited for.

    Returns:
        The proposal; refused where it needs a person.
    """
    if not proposal.approval or proposal.question is None:
        return proposal
    by_hand = f"`csa promote {proposal.question['challenger']}` does it by hand"
    return proposal.refused(f"nobody could be asked; {by_hand} ({proposal.decision.reason})")


def run(project: Project, step: Runner = plainly, ask: Approver = nobody) -> RetrainResult:
    """Bring a workspace's model up to date.

    Args:
        project: whose model; hold its lock.
        step: how a step is carried out.
        ask: who answers where a promotion needs a person.

    Returns:
        What was done.

    Raises:
        CSAError: whatever a stage or an adapter says.
    """
    ws = project.ws
    dvc.ensure_repo(ws)
    leftovers.remove_from_run_cache(ws)
    seen = finished.stamp(ws)
    stages, stale = dvc.stages(ws), dvc.status(ws)
    outcomes = (
        _bring_up_to_date(project, stages, step)
        if stale
        else [StageOutcome(stage, "unchanged", 0.0) for stage in stages]
    )
    _tell_of_rounding(project, outcomes)
    record, new = step(Step("record", "record", lambda: _record(project, stages)))
    with ThreadPoolExecutor(1) as beside:  # DVC takes seconds to say so, and so does MLflow
        current = beside.submit(finished.stamp_if_current, ws) if stale else None
        known = settled.recall(project, record)
        version, created, decision = (
            _settle(project, record, step, ask)
            if known is None
            else (known.version, False, known.decision)
        )
        result = RetrainResult(outcomes, record.run_id, new, version, created, decision)
        page = Step(
            "report",
            f"report version {version}",
            lambda: publish_report(project, record, version),
            _RETRIES,
        )
        step(page)
        seen = seen if current is None else current.result()
    if known is None and project.registry.database is not None:
        standing_seen.look(project)  # MLflow is open; `csa status` need not open it for this
    if step(Step("push", "push", lambda: _push(project))):
        finished.note(project, result, seen)
    return result


def _bring_up_to_date(project: Project, stages: list[str], step: Runner) -> list[StageOutcome]:
    """All stages in their order. What an earlier comparison with the champion found is forgotten
    before the data are checked, and the comparison made again before anything is fitted.
    """

    def bring(names: list[str]) -> list[StageOutcome]:
        works = [(name, partial(_run_stage, project, name)) for name in names]
        return [step(Step("run_stage", f"stage {name}", work)) for name, work in works]

    data, check, fits = _around(stages, _CHECK)
    outcomes = bring(data)
    if check:
        drift.forget_last(project.ws)
        outcomes += bring(check)
        compare = Step(
            "compare_with_champion", "compare with champion", lambda: _compare(project), _RETRIES
        )
        step(compare)
    return outcomes + bring(fits)


def _around(stages: list[str], middle: str) -> tuple[list[str], list[str], list[str]]:
    """The stages before one, that one where the pipeline has it, and those after it."""
    at = stages.index(middle) if middle in stages else len(stages)
    return stages[:at], stages[at : at + 1], stages[at + 1 :]


def _settle(
    project: Project, record: RunRecord, step: Runner, ask: Approver
) -> tuple[int, bool, Decision]:
    """Register a run and let the gate decide: its version, whether that is new, the decision."""
    registered = step(
        Step(
            "register",
            f"register {record.run_id}",
            lambda: register(project.registry, record),
            _RETRIES,
        )
    )
    version = registered.version
    proposal = step(
        Step(
            "gate", f"gate version {version}", lambda: _propose(project, record, version), _RETRIES
        )
    )
    answered = ask(proposal, project.params.gate.approval_seconds)
    decision = step(
        Step("conclude", "conclude", lambda: gate.conclude(project, answered), _RETRIES)
    )
    settled.remember(project, record, version, decision)
    return version, registered.created, decision


def _run_stage(project: Project, stage: str) -> StageOutcome:
    if sys.stderr.isatty():
        print(f"  {stage:<14}running", end="\r", file=sys.stderr, flush=True)
    outcome = sharing.bring_up_to_date(project, stage)
    print(f"  {stage:<13} {outcome.status} in {outcome.seconds:.1f} s", file=sys.stderr)
    return outcome


def _tell_of_rounding(project: Project, outcomes: list[StageOutcome]) -> None:
    """Say why dvc.lock has changed where nobody changed anything."""
    ran = {outcome.stage for outcome in outcomes if outcome.status == "ran"}
    views = [view for view in computed_anew(project.ws) if f"embed@{view}" in ran]
    if views:
        print(
            f"  note: features of {' and '.join(views)} were computed here from what the committed "
            "dvc.lock was computed from, and differ in their last bits, as they do between "
            "processors. `git checkout dvc.lock` and `dvc pull` take the team's",
            file=sys.stderr,
        )


def _compare(project: Project) -> None:
    """Refuse data that have moved too far from what the champion was fitted on."""
    for check in drift.checks_against_champion(project):
        if check.outcome == "warn":
            print(f"  note: {check.name}: {check.said} (more than {check.warn:g})", file=sys.stderr)


def _record(project: Project, stages: list[str]) -> tuple[RunRecord, bool]:
    """Write the run record and enter it into DuckDB."""
    record, new = record_run(project, stages)
    metrics.publish(project.ws, record.run_id)
    return record, new


def _propose(project: Project, record: RunRecord, version: int) -> Proposal:
    def measured(alignment: Path) -> pl.DataFrame:
        from csa.pipeline.evaluate import evaluate_elsewhere

        return evaluate_elsewhere(project.ws, alignment).queries

    return gate.propose(project, record, version, measured)


def _push(project: Project) -> bool:
    """Share what was computed; a remote that does not answer is no obstacle. Says whether all is
    shared.
    """
    pushed = sharing.push(project.ws)
    if pushed.said is not None:
        print(f"  push          {pushed.said}", file=sys.stderr)
    return pushed.shared
