"""A person's yes or no before a promotion: the flow pauses in Prefect, and `csa approve` or the
run's page there answers.

No answer in time is a no. The answer is part of the decision, so a later run does not ask again.
"""

import getpass
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prefect.client.orchestration import get_client
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from csa.errors import InputError, WorkspaceError
from csa.operations.gate.decide import Proposal

FLOW = "csa-retrain"
_POLL_SECONDS = 2


class Approval(RunInput):
    """The form on the run's page in Prefect."""

    approve: bool = Field(
        default=False, description="yes: the challenger becomes champion; no: the champion stays"
    )
    by: str = Field(default="someone in Prefect", description="who decides, for the ledger")
    reason: str = Field(default="", description="why, for the ledger")


@dataclass(frozen=True)
class Waiting:
    """A paused run: its id in Prefect, the workspace it works in, and until when it waits (UTC,
    ISO 8601).
    """

    flow_run: Any
    workspace: str
    until: str | None


def ask(proposal: Proposal, seconds: int) -> Proposal:
    """Pause the flow that this is called from until a person answers; a proposal that needs nobody
    is returned as it is.

    Args:
        proposal: what the gate would do.
        seconds: how long to wait.

    Returns:
        The proposal: as it was where it needs nobody, else approved or refused by a person, or
        refused because nobody answered in time.
    """
    if not proposal.approval or proposal.question is None:
        return proposal
    question, reason = proposal.question, proposal.decision.reason
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
    try:
        answer = pause_flow_run(wait_for_input=form, timeout=seconds, poll_interval=_POLL_SECONDS)
    except FlowPauseTimeout:
        return proposal.refused(
            f"nobody approved within {seconds} s; `csa promote {version}` does it by hand "
            f"({reason})"
        )
    why = f" ({answer.reason.strip()})" if answer.reason.strip() else ""
    if answer.approve:
        return proposal.approved(f"{answer.by}{why}")
    return proposal.refused(f"not approved by {answer.by}{why}; the numbers said {reason}")


def waiting() -> list[Waiting]:
    """The paused runs, oldest first."""
    asked = {
        "flows": {"name": {"any_": [FLOW]}},
        "flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}},
        "limit": 200,
    }
    with get_client(sync_client=True) as client:
        # Not client.read_flow_runs: it sends null for what is left out, which a server beside a
        # newer FastAPI refuses (422).
        runs = client.request(
            "POST", "/flow_runs/filter", json=asked | {"sort": "START_TIME_ASC"}
        ).json()
    found = []
    for run in runs:
        until = (run["state"] or {}).get("state_details", {}).get("pause_timeout")
        if until is None or datetime.fromisoformat(until) > datetime.now(UTC):
            limit = (
                None if until is None else f"{datetime.fromisoformat(until):%Y-%m-%dT%H:%M:%S%z}"
            )
            found.append(Waiting(run["id"], str(run["parameters"].get("workspace_root")), limit))
    return sorted(found, key=lambda one: one.until or "")


def answer(workspace_root: str, approve: bool, reason: str) -> Waiting:
    """Answer the run that waits in a workspace.

    Args:
        workspace_root: the workspace's folder.
        approve: yes or no.
        reason: why, for the ledger.

    Returns:
        The run that was answered.

    Raises:
        InputError: none waits there.
        WorkspaceError: Prefect did not take the answer.
    """
    runs = waiting()
    for one in runs:
        if one.workspace == workspace_root:
            given = {"approve": approve, "by": getpass.getuser(), "reason": reason}
            with get_client(sync_client=True) as client:
                result = client.resume_flow_run(one.flow_run, run_input=given)
            if result.status.value != "ACCEPT":
                said = getattr(result.details, "reason", None)
                raise WorkspaceError(
                    f"Prefect did not take the answer ({said or result.status.value}); does the "
                    f"run still wait?"
                )
            return one
    others = ", ".join(one.workspace for one in runs) or "none"
    raise InputError(f"{workspace_root}: no run waits for an answer here; waiting: {others}")
