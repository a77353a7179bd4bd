"""A person's yes or no before a promotion: the flow pauses in Prefect, and `csa approve` or the
run's page there answers.

No answer in time is a no. The answer is part of the decision, so a later run does not ask again.
The question outlives the run that asked (`csa.operations.gate.asked`).
"""

import getpass
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import FlowPauseTimeout, PrefectException
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Crashed
from pydantic import Field

from csa.errors import WorkspaceError
from csa.flows.server import prefect_at_work, server_of_a_run
from csa.operations.gate import asked
from csa.operations.gate.decide import Proposal
from csa.pipeline.workspace import Workspace

FLOW = "csa-retrain"
_POLL_SECONDS = 2
_PAUSING_SECONDS = 20


class Approval(RunInput):
    """The form on the run's page in Prefect."""

    approve: bool = Field(
        default=False, description="yes: the challenger becomes champion; no: the champion stays"
    )
    by: str = Field(default="someone in Prefect", description="who decides, for the ledger")
    reason: str = Field(default="", description="why, for the ledger")


@dataclass(frozen=True)
class Waiting:
    """A promotion that waits for a person.

    Attributes:
        workspace: folder of the workspace whose run asked.
        until: when its patience ends, UTC, ISO 8601; None where that is not known.
        flow_run: id in Prefect of the run.
        ended: whether that run has ended, so that the next one takes the answer.
    """

    workspace: str
    until: str | None
    flow_run: str
    ended: bool = False


def ask(ws: Workspace, proposal: Proposal, seconds: int) -> Proposal:
    """Pause the flow that this is called from until a person answers; a proposal that needs nobody
    is returned as it is, and one that was answered after the run that asked had ended is not asked
    again.

    Args:
        ws: the workspace.
        proposal: what the gate would do.
        seconds: how long to wait.

    Returns:
        The proposal: as it was where it needs nobody, else approved or refused by a person, or
        refused because nobody answered in time.
    """
    if not proposal.approval or proposal.question is None:
        return proposal
    question, reason = proposal.question, proposal.decision.reason
    known = asked.take(ws, question)
    if known is not None:
        return _answered(proposal, known)
    _give_up_earlier(ws)
    version = question["challenger"]
    print(
        f"csa: {question['model']}: version {version} waits for a person ({reason}); `csa "
        f"approve` or `csa approve --no` in "
        f"another terminal, within {seconds} s",
        file=sys.stderr,
    )
    form = Approval.with_initial_data(
        description=f"**{question['model']} version {version}**, champion is "
        f"{question['from'] or 'none'}: {reason}",
        approve=False,
    )
    until = _moment(datetime.now(UTC) + timedelta(seconds=seconds))
    with asked.waiting(ws, asked.Asked(str(ws.root), question, str(flow_run.id), until)):
        try:
            said = pause_flow_run(wait_for_input=form, timeout=seconds, poll_interval=_POLL_SECONDS)
        except FlowPauseTimeout:
            return proposal.refused(
                f"nobody approved within {seconds} s; `csa promote {version}` does it by hand "
                f"({reason})"
            )
    return _answered(proposal, asked.Answer(said.approve, said.by, said.reason))


def _answered(proposal: Proposal, answer: asked.Answer) -> Proposal:
    why = f" ({answer.reason.strip()})" if answer.reason.strip() else ""
    if answer.approve:
        return proposal.approved(f"{answer.by}{why}")
    numbers = proposal.decision.reason
    return proposal.refused(f"not approved by {answer.by}{why}; the numbers said {numbers}")


def _give_up_earlier(ws: Workspace) -> None:
    """Tell Prefect of the run that asked before and has ended: it knows it as waiting."""
    before = asked.kept(ws)
    if before is not None:
        state: State[Any] = Crashed(
            message="The run ended while it waited for a person; a later one asks."
        )
        # another server, or one whose database is gone
        with suppress(PrefectException, httpx.HTTPError), get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(before.flow_run), state, force=True)


def waiting(ws: Workspace) -> list[Waiting]:
    """The promotions that wait for a person: in this state folder, and at the Prefect server that
    is named, if any.

    Args:
        ws: any workspace of the state folder.

    Returns:
        Those that wait, by their time.
    """
    here = []
    for name in asked.workspaces(ws):
        one = asked.kept(ws, name)
        if one is not None and one.answer is None:
            ended = not asked.run_waits(ws, name)
            here.append(Waiting(one.workspace, one.until, one.flow_run, ended))
    known = {one.flow_run for one in here}
    there: list[Waiting] = []
    if "PREFECT_API_URL" in os.environ:
        with prefect_at_work(ws):
            there = _paused()
    found = [*here, *(one for one in there if one.flow_run not in known)]
    return sorted(found, key=lambda one: one.until or "")


def _paused() -> list[Waiting]:
    """The runs that Prefect knows as paused."""
    wanted = {
        "flows": {"name": {"any_": [FLOW]}},
        "flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}},
        "limit": 200,
    }
    with get_client(sync_client=True) as client:
        # Not client.read_flow_runs: it sends null for what is left out, which a server beside a
        # newer FastAPI refuses (422).
        runs = client.request(
            "POST", "/flow_runs/filter", json=wanted | {"sort": "START_TIME_ASC"}
        ).json()
    found = []
    for run in runs:
        until = (run["state"] or {}).get("state_details", {}).get("pause_timeout")
        if until is None or datetime.fromisoformat(until) > datetime.now(UTC):
            limit = None if until is None else _moment(datetime.fromisoformat(until))
            found.append(Waiting(str(run["parameters"].get("workspace_root")), limit, run["id"]))
    return found


def _moment(when: datetime) -> str:
    """ISO 8601, to the second."""
    return f"{when:%Y-%m-%dT%H:%M:%S%z}"


def answer(ws: Workspace, approve: bool, reason: str) -> Waiting:
    """Answer the run that waits in a workspace; where it has ended, its next run.

    Args:
        ws: the workspace.
        approve: yes or no.
        reason: why, for the ledger.

    Returns:
        What was answered.

    Raises:
        InputError: nothing waits there.
        WorkspaceError: Prefect did not take the answer.
    """
    given = asked.Answer(approve, getpass.getuser(), reason)
    question = asked.kept(ws)
    if question is not None and not asked.run_waits(ws):
        asked.give(ws, question, given)
        return Waiting(question.workspace, question.until, question.flow_run, ended=True)
    runs = waiting(ws)
    mine = question.flow_run if question is not None else None
    for one in reversed(runs):  # the last that began
        if one.flow_run == mine or (mine is None and one.workspace == str(ws.root)):
            _resume(ws, one, given)
            return one
    raise asked.nothing_waits(ws, [one.workspace for one in runs])


def _resume(ws: Workspace, one: Waiting, given: asked.Answer) -> None:
    with (
        prefect_at_work(ws),
        server_of_a_run(ws),
        get_client(sync_client=True) as client,
    ):
        deadline = time.monotonic() + _PAUSING_SECONDS
        while True:
            result = client.resume_flow_run(UUID(one.flow_run), run_input=asdict(given))
            if result.status.value == "ACCEPT":
                return
            if time.monotonic() > deadline or not asked.run_waits(ws):
                break
            time.sleep(_POLL_SECONDS)  # it says that it asks before Prefect has paused it
    said = getattr(result.details, "reason", None)
    raise WorkspaceError(
        f"Prefect did not take the answer ({said or result.status.value}); does the run still wait?"
    )
