"""The gate: whether a challenger becomes champion, decided on the same held-out queries, and written down with its reason.

MLflow keeps no history of who was champion, so every decision is a line of an append-only ledger. A champion that has seen some
of today's held-out pairs in training looks better than it is; such an error can only keep it, never promote a worse challenger.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from csa.errors import ArtifactError
from csa.params import GateParams
from csa.tasks.bootstrap import group_draws, interval, number_groups
from csa.workspace import Workspace
from flows import downloads, registry
from flows.ledger import append, entries
from flows.records import RunRecord, file_sha256
from flows.registry import Version

Verdict = Literal["promote", "keep"]
Reevaluate = Callable[[Path], pl.DataFrame]

# With fewer groups, all of them can agree by chance (one in sixteen with four), and a bootstrap then sees no doubt at all.
_MIN_GROUPS = 5


@dataclass(frozen=True)
class Decision:
    """A verdict with its reason and its numbers.

    Attributes:
        verdict: promote or keep (the champion).
        reason: one sentence for people.
        gain: challenger minus champion, mean over both directions; None where nothing was compared.
        low, high: its confidence interval.
    """

    verdict: Verdict
    reason: str
    gain: float | None = None
    low: float | None = None
    high: float | None = None


def decide(challenger: pl.DataFrame, champion: pl.DataFrame | None, gate: GateParams) -> Decision:
    """Compare two alignments query by query.

    The gain is the mean difference of `gate.metric`, averaged over both directions; its interval comes from resampling groups.
    The challenger wins when the lower bound exceeds `gate.margin`; a tie keeps the champion.

    Args:
        challenger, champion: per-query tables (direction, query, group and the metric columns); None for no champion.
        gate: metric, margin and bootstrap.
    """
    if champion is None:
        return Decision("promote", "there is no champion yet")
    key = ["direction", "query", "group"]
    both = challenger.select(*key, pl.col(gate.metric).alias("new")).join(
        champion.select(*key, pl.col(gate.metric).alias("old")), on=key, how="inner", maintain_order="left"
    )
    if not len(both) == len(challenger) == len(champion):
        return Decision(
            "keep",
            f"not comparable: challenger and champion share {len(both)} queries of {len(challenger)} and {len(champion)}; "
            "a comparison needs the same ones",
        )
    gain = both["new"].to_numpy() - both["old"].to_numpy()
    if not np.isfinite(gain).all():
        return Decision("keep", f"not comparable: {gate.metric} is not a number for {np.sum(~np.isfinite(gain))} queries")
    group, way = number_groups(both["group"]), number_groups(both["direction"])
    n_groups, n_ways = int(group.max()) + 1, int(way.max()) + 1
    if n_groups < _MIN_GROUPS:
        return Decision("keep", f"only {n_groups} held-out groups, at least {_MIN_GROUPS} are needed to tell; hold out more")
    draws = group_draws(n_groups, gate.bootstrap, gate.seed)
    means, resampled = [], []
    for k in range(n_ways):
        here = way == k
        sums, counts = np.bincount(group[here], gain[here], n_groups), np.bincount(group[here], minlength=n_groups)
        means.append(gain[here].mean())
        resampled.append((draws @ sums) / np.maximum(draws @ counts, 1))
    value, (low, high) = float(np.mean(means)), interval(np.mean(resampled, axis=0), gate.confidence)
    return _judge(value, low, high, identical=not gain.any(), queries=len(both), gate=gate)


def _judge(gain: float, low: float, high: float, identical: bool, queries: int, gate: GateParams) -> Decision:
    if identical:
        return Decision("keep", f"a tie: {gate.metric} is the same for all {queries:,} queries", 0.0, 0.0, 0.0)
    numbers = (
        f"{gate.metric} {gain:+.4f}, {gate.confidence:.0%} interval [{low:+.4f}, {high:+.4f}] over {queries:,} queries, "
        f"margin {gate.margin:g}"
    )
    if low > gate.margin:
        return Decision("promote", f"better: {numbers}", gain, low, high)
    return Decision("keep", f"{'worse' if high < 0 else 'not clearly better'}: {numbers}", gain, low, high)


def already_champion(version: int) -> Decision:
    """The decision where there is nothing to decide."""
    return Decision("keep", f"version {version} is the champion already")


def gate(ws: Workspace, run: RunRecord, version: int, reevaluate: Reevaluate) -> Decision:
    """Decide on a registered run, write the decision to the ledger and move the alias `champion` accordingly.

    The ledger comes first: after a kill between the two, the next call finds the decision there and carries it out. The same run
    against the same champion is decided once.

    Args:
        ws: the challenger's workspace.
        run: the challenger's record.
        version: the version it is registered as.
        reevaluate: takes an alignment's file, returns its per-query table on this workspace's held-out pairs.
    """
    params = ws.params().gate
    champion = registry.champion(ws)
    if champion is not None and champion.version == version:
        return already_champion(version)
    undone = _undone(ws, run.model, version)
    if undone is not None:
        return undone
    question = {
        "model": run.model,
        "run_id": run.run_id,
        "from": champion.version if champion else None,
        "challenger": version,
        "gate": params.model_dump(mode="json"),
    }
    decision = _decided_before(ws, question)
    if decision is None:
        decision = _compare(ws, run, champion, params, reevaluate)
        to = version if decision.verdict == "promote" else question["from"]
        append(ws.ledger, {**question, "to": to, **asdict(decision)})
    if decision.verdict == "promote":
        registry.set_champion(ws, version)
    return decision


def _undone(ws: Workspace, model: str, version: int) -> Decision | None:
    """The decision on a version that someone rolled back: the gate's numbers were known then, so they do not bring it back."""
    for entry in reversed(entries(ws.ledger)):
        if entry["model"] != model:
            continue
        if entry["verdict"] == "promote" and entry.get("to") == version:
            return None
        if entry["verdict"] == "rollback" and entry.get("from") == version:
            return Decision(
                "keep",
                f"version {version} was rolled back by {entry['who']} on {entry['when'][:10]} "
                f"({entry.get('reason', 'no reason')}); `csa promote {version}` would bring it back",
            )
    return None


