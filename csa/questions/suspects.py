"""`csa suspects`: the training pairs of a fitted workspace that look mislabelled, for a person
to go through and act on.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from csa.core.alignment import Alignment, load
from csa.core.refit import Refit
from csa.core.training import Training
from csa.datasets.exclude import Excluded, write_excluded
from csa.datasets.items import item_loader
from csa.datasets.pairs_table import write_pairs
from csa.datasets.roots import dataset_root
from csa.errors import InputError
from csa.evaluation.bootstrap import group_draws, mean_estimate, number_groups
from csa.evaluation.held_out import HeldOut
from csa.evaluation.retrieval import QUERY_METRICS, rank_queries
from csa.evaluation.vectors import HeldOutVectors
from csa.params.measure import EvaluateParams
from csa.params.schema import Params
from csa.pipeline.held_out import EvaluationData
from csa.pipeline.workspace import Workspace
from csa.questions.suspicion import Suspicion, choose_share, find_suspects, trimmed
from csa.report.html import sentence
from csa.report.shown import Shower
from csa.report.suspected import Review, Suspect, suspects_page
from csa.results.estimate import Estimate
from csa.results.suspects import SuspectsReport, SuspectsSummary, Trimmed
from csa.storage.files import write_atomic, write_json

# A pair is put on the drop list when it is more likely than not to be no better than two strangers.
_DROP_PROBABILITY = 0.5


@dataclass(frozen=True, eq=False)
class SuspectsAnswer:
    """The ranked table, the estimated share of mislabelled pairs, and what a trimmed refit
    gained, if one was asked for.
    """

    table: pl.DataFrame
    views: tuple[str, str]
    share: float
    top: int
    trim: Trimmed | None

    @property
    def dropped(self) -> pl.DataFrame:
        """The pairs for the drop list."""
        return self.table.filter(pl.col("probability") > _DROP_PROBABILITY)

    @property
    def summary(self) -> SuspectsSummary:
        """The pairs in numbers."""
        return SuspectsSummary(
            pairs=self.table.height,
            share_no_better_than_strangers=round(self.share, 4),
            more_likely_than_not=self.dropped.height,
            trim=self.trim,
            worst=self.table.head(self.top).to_dicts(),
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self.summary.as_dict()

    def __str__(self) -> str:
        first, second = self.views
        lines = [
            f"{self.table.height:,} training pairs, each scored by a fit without it; "
            f"{_about(self.share)} look no better than two strangers, and for "
            f"{self.dropped.height:,} of them this is more likely than not"
        ]
        for row in self.table.head(self.top).to_dicts():
            lines.append(
                f"{row['rank']:>4}  {row['probability']:>5.0%}  {row['pair_id']}  "
                f"{_short(row[first])} | {_short(row[second])}"
            )
            lines.append(f"{'':>13}scores higher: {_short(row['better'])}")
        return "\n".join([*lines, *([str(self.trim)] if self.trim else [])])


def find(
    ws: Workspace,
    top: int = 20,
    page: Path | None = None,
    drop: Path | None = None,
    trim: str | None = None,
) -> SuspectsAnswer:
    """Rank a workspace's training pairs by how mislabelled they look; writes data/suspects/ and
    what is asked for.

    Args:
        ws: that was run.
        top: pairs shown on the page and in print.
        page: where to write a self-contained page with pictures.
        drop: where to write the list of pairs that are more likely wrong than not, in the form of
            exclude.csv.
        trim: "auto" or a share: refit without so many, and measure that on the held-out pairs.

    Returns:
        The ranked pairs, and what the refit gained.

    Raises:
        ArtifactError: the workspace was not run, or by other code.
        InputError: a share that leaves too few pairs.
    """
    given = None if trim in (None, "auto") else _share(str(trim))
    data, alignment = EvaluationData(ws), load(ws.alignment)
    params, pairs = data.params, data.pairs
    X, Y, groups = data.training()
    training = Training.of(X, Y, groups, params.fit.folds, params.fit.seed)
    refit = Refit(alignment, training)
    suspicion = find_suspects(refit, training, seed=params.evaluate.seed)
    gained = None
    if trim is not None:
        share, inside = (
            choose_share(alignment, X, Y, groups, params.evaluate) if given is None else (given, {})
        )
        gained = Trimmed(
            share,
            {str(tried): estimate for tried, estimate in inside.items()},
            paired_gain(
                alignment, trimmed(refit, suspicion, share), data.held_out(), params.evaluate
            ),
        )
    train = pairs.filter(pl.col("split") == "train")
    answer = SuspectsAnswer(
        _table(train, params.view_names, suspicion), params.view_names, suspicion.share, top, gained
    )
    _write(ws, answer)
    if page is not None:
        _write_page(ws, params, answer, page)
    if drop is not None:
        rows = answer.dropped.select("pair_id", "probability").rows()
        write_excluded(
            drop,
            Excluded(
                {
                    pair_id: f"suspect: stranger-like {probability:.0%}"
                    for pair_id, probability in rows
                }
            ),
        )
    return answer


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"--trim {text!r}: expected auto, or a share of the training pairs such as 0.05"
        ) from None


def _table(train: pl.DataFrame, views: tuple[str, str], suspicion: Suspicion) -> pl.DataFrame:
    """One row a training pair, the most suspect first."""
    order, second = suspicion.ranking, train[views[1]].to_list()
    columns: dict[str, Any] = {
        "score": suspicion.score,
        "suspicion": suspicion.suspicion,
        "probability": suspicion.probability,
        "strangers_above": suspicion.above,
        "better": pl.Series([second[i] for i in suspicion.better]),
        "better_score": suspicion.better_score,
    }
    ranked = train.select("pair_id", "group", *views).with_columns(
        pl.Series(name, values) for name, values in columns.items()
    )
    table: pl.DataFrame = ranked[order.tolist()].with_row_index("rank", 1)
    return table


def paired_gain(
    before: Alignment, after: Alignment, held_out: HeldOut, params: EvaluateParams
) -> dict[str, Estimate]:
    """What the held-out queries of both directions gain by another alignment.

    Args:
        before, after: the two.
        held_out: the pairs with their features.
        params: resamples, confidence and seed of the intervals.

    Returns:
        Metric -> paired difference, `after` less `before`, its interval over groups.
    """
    old, new = (
        rank_queries(HeldOutVectors.of(model, held_out), held_out) for model in (before, after)
    )
    group = number_groups(old["group"])
    draws = group_draws(int(group.max()) + 1, params.bootstrap, params.seed)
    return {
        name: mean_estimate((new[name] - old[name]).to_numpy(), group, draws, params.confidence)
        for name in QUERY_METRICS
    }


def _write(ws: Workspace, answer: SuspectsAnswer) -> None:
    ws.suspects.mkdir(parents=True, exist_ok=True)
    write_pairs(answer.table, ws.suspects / "suspects.parquet")
    report = SuspectsReport(_sha256(ws.alignment), **vars(answer.summary))
    write_json(ws.suspects / "suspects.json", report.as_dict())


def _write_page(ws: Workspace, params: Params, answer: SuspectsAnswer, page: Path) -> None:
    root = dataset_root(params.dataset, ws.root)
    first, second = (
        Shower(
            view,
            params.views[view].modality,
            item_loader(params.views[view], root, params.dataset.max_image_pixels),
        )
        for view in answer.views
    )
    shown = [
        Suspect(
            first(row[answer.views[0]]),
            second(row[answer.views[1]]),
            second(row["better"]),
            row["pair_id"],
            row["rank"],
            row["probability"],
            row["score"],
            row["better_score"],
            row["strangers_above"],
        )
        for row in answer.table.head(answer.top).to_dicts()
    ]
    notes = [sentence(str(answer.trim))] if answer.trim else []
    lead = sentence(str(answer).splitlines()[0])
    title = f"Suspected pairs of {ws.name}"
    html = suspects_page(Review(title, lead, notes, answer.views, shown, _sha256(ws.alignment)))
    write_atomic(page, html.encode())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _about(share: float) -> str:
    return f"about {share:.1%}" if share >= 0.001 else "fewer than 0.1%"


def _short(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:59]}…"
