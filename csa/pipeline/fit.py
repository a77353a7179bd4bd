"""Stage `fit`: the alignment."""

import logging
import sys
from typing import Any

import numpy as np

from csa.checks.profile import Profile
from csa.core.estimator import CSA
from csa.core.moments import Moments
from csa.evaluation.bootstrap import number_groups
from csa.params.fit import FitParams
from csa.pipeline.data import PipelineData
from csa.pipeline.workspace import Workspace
from csa.results.fit import FitReport, Tried, TriedRecipe, TriedRound, TriedScore, UnpairedAccount
from csa.storage.files import write_json


def fit_stage(ws: Workspace) -> dict[str, Any]:
    """Fit the alignment on the training pairs."""
    data = PipelineData(ws)
    settings: FitParams = data.params.fit
    X, Y, groups = PipelineData(ws).training()  # and the tables of all items are let go
    asked: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in settings.model_dump().items()
    }
    logging.basicConfig(format="fit: %(message)s", stream=sys.stderr)
    # a fit takes a minute on tens of thousands of pairs: say what it is at
    logging.getLogger("csa").setLevel(logging.INFO)
    model = CSA(**asked).fit(X, Y, groups, **data.beside_pairs())
    account = model.alignment_.notes.get("unpaired")
    if account is not None and account["learned_from_labels"]:
        account["label_names"] = data.labels[1] if data.labels else []
    model.save(ws.alignment)
    Moments.from_arrays(X, Y).save(ws.moments)
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
        profile=Profile.of(model.alignment_, X, Y, number_groups(groups)).record,
        unpaired=None if account is None else UnpairedAccount(**account),
        weights=model.weights_.tolist(),
        training_correlations=model.alignment_.training_correlations.tolist(),
    )
    write_json(ws.fit_report, report.as_dict())
    return {"pairs": len(groups)}
