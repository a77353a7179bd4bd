"""The gate: whether a challenger becomes champion, decided on the same held-out queries, and
written down with its reason.

MLflow keeps no history of who was champion, so every decision is a line of an append-only ledger. A
champion that has seen some of today's held-out pairs in training looks better than it is; such an
error can only keep it, never promote a worse challenger.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from csa.core.alignment import load
from csa.errors import ArtifactError
from csa.operations.forgetting import forgotten
from csa.operations.gate.paired import Decision, decide
from csa.operations.gate.slices import slices_of
from csa.operations.gate.soundness import objection, over_limits
from csa.operations.ledger import champion as champions
from csa.operations.ledger import ledger, team_ledger
from csa.operations.registry import downloads
from csa.operations.registry import versions as registry
from csa.operations.registry.versions import Version
from csa.operations.runs.items import read_items, run_items
from csa.operations.runs.records import RunRecord, file_sha256
from csa.params.gate import GateParams
from csa.pipeline.workspace import Workspace

Reevaluate = Callable[[Path], pl.DataFrame]


@dataclass(frozen=True)
class Proposal:
    """What the gate would do.

    Attributes:
        decision: verdict, reason, numbers.
        question: what was asked, as the ledger keeps it; None where there is nothing to write,
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


def already_champion(version: int) -> Decision:
    """The decision where there is nothing to decide."""
    return Decision("keep", f"version {version} is the champion already")


def gate(ws: Workspace, run: RunRecord, version: int, reevaluate: Reevaluate) -> Decision:
    """Decide on a registered run and carry the decision out: `propose`, then `conclude`, for a
    gate that asks nobody.
    """
    return conclude(ws, propose(ws, run, version, reevaluate))


def propose(ws: Workspace, run: RunRecord, version: int, reevaluate: Reevaluate) -> Proposal:
    """Decide on a registered run; moves nothing but what an earlier call, or a person in MLflow,
    left unfinished or unsaid.

    The same run against the same champion is decided once.

    Args:
        ws: the challenger's workspace.
        run: the challenger's record.
        version: the version it is registered as.
        reevaluate: takes an alignment's file, returns its per-query table on this workspace's
            held-out pairs.
    """
    params = ws.params().gate
    for note in champions.reconcile(ws):
        print(f"csa: {run.model}: {note}", file=sys.stderr)
    champion = registry.champion(ws)
    if champion is not None and champion.version == version:
        return Proposal(already_champion(version), None)
    undone = _undone(ws, run.model, version)
    if undone is not None:
        return Proposal(undone, None)
    question = {
        "model": run.model,
        "run_id": run.run_id,
        "from": champion.version if champion else None,
        "challenger": version,
        "gate": params.model_dump(mode="json"),
    }
    known = _decided_before(ws, question)
    if known is not None:
        return Proposal(known, None)
    decision = _examine(ws, run, registry.version_of(ws, version), champion, params, reevaluate)
    return Proposal(decision, question, approval=params.approval and decision.verdict == "promote")


def conclude(ws: Workspace, proposal: Proposal) -> Decision:
    """Write the decision to the ledger and move the alias `champion` accordingly, in that order: a
    kill between the two is made good by the next call of the gate.

    Raises:
        ValueError: a person has not been asked yet.
    """
    if proposal.approval:
        raise ValueError("this proposal needs an answer first; see flows.approval")
    question, decision = proposal.question, proposal.decision
    if question is None or _decided_before(ws, question) is not None:
        return decision
    line = {
        **question,
        "to": question["challenger"] if decision.verdict == "promote" else question["from"],
        **asdict(decision),
    }
    if decision.verdict == "promote":
        champions.reconcile(ws)  # a first try may have been cut off after its line was written
        champion = registry.champion(ws)
        if champion is None or champion.version != question["challenger"]:
            champions.move(ws, line)
    else:
        team_ledger.append(ws, line)
    return decision


def _undone(ws: Workspace, model: str, version: int) -> Decision | None:
    """The decision on a version that someone rolled back: the gate's numbers were known then, so
    they do not bring it back.
    """
    for line in reversed(ledger.history(ws.ledger, model)):
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
    for line in reversed(ledger.history(ws.ledger, question["model"])):
        if line["verdict"] == "keep" and all(
            line.get(key) == value for key, value in question.items()
        ):
            return Decision(**{key: line[key] for key in Decision.__dataclass_fields__})
    return None


