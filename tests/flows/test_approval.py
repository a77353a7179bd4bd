"""A promotion that waits for a person, in real Prefect: yes, no, and nobody there."""

import threading
import time

import pytest

from csa.errors import InputError
from csa.operations.gate.decide import Proposal
from csa.operations.gate.decision import Decision


@pytest.fixture(scope="module", autouse=True)
def prefect_server():
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


def waiting_run(workspace, seconds):
    """Start a flow that asks, in a thread; returns the thread and where its answer will be."""
    from prefect import flow

    from csa.flows import approval

    proposal = Proposal(
        Decision("promote", "better: mrr +0.1"),
        {"model": "birds", "challenger": 3, "from": 2},
        approval=True,
    )
    got = []

    @flow(name=approval.FLOW, validate_parameters=False)
    def retrain(workspace_root: str) -> None:
        got.append(approval.ask(proposal, seconds))

    thread = threading.Thread(target=retrain, args=(workspace,), daemon=True)
    thread.start()
    return thread, got


def await_question(workspace):
    from csa.flows import approval

    deadline = time.monotonic() + 60
    while not any(one.workspace == workspace for one in approval.waiting()):
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize(("yes", "verdict"), [(True, "promote"), (False, "keep")])
def test_a_persons_answer_decides(yes, verdict):
    from csa.flows import approval

    workspace = f"/somewhere/{yes}"
    thread, got = waiting_run(workspace, 60)
    await_question(workspace)
    with pytest.raises(InputError, match=rf"no run waits for an answer here; waiting: {workspace}"):
        approval.answer("/elsewhere", True, "")
    approval.answer(workspace, yes, "looked at the sheets")
    thread.join(timeout=60)
    decision = got[0].decision
    assert decision.verdict == verdict and not got[0].approval
    assert "looked at the sheets" in decision.reason and "better: mrr +0.1" in decision.reason
    assert not any(one.workspace == workspace for one in approval.waiting())


def test_nobody_there_is_a_no():
    thread, got = waiting_run("/somewhere/else", 3)
    thread.join(timeout=60)
    decision = got[0].decision
    assert (
        decision.verdict == "keep"
        and "nobody approved within 3 s; `csa promote 3` does it by hand" in decision.reason
    )


def test_what_needs_nobody_is_not_asked():
    from csa.flows import approval

    proposal = Proposal(Decision("keep", "a tie"), {"model": "birds", "challenger": 3, "from": 2})
    assert approval.ask(proposal, 5) is proposal
