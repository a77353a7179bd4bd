"""Steps without Prefect: their retries, and what becomes of a question that nobody answers."""

import pytest

from csa.errors import RegistryError, WorkspaceError
from csa.operations import steps
from csa.operations.gate.decide import Proposal
from csa.operations.gate.decision import Decision
from csa.operations.run import nobody
from csa.operations.steps import Step, plainly


def failing(*errors):
    """Work that raises these errors, one a try, and then answers with the number of tries."""
    waiting, tries = list(errors), []

    def work():
        tries.append(None)
        if waiting:
            raise waiting.pop(0)
        return len(tries)

    return work, tries


def test_what_may_pass_is_tried_again_and_no_more_often_than_it_may(monkeypatch):
    monkeypatch.setattr(steps, "PAUSE_SECONDS", 0.001)
    work, _ = failing(OSError(), RegistryError("gone"))
    assert plainly(Step("gate", "gate version 1", work, retries=2)) == 3
    work, tries = failing(OSError(), OSError(), OSError("the last"))
    with pytest.raises(OSError, match="the last"):
        plainly(Step("gate", "gate version 1", work, retries=2))
    assert len(tries) == 3
    for error, retries in ((WorkspaceError("not so"), 2), (OSError(), 0)):
        work, tries = failing(error)
        with pytest.raises(type(error)):
            plainly(Step("gate", "gate version 1", work, retries))
        assert len(tries) == 1


def test_a_promotion_that_needs_a_person_is_refused_where_nobody_is():
    asked = Proposal(Decision("promote", "better"), {"challenger": 3}, approval=True)
    answered = nobody(asked, 5)
    assert answered.decision.verdict == "keep" and not answered.approval
    assert answered.decision.reason == (
        "nobody could be asked; `csa promote 3` does it by hand (better)"
    )
    free = Proposal(Decision("promote", "better"), {"challenger": 3})
    assert nobody(free, 5) is free
