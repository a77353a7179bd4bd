"""The gate: whether a challenger becomes champion, decided on the same held-out queries, and
written down with its reason.

MLflow keeps no history of who was champion, so every decision is a line of an append-only ledger. A
champion that has seen some of today's held-out pairs in training looks better than it is; such an
error can only keep it, never promote a worse challenger.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from csa.core.alignment import load
from csa.errors import ArtifactError
from csa.operations.forgetting import forgotten
from csa.operations.gate.decision import Decision, already_champion
from csa.operations.gate.first import decide_first
from csa.operations.gate.paired import decide
from csa.operations.gate.series import Terms, held_out_sketch, number_in_series
from csa.operations.gate.slices import slices_of
from csa.operations.gate.soundness import objection, over_limits
from csa.operations.ledger import champion as champions
from csa.operations.ledger import counted, team_ledger
from csa.operations.opened import Project
from csa.operations.registry import downloads, vouched
from csa.operations.registry.versions import Version
from csa.operations.runs.items import read_items, run_items
from csa.operations.runs.records import RunRecord, file_sha256
from csa.pipeline.workspace import Workspace
from csa.results.fit import FitReport

Reevaluate = Callable[[Path], pl.DataFrame]

# Drawing other subsets of the same pairs is the same question.
_NO_OTHER_QUESTION = ("seed", "bootstrap")


@dataclass(frozen=True)
class Proposal:
    """What the gate would do.

    Attributes:
        decision: verdict, reason, numbers.
        question: what was asked, as the ledger keeps it; None if there is nothing to write,
            because it was decided before.
        approval: whether a person has to agree first.
    """

    decision: Decision
    question: dict[str, Any] | None
    approval: bool = False

    def refused(self, reason: str) -> "Proposal":
        """The same, kept off by a person or for want of one."""
        return replace(
            self, decision=replace(self.decision, verdict="keep", reason=reason), approval=False
        )

    def approved(self, by: str) -> "Proposal":
        """The same, with who agreed."""
        return replace(
            self,
            decision=replace(self.decision, reason=f"{self.decision.reason}; approved by {by}"),
            approval=False,
        )


def propose(project: Project, run: RunRecord, version: int, reevaluate: Reevaluate) -> Proposal:
    """Decide on a registered run; moves nothing but what an earlier call, or a person in MLflow,
    left unfinished or unsaid.

    The same run against the same champion is decided once.

    Args:
        project: the challenger's.
        run: the challenger's record.
        version: the version it is registered as.
        reevaluate: takes an alignment's file, returns its per-query table on this workspace's
            held-out pairs.

    Returns:
        What the gate would do.

    Raises:
        ArtifactError: the challenger's own record is damaged, or the ledger is.
    """
    for note in champions.reconcile(project):
        print(f"csa: {run.model}: {note}", file=sys.stderr)
    champion = project.registry.champion()
    if champion is not None and champion.version == version:
        return Proposal(already_champion(version), None)
    undone = _undone(project.ws, run.model, version)
    if undone is not None:
        return Proposal(undone, None)
    question = {
        "model": run.model,
        "run_id": run.run_id,
        "from": champion.version if champion else None,
        "challenger": version,
        "gate": project.params.gate.model_dump(mode="json"),
    }
    known = _decided_before(project.ws, question)
    if known is not None:
        return Proposal(known, None)
    decision = _Contest(project, run, champion, reevaluate).decide(
        project.registry.version(version)
    )
    refusal = counted.objection(project.ws) if decision.verdict == "promote" else None
    if refusal is not None:  # nothing is written: whoever may promote is asked the same question
        return Proposal(Decision("keep", f"{decision.reason}, but {refusal}"), None)
    asks = project.params.gate.approval and decision.verdict == "promote"
    return Proposal(decision, question, approval=asks)


def conclude(project: Project, proposal: Proposal) -> Decision:
    """Write the decision to the ledger and move the alias `champion` accordingly, in that order: a
    kill between the two is made good by the next call of the gate.

    Args:
        project: the challenger's.
        proposal: from `propose`, answered where it needs a person.

    Returns:
        The decision.

    Raises:
        ValueError: a person has not been asked yet.
    """
    if proposal.approval:
        raise ValueError("this proposal needs an answer first; see csa.flows.approval")
    question, decision = proposal.question, proposal.decision
    if question is None or _decided_before(project.ws, question) is not None:
        return decision
    line = {
        **question,
        "to": question["challenger"] if decision.verdict == "promote" else question["from"],
        **asdict(decision),
    }
    if decision.verdict == "promote":
        champions.reconcile(project)  # a first try may have been cut off after its line was written
        champion = project.registry.champion()
        if champion is None or champion.version != question["challenger"]:
            champions.move(project, line)
    else:
        team_ledger.append(project, line)
    return decision


def _undone(ws: Workspace, model: str, version: int) -> Decision | None:
    """The decision on a version that someone rolled back: the gate's numbers were known then, so
    they do not bring it back.
    """
    for line in reversed(counted.history(ws, model)):
        if line["verdict"] in ("promote", "outside", "repair") and line["to"] == version:
            return None
        if line["verdict"] == "rollback" and line["from"] == version:
            return Decision(
                "keep",
                f"version {version} was rolled back by {line['who']} on {line['when'][:10]} "
                f"({line['reason']}); `csa promote {version}` would bring it back",
            )
    return None


def _decided_before(ws: Workspace, question: dict[str, Any]) -> Decision | None:
    """The ledger's refusal of this very question. A promotion does not count: if its champion
    stands no more, someone has since gone back to the older one, and the question is asked anew."""
    for line in reversed(counted.history(ws, question["model"])):
        if line["verdict"] == "keep" and _asked(line) == _asked(question):
            return Decision(**{key: line[key] for key in Decision.__dataclass_fields__})
    return None


def _asked(line: dict[str, Any]) -> dict[str, Any]:
    """What a line, or a question, asks."""
    kept = {key: line.get(key) for key in ("model", "run_id", "from", "challenger")}
    gate = line["gate"]
    if isinstance(gate, dict):
        gate = {key: value for key, value in gate.items() if key not in _NO_OTHER_QUESTION}
    return kept | {"gate": gate}


@dataclass(frozen=True)
class _Contest:
    """A challenger's run against the champion, None if there is none yet."""

    project: Project
    run: RunRecord
    champion: Version | None
    reevaluate: Reevaluate

    def decide(self, challenger: Version) -> Decision:
        """Files, split, limits, then the comparison; the first objection decides."""
        project, run = self.project, self.run
        queries = _recorded_queries(project.ws, run.run_id, run.queries_sha256)
        if queries is None:
            raise ArtifactError(
                f"{project.ws.runs / run.run_id}: its queries.parquet is missing or damaged; "
                f"delete it and run `csa run` again"
            )
        pairs = project.ws.pairs.relative_to(project.ws.root).as_posix()
        items = run_items(project, run.items_sha256, run.outputs[pairs])
        evidence = {
            "evaluation_id": run.evaluation_id,
            "challenger": vouched.evidence(challenger),
            "champion": vouched.evidence(self.champion) if self.champion else None,
            "searched": _searched(project.ws, run),
            "held_out": held_out_sketch(items, run.views),
        }
        if not vouched.is_of(challenger, run):
            said = f"version {challenger.version} was registered with other hashes"
            return Decision("keep", f"edited record: {said}")
        try:
            size = downloads.verify_model(project.registry, challenger)
            alignment = downloads.alignment_file(project.registry, challenger)
        except ArtifactError as error:
            return Decision("keep", f"edited artifact: {error}", evidence=evidence)
        refusal = objection(run, items, queries, load(alignment))
        measured: dict[str, Any] = {}
        if refusal is None:
            refusal, measured = over_limits(alignment, size, project.params.gate)
        if refusal is not None:
            return Decision("keep", refusal, evidence=evidence | measured)
        gate = project.params.gate
        past = counted.history(project.ws, run.model)
        number = number_in_series(past, evidence, gate.metric)
        slices = slices_of(items, run.views, gate.slices)
        decision = (
            decide_first(queries, items, run.views, gate)
            if self.champion is None
            else self._compare(queries, slices, number, self.champion)
        )
        return replace(
            decision, evidence=evidence | measured | {"number": number} | decision.evidence
        )

    def _compare(
        self, queries: pl.DataFrame, slices: pl.DataFrame, number: int, champion: Version
    ) -> Decision:
        gate = self.project.params.gate
        try:
            vouched.vouch(self.project.registry, champion)
        except ArtifactError as error:
            return Decision("keep", f"the champion is not what it was: {error}")
        terms = Terms(number, _must_go(self.project, champion))
        if champion.tags.get("evaluation_id") == self.run.evaluation_id:
            stored = _stored_queries(self.project, champion)
            if stored is not None:
                return decide(queries, stored, gate, slices, terms)
        differing = _what_differs(self.run, champion)
        if differing:
            return Decision(
                "keep",
                f"not comparable with version {champion.version}: the held-out pairs or their "
                f"results differ, and so does {' and '.join(differing)}, so it cannot be measured "
                f"on today's; promote by hand if you are sure",
            )
        measured = self.reevaluate(downloads.alignment_file(self.project.registry, champion))
        return decide(queries, measured, gate, slices, terms)


