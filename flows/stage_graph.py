"""The stage graph of a run as Mermaid, which Prefect's page draws: what ran, was restored or
failed.
"""

from dataclasses import dataclass, field
from typing import TypeVar

from csa.operations.cache.dvc import StageOutcome, targets
from csa.operations.cache.objects import open_repo
from csa.operations.steps import Runner, Step
from csa.pipeline.workspace import Workspace

T = TypeVar("T")

NOT_REACHED = "not reached"
"""Of a stage that a failed run did not come to."""

_STAGE = "stage "
_COLOURS = {
    "ran": "fill:#1d4ed8,color:#ffffff",
    "restored": "fill:#0f766e,color:#ffffff",
    "unchanged": "fill:#e5e7eb,color:#111827",
    "failed": "fill:#b91c1c,color:#ffffff",
    NOT_REACHED: "fill:#ffffff,color:#6b7280,stroke-dasharray:4",
}


@dataclass(frozen=True)
class Followed:
    """A runner that keeps what became of each stage, also of the one that failed.

    Attributes:
        runner: carries the steps out.
        became: stage -> ran, restored, unchanged or failed, in order.
    """

    runner: Runner
    became: dict[str, str] = field(default_factory=dict)

    def __call__(self, step: Step[T], /) -> T:
        """What the step's work returns."""
        try:
            result = self.runner(step)
        except Exception:
            if step.name.startswith(_STAGE):
                self.became[step.name.removeprefix(_STAGE)] = "failed"
            raise
        if isinstance(result, StageOutcome):
            self.became[result.stage] = result.status
        return result


def needs(ws: Workspace) -> dict[str, set[str]]:
    """Stage -> the stages that it takes something from, of all that a run brings up to date.

    Args:
        ws: whose pipeline.

    Returns:
        As DVC has it; what is needed by way of another needed stage is left out.
    """
    with open_repo(ws) as repo:
        graph, file = repo.index.graph, str(ws.root / "dvc.yaml")
        direct = {
            node.name: {one.name for one in graph.successors(node) if one.path == file}
            for node in graph
            if node.path == file
        }
    upstream = {name: _all_upstream(name, direct) for name in direct}
    wanted = set().union(*({name} | upstream[name] for name in targets(ws)))
    return {
        name: direct[name].difference(*(upstream[one] for one in direct[name]))
        for name in sorted(wanted, key=lambda name: (len(upstream[name]), name))
    }


def mermaid(needed: dict[str, set[str]], became: dict[str, str]) -> str:
    """A stage graph as a block of Mermaid.

    Args:
        needed: stage -> the stages that it needs.
        became: stage -> what became of it.

    Returns:
        Markdown: each stage by its name and what became of it, in the colour of that.

    >>> print(mermaid({"fit": set(), "evaluate": {"fit"}}, {"fit": "restored"}))
    ```mermaid
    flowchart TB
      s0["fit<br>restored"]:::restored
      s1["evaluate<br>not reached"]:::not_reached
      s0 --> s1
      classDef restored fill:#0f766e,color:#ffffff
      classDef not_reached fill:#ffffff,color:#6b7280,stroke-dasharray:4
    ```
    """
    place = {name: f"s{number}" for number, name in enumerate(needed)}
    said = {name: became.get(name, NOT_REACHED) for name in needed}
    boxes = [f'  {place[name]}["{name}<br>{said[name]}"]:::{_class(said[name])}' for name in needed]
    arrows = [
        f"  {place[one]} --> {place[name]}" for name, of in needed.items() for one in sorted(of)
    ]
    colours = [
        f"  classDef {_class(what)} {colour}"
        for what, colour in _COLOURS.items()
        if what in said.values()
    ]
    return "\n".join(["```mermaid", "flowchart TB", *boxes, *arrows, *colours, "```"])


def _class(what: str) -> str:
    return what.replace(" ", "_")


def _all_upstream(name: str, direct: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    rest = set(direct.get(name, ()))
    while rest:
        one = rest.pop()
        if one not in found:
            found.add(one)
            rest |= direct.get(one, set())
    return found
