"""Stage `fit`: the alignment."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from csa.checks.profile import Profile
from csa.core.estimator import CSA
from csa.core.moments import Moments
from csa.evaluation.bootstrap import number_groups
from csa.params.fit import FitParams
from csa.pipeline.data import PipelineData
from csa.pipeline.profiles import pool_profiles
from csa.pipeline.start import Start, read_start
from csa.pipeline.workspace import Workspace
from csa.results.fit import (
    FitReport,
    Searched,
    Tried,
    TriedRecipe,
    TriedRound,
    TriedScore,
    UnpairedAccount,
)
from csa.storage.files import write_json

# What suits some pairs suits other numbers of them too, within this factor.
_GROWTH = 1.25
# How many standard errors of the difference say that choices have become worse.
_ERRORS = 2.0

_NONE = (
    "data/start.json names no choices to begin with; where a champion could have given some, "
    "`csa run` said why not"
)

Asked = dict[str, Any]
"""Parameters of `csa.CSA`."""


def fit_stage(ws: Workspace) -> dict[str, Any]:
    """Fit the alignment on the training pairs."""
    data = PipelineData(ws)
    settings: FitParams = data.params.fit
    X, Y, groups = PipelineData(ws).stored_training()  # and the tables of all items are let go
    asked: Asked = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in settings.model_dump(exclude={"search"}).items()
    }
    logging.basicConfig(format="fit: %(message)s", stream=sys.stderr)
    # a fit takes a minute on tens of thousands of pairs: say what it is at
    logging.getLogger("csa").setLevel(logging.INFO)
    beside, searched = data.beside_pairs(), None
    alone = all(given is None for given in beside.values())

    def fit(parameters: Asked) -> CSA:
        return CSA(**parameters).fit(X, Y, groups, **beside)

    if settings.searches:
        start = read_start(ws) if settings.search == "auto" and alone else None
        counts = (len(np.unique(groups)), len(groups))
        model, searched = fit_from(start or _why_none(settings, alone), asked, *counts, fit)
        logging.getLogger("csa").info("%s", searched.why)
    else:
        model = fit(asked)
    account = model.alignment_.notes.get("unpaired")
    if account is not None and account["learned_from_labels"]:
        account["label_names"] = data.labels[1] if data.labels else []
    model.save(ws.alignment)
    Moments.from_arrays(X, Y).save(ws.moments)
    pools = pool_profiles(data, model.alignment_)
    report = FitReport(
        pairs=len(groups),
        groups=len(np.unique(groups)),
        score=model.score_,
        shrinkage=list(model.shrinkage_),
        n_components=model.n_components_,
        preparation=[model.alignment_.prepare_x.name, model.alignment_.prepare_y.name],
        hubness_corrected=model.alignment_.hubness_corrected,
        diagnostics={
            key: value for key, value in model.alignment_.notes.items() if key != "unpaired"
        },
        tried=Tried(
            recipes=[TriedRecipe(**trial) for trial in model.tried_["recipes"]],
            scores=[TriedScore(**trial) for trial in model.tried_["scores"]],
            rounds=[TriedRound(**trial) for trial in model.tried_.get("unpaired", [])] or None,
        ),
        searched=searched,
        profile=Profile.of(model.alignment_, X, Y, number_groups(groups)).record,
        unpaired=None if account is None else UnpairedAccount(**account),
        unpaired_profiles={view: pool.record for view, pool in pools.items()} or None,
        weights=model.weights_.tolist(),
        training_correlations=model.alignment_.training_correlations.tolist(),
    )
    write_json(ws.fit_report, report.as_dict())
    return {"pairs": len(groups)}


def _why_none(settings: FitParams, alone: bool) -> str:
    """Why a fit that has no choices to begin with has none, as far as its inputs say so: the same
    inputs have to leave the same fit.json everywhere.
    """
    if settings.search != "auto":
        return f"`fit.search` is {settings.search}"
    if not alone:
        return "a fit with unpaired items always searches"
    return _NONE


def fit_from(
    start: Start | str,
    asked: Asked,
    groups: int,
    pairs: int,
    fit: Callable[[Asked], CSA],
) -> tuple[CSA, Searched]:
    """Fit with the choices to begin with, or with a search where these do not do.

    They do where the number of pairs is much what it was when they were searched for, and where
    held-out retrieval is not worse than that search found by more than two standard errors of the
    difference. Both are means over groups in folds of their own: one new group moves most others
    to other folds, and so among other candidates. A reciprocal rank lies in [0, 1], so with mean m
    its variance is at most m (1 - m).

    Args:
        start: choices to begin with; where there are none, why not.
        asked: parameters of `csa.CSA` for a search.
        groups, pairs: how many are fitted on.
        fit: takes parameters of `csa.CSA`, returns the fitted model.

    Returns:
        The fitted model, and which road was taken.
    """
    tried: dict[str, Any] = {}
    if isinstance(start, str):
        why = start
    elif not 1 / _GROWTH <= pairs / start.pairs <= _GROWTH:
        why = f"the last search was made on {start.pairs:,} pairs, and there are {pairs:,} now"
    else:
        model = fit(asked | start.choices)
        found = model.alignment_.notes["held_out_mrr"]
        expected = start.held_out_mrr
        error = float(np.sqrt(2 * expected * (1 - expected) / groups))
        tried = {"started_from": start.run_id, "held_out_mrr_of_start": found}
        compared = (
            f"the held-out mean reciprocal rank is {found:.3f}, it was {expected:.3f} when they "
            f"were searched for, and the standard error of the difference is at most {error:.3f}"
        )
        if found >= expected - _ERRORS * error:
            why = f"the champion's choices do: {compared}"
            return model, Searched(
                road="champion", why=why, pairs=start.pairs, held_out_mrr=expected, **tried
            )
        why = f"the champion's choices do no longer: {compared}"
    model = fit(asked)
    value = model.alignment_.notes.get("held_out_mrr")
    return model, Searched(road="full", why=why, pairs=pairs, held_out_mrr=value, **tried)
