"""A promotion that waits for a person, in real Prefect: yes, no, nobody there, and a run that is
ended before the answer comes.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from csa.cli.commands import main
from csa.errors import InputError
from csa.operations.gate import asked
from csa.operations.gate.decide import Proposal
from csa.operations.gate.decision import Decision
from csa.operations.inspection.status import _asked, _asked_text
from csa.pipeline.workspace import Workspace

QUESTION = {"model": "birds", "challenger": 3, "from": 2, "gate": {"seed": 0}}
# The flow that asks, as a process of its own that a test can kill.
ASKS = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_approval
test_approval.ask_in_flow(Path(sys.argv[1]), 600)
"""


@pytest.fixture(scope="module", autouse=True)
def prefect_server():
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def repository(tmp_path):
    (tmp_path / ".dvc").mkdir()
    return tmp_path


def workspace(repository, name):
    return Workspace(repository / name, repository / ".csa")


def proposal():
    return Proposal(Decision("promote", "better: mrr +0.1"), dict(QUESTION), approval=True)


def ask_in_flow(root, seconds):
    from prefect import flow

    from csa.flows import approval

    ws = Workspace(root, root.parent / ".csa")

    @flow(name=approval.FLOW, validate_parameters=False)
    def retrain(workspace_root: str) -> Proposal:
        return approval.ask(ws, proposal(), seconds)

    return retrain(str(root))


def waiting_run(ws, seconds):
    """Start a flow that asks, in a thread; returns the thread and where its answer will be."""
    got = []
    thread = threading.Thread(target=lambda: got.append(ask_in_flow(ws.root, seconds)), daemon=True)
    thread.start()
    return thread, got


def await_question(ws):
    """Until the run waits in Prefect too, which takes the answer from then on."""
    from csa.flows import approval

    deadline = time.monotonic() + 60
    while not any(one.workspace == str(ws.root) for one in approval._paused()):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_an_answer_that_comes_before_prefect_has_paused_is_taken(repository):
    from csa.flows import approval

    ws = workspace(repository, "here")
    thread, got = waiting_run(ws, 60)
    deadline = time.monotonic() + 60
    while asked.kept(ws) is None:
        assert time.monotonic() < deadline
    approval.answer(ws, True, "")
    thread.join(timeout=60)
    assert got[0].decision.verdict == "promote"


@pytest.mark.parametrize(("yes", "verdict"), [(True, "promote"), (False, "keep")])
def test_a_persons_answer_decides(repository, yes, verdict):
    from csa.flows import approval

    ws = workspace(repository, "here")
    thread, got = waiting_run(ws, 60)
    await_question(ws)
    with pytest.raises(InputError, match=rf"no run waits for an answer here; waiting: {ws.root}"):
        approval.answer(workspace(repository, "elsewhere"), True, "")
    assert not approval.answer(ws, yes, "looked at the sheets").ended
    thread.join(timeout=60)
    decision = got[0].decision
    assert decision.verdict == verdict and not got[0].approval
    assert "looked at the sheets" in decision.reason and "better: mrr +0.1" in decision.reason
    assert approval.waiting(ws) == [] and asked.kept(ws) is None


def test_nobody_there_is_a_no(repository):
    ws = workspace(repository, "here")
    thread, got = waiting_run(ws, 3)
    thread.join(timeout=60)
    decision = got[0].decision
    assert (
        decision.verdict == "keep"
        and "nobody approved within 3 s; `csa promote 3` does it by hand" in decision.reason
    )
    assert asked.kept(ws) is None


def test_what_needs_nobody_is_not_asked(repository):
    from csa.flows import approval

    ws = workspace(repository, "here")
    needs_nobody = Proposal(Decision("keep", "a tie"), dict(QUESTION))
    assert approval.ask(ws, needs_nobody, 5) is needs_nobody


@pytest.fixture
def killed(repository):
    """A workspace whose run was killed while it waited."""
    from prefect.settings import PREFECT_API_URL

    ws = workspace(repository, "here")
    code = ASKS.format(tests=str(Path(__file__).parent))
    variables = os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value()}
    process = subprocess.Popen([sys.executable, "-c", code, str(ws.root)], env=variables)
    await_question(ws)
    assert asked.run_waits(ws)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return ws


@pytest.mark.parametrize(("yes", "verdict"), [(True, "promote"), (False, "keep")])
def test_an_answer_after_the_run_was_killed_is_taken_by_the_next(killed, yes, verdict):
    from csa.flows import approval

    assert [one.ended for one in approval.waiting(killed)] == [True]
    assert "version 3 waits for a person; `csa approve`" in _asked_text(_asked(killed))
    assert approval.answer(killed, yes, "looked at the sheets").ended
    assert "version 3 was answered; the next `csa run`" in _asked_text(_asked(killed))
    decision = ask_in_flow(killed.root, 1).decision
    assert decision.verdict == verdict and "looked at the sheets" in decision.reason
    assert "nobody approved within 1 s" in ask_in_flow(killed.root, 1).decision.reason  # once


def test_a_kept_answer_belongs_to_its_question(killed):
    from csa.flows import approval

    approval.answer(killed, True, "")
    other = Proposal(Decision("promote", "better"), QUESTION | {"challenger": 4}, approval=True)
    assert asked.take(killed, other.question) is None
    assert asked.take(killed, QUESTION).approve


def test_the_next_run_asks_again_and_the_answer_is_for_it(killed):
    from csa.flows import approval

    first = asked.kept(killed).flow_run
    thread, got = waiting_run(killed, 60)
    deadline = time.monotonic() + 60
    while first in {one.flow_run for one in approval._paused()} or not asked.run_waits(killed):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    await_question(killed)
    assert not approval.answer(killed, True, "").ended
    thread.join(timeout=60)
    assert got[0].decision.verdict == "promote"


def test_where_nothing_ever_ran_nothing_waits(tmp_path, monkeypatch):
    """And no Prefect is started to find this out."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(main, ["approve", "--list", "--json"])
    assert listed.exit_code == 0 and json.loads(listed.output) == []
    answered = CliRunner().invoke(main, ["approve"])
    assert answered.exit_code == 2 and "no run waits for an answer here" in answered.output
    assert not (tmp_path / ".csa" / "prefect").exists()