def _decided_before(ws: Workspace, question: dict[str, Any]) -> Decision | None:
    """The ledger's answer to this very question.

    A promotion counts only as the last line: then its alias may still have to move. Otherwise someone has since gone back to the
    older champion, and the question is asked anew.
    """
    past = [entry for entry in entries(ws.ledger) if entry["model"] == question["model"]]
    for entry in reversed(past):
        if all(entry.get(key) == value for key, value in question.items()) and (entry["verdict"] == "keep" or entry is past[-1]):
            return Decision(**{key: entry[key] for key in Decision.__dataclass_fields__})
    return None


def _compare(ws: Workspace, run: RunRecord, champion: Version | None, params: GateParams, reevaluate: Reevaluate) -> Decision:
    challenger_queries = _recorded_queries(ws, run.run_id, run.queries_sha256)
    if challenger_queries is None:
        raise ArtifactError(
            f"{ws.runs / run.run_id}: its queries.parquet is missing or damaged; delete it and run `csa run` again"
        )
    if champion is None:
        return decide(challenger_queries, None, params)
    tags = champion.tags
    if tags.get("evaluation_id") == run.evaluation_id:
        stored = _stored_queries(ws, champion)
        if stored is not None:
            return decide(challenger_queries, stored, params)
    encoders = json.loads(tags.get("encoders", "{}"))
    differing = [f"the encoder of {view}" for view, fingerprint in run.encoders.items() if encoders.get(view) != fingerprint]
    if tags.get("data_rule") != run.data_rule:
        differing.append("the data set or its split")
    if differing:
        return Decision(
            "keep",
            f"not comparable with version {champion.version}: the held-out pairs or their results differ, and so does "
            f"{' and '.join(differing)}, so it cannot be measured on today's; promote by hand if you are sure",
        )
    return decide(challenger_queries, reevaluate(downloads.alignment_file(ws, champion)), params)


def _stored_queries(ws: Workspace, champion: Version) -> pl.DataFrame | None:
    """The champion's per-query table from its run record, else from the registry; None when neither holds the right one."""
    recorded = _recorded_queries(ws, champion.tags.get("run_id", ""), champion.tags.get("queries_sha256", ""))
    if recorded is not None:
        return recorded
    try:
        return downloads.queries_of(ws, champion)
    except (ArtifactError, KeyError):  # gone, changed, or a version that someone registered without us
        return None


def _recorded_queries(ws: Workspace, run_id: str, sha256: str) -> pl.DataFrame | None:
    path = ws.runs / run_id / "queries.parquet"
    return pl.read_parquet(path) if path.is_file() and file_sha256(path) == sha256 else None