def _examine(
    ws: Workspace,
    run: RunRecord,
    version: Version,
    champion: Version | None,
    params: GateParams,
    reevaluate: Reevaluate,
) -> Decision:
    """Files, split, limits, then the comparison; the first objection decides."""
    queries = _recorded_queries(ws, run.run_id, run.queries_sha256)
    if queries is None:
        raise ArtifactError(
            f"{ws.runs / run.run_id}: its queries.parquet is missing or damaged; delete it and "
            f"run `csa run` again"
        )
    evidence = {
        "evaluation_id": run.evaluation_id,
        "challenger": _evidence(version),
        "champion": _evidence(champion) if champion else None,
    }
    try:
        size = downloads.verify_model(ws, version)
        alignment = downloads.alignment_file(ws, version)
    except ArtifactError as error:
        return Decision("keep", f"edited artifact: {error}", evidence=evidence)
    items = run_items(ws, run.items_sha256, run.outputs[ws.pairs.relative_to(ws.root).as_posix()])
    refusal = objection(run, items, queries, load(alignment))
    measured: dict[str, Any] = {}
    if refusal is None:
        refusal, measured = over_limits(alignment, size, params)
    if refusal is not None:
        return Decision("keep", refusal, evidence=evidence | measured)
    slices = slices_of(items, run.views, params.slices)
    decision = _compare(ws, run, queries, slices, champion, params, reevaluate)
    return replace(decision, evidence=evidence | measured | decision.evidence)


def _evidence(version: Version) -> dict[str, str | None]:
    return {
        key: version.tags.get(key)
        for key in ("run_id", "git_commit", "alignment_sha256", "queries_sha256")
    }


def _compare(
    ws: Workspace,
    run: RunRecord,
    queries: pl.DataFrame,
    slices: pl.DataFrame,
    champion: Version | None,
    params: GateParams,
    reevaluate: Reevaluate,
) -> Decision:
    if champion is None:
        return decide(queries, None, params)
    tags = champion.tags
    if tags.get("evaluation_id") == run.evaluation_id:
        stored = _stored_queries(ws, champion)
        if stored is not None:
            return decide(queries, stored, params, slices, _must_go(ws, champion))
    encoders = json.loads(tags.get("encoders", "{}"))
    differing = [
        f"the encoder of {view}"
        for view, fingerprint in run.encoders.items()
        if encoders.get(view) != fingerprint
    ]
    if tags.get("data_rule") != run.data_rule:
        differing.append("the data set or its split")
    if differing:
        return Decision(
            "keep",
            f"not comparable with version {champion.version}: the held-out pairs or their results "
            f"differ, and so does "
            f"{' and '.join(differing)}, so it cannot be measured on today's; promote by hand if "
            f"you are sure",
        )
    return decide(
        queries,
        reevaluate(downloads.alignment_file(ws, champion)),
        params,
        slices,
        _must_go(ws, champion),
    )


def _must_go(ws: Workspace, champion: Version) -> str | None:
    """Why a champion should not stay: it was fitted on items that are to be forgotten."""
    try:
        items = read_items(downloads.items_of(ws, champion))
    # gone, changed, or a version that someone registered without us
    except (ArtifactError, KeyError):
        return None
    held = forgotten.trained_on(ws, items)
    return (
        f"version {champion.version} was fitted on items that are to be forgotten ({held})"
        if held
        else None
    )


def _stored_queries(ws: Workspace, champion: Version) -> pl.DataFrame | None:
    """The champion's per-query table from its run record, else from the registry; None when
    neither holds the right one.
    """
    recorded = _recorded_queries(
        ws, champion.tags.get("run_id", ""), champion.tags.get("queries_sha256", "")
    )
    if recorded is not None:
        return recorded
    try:
        return downloads.queries_of(ws, champion)
    # gone, changed, or a version that someone registered without us
    except (ArtifactError, KeyError):
        return None


def _recorded_queries(ws: Workspace, run_id: str, sha256: str) -> pl.DataFrame | None:
    path = ws.runs / run_id / "queries.parquet"
    return pl.read_parquet(path) if path.is_file() and file_sha256(path) == sha256 else None