def _searched(ws: Workspace, run: RunRecord) -> dict[str, Any] | None:
    """Which road a run's fit took to its choices; None if it does not say."""
    try:
        searched = FitReport.read(ws.runs / run.run_id / "fit.json").searched
    except ArtifactError:
        return None
    return None if searched is None else searched.as_dict()


def _what_differs(run: RunRecord, champion: Version) -> list[str]:
    """Why a champion cannot be measured on a run's held-out pairs; empty if it can."""
    encoders = champion.mapping("encoders")
    differing = [
        f"the encoder of {view}"
        for view, fingerprint in run.encoders.items()
        if encoders.get(view) != fingerprint
    ]
    if champion.tags.get("data_rule") != run.data_rule:
        differing.append("the data set or its split")
    return differing


def _must_go(project: Project, champion: Version) -> str | None:
    """Why a champion should not stay: it was fitted on items that are to be forgotten."""
    try:
        items = read_items(downloads.items_of(project.registry, champion))
    # gone, changed, or a version that someone registered without us
    except (ArtifactError, KeyError):
        return None
    held = forgotten.trained_on(project.ws, items)
    return (
        f"version {champion.version} was fitted on items that are to be forgotten ({held})"
        if held
        else None
    )


def _stored_queries(project: Project, champion: Version) -> pl.DataFrame | None:
    """The champion's per-query table from its run record, else from the registry; None when
    neither holds the right one.
    """
    recorded = _recorded_queries(
        project.ws, champion.tags.get("run_id", ""), champion.tags.get("queries_sha256", "")
    )
    if recorded is not None:
        return recorded
    try:
        return downloads.queries_of(project.registry, champion)
    # gone, changed, or a version that someone registered without us
    except (ArtifactError, KeyError):
        return None


def _recorded_queries(ws: Workspace, run_id: str, sha256: str) -> pl.DataFrame | None:
    path = ws.runs / run_id / "queries.parquet"
    return (
        pl.read_parquet(path, glob=False)
        if path.is_file() and file_sha256(path) == sha256
        else None
    )
