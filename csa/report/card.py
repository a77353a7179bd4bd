"""The model card: what a team says of its model, and limits drawn from the facts of the run."""

from typing import Any

import numpy as np

from csa.evaluation.plots import strangers
from csa.report.html import decimal
from csa.report.source import Source
from csa.results.fit import UnpairedAccount

_FEW_GROUPS = 300
_WIDE_GAP = 0.3
_KEPT = 0.95


def card(source: Source) -> dict[str, Any]:
    """What the card shows: the team's own words, and what the run's facts say of data and
    limits.
    """
    views = source.params.views
    return {
        "words": source.params.card,
        "purpose": "Retrieval and mismatch detection between "
        + " and ".join(
            f"{name} ({view.modality}, {view.encoder_names})" for name, view in views.items()
        ),
        "limits": _limits(source),
    }


def _limits(source: Source) -> list[str]:
    metrics, fit = source.metrics, source.fit
    galleries = " and ".join(f"{count:,} {view} items" for view, count in metrics.galleries.items())
    limits = [
        f"Measured on {metrics.pairs.test:,} held-out pairs of the same data set, in "
        f"galleries of {galleries}. "
        "Other data and larger galleries were not measured; recall falls as a gallery grows.",
        _threshold(source),
    ]
    if fit.no_shared_signal:
        limits.insert(
            0,
            "Held-out folds do not show that the two views have anything in common. Do not use "
            "this model.",
        )
    if metrics.asked:
        limits.append(
            f"{metrics.asked.groups:,} of {metrics.groups.test:,} held-out groups, drawn by hash, "
            f"were asked as queries (`evaluate.queries`); the items of all were searched."
        )
    groups = metrics.groups.test
    if groups < _FEW_GROUPS:
        limits.append(
            f"Only {groups:,} independent held-out groups stand behind the intervals, which are "
            f"wide."
        )
    gap = fit.overfit_gap
    if gap is not None and gap > _WIDE_GAP:
        limits.append(
            f"Training correlations exceed what held-out folds confirm by {gap:.2f} on average: "
            f"more training pairs should help."
        )
    if fit.pairs != fit.groups:
        limits.append(
            f"The {fit.pairs:,} training pairs are {fit.groups:,} independent groups; pairs "
            f"of one group repeat an item."
        )
    if fit.unpaired is not None:
        limits += unpaired_words(fit.unpaired, source.params.view_names)
    if source.quarantine.height:
        limits.append(
            f"{source.quarantine.height:,} unusable rows were set aside and are in no number here."
        )
    if source.run is not None and source.run["git_dirty"]:
        limits.append(
            "Made from code that differs from its commit: it cannot be made again exactly from "
            "that commit."
        )
    return limits


def unpaired_words(account: UnpairedAccount, views: tuple[str, str]) -> list[str]:
    """What unpaired items and an encoder's labels mean for whoever judges the model.

    Args:
        account: of the fit.
        views: names of the first and the second view.

    Returns:
        A sentence or two for each of the pool and the labels; empty if no item was in the pool.
    """
    pool = " and ".join(
        f"{count:,} unpaired items of view {view}"
        for view, count in zip(views, account.items, strict=True)
        if count
    )
    if not pool:
        return []
    if not account.used:
        return [f"{pool} were tried and not used: held-out pairs are not found better with them."]
    said = [f"The fit has learned from {pool} too."]
    if not account.checked_on_true_pairs:
        said[0] += " There were no pairs to check that they help."
    if account.learned_from_labels:
        names = account.label_names or []
        shown = f", such as {', '.join(names[:3])}" if names else ""
        said.append(
            f"It has also learned from {len(names) or 'the'} labels of an encoder{shown}. A "
            f"classification of such classes measures what that encoder already knew."
        )
    return said


def _threshold(source: Source) -> str:
    """What a threshold on the score is worth: mismatched pairs that pass where most true pairs
    do.
    """
    true, wrong = source.scores["score"].to_numpy(), strangers(source.scores)
    threshold = float(np.quantile(true, 1 - _KEPT))
    passing = float(np.mean(wrong >= threshold))
    return (
        f"A score is no probability. On the held-out pairs, a threshold of "
        f"{decimal(threshold, 2)} keeps {100 * _KEPT:.0f} % of "
        f"true pairs and lets {100 * passing:.0f} % of mismatched ones pass."
    )
