"""Stage `fit`: the alignment."""

import logging
import sys
from typing import Any

import polars as pl

from csa.checks.drift import Profile
from csa.core.estimator import CSA
from csa.core.moments import Moments
from csa.datasets.pairs import read_pairs
from csa.evaluation.bootstrap import number_groups
from csa.pipeline.data import feature_tables
from csa.pipeline.workspace import Workspace
from csa.storage.files import write_json


def fit_stage(ws: Workspace) -> dict[str, Any]:
    """Fit the alignment on the training pairs."""
    params = ws.params()
    train = read_pairs(ws.pairs).filter(pl.col("split") == "train")
    X, Y = (
        table.rows(train[f"{view}_hash"].to_list())
        for view, table in zip(params.view_names, feature_tables(ws, params), strict=True)
    )
    asked: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in params.fit.model_dump().items()
    }
    logging.basicConfig(format="fit: %(message)s", stream=sys.stderr)
    # a fit takes a minute on tens of thousands of pairs: say what it is at
    logging.getLogger("csa").setLevel(logging.INFO)
    model = CSA(**asked).fit(X, Y, groups=train["group"].to_numpy())
    model.save(ws.alignment)
    Moments.from_arrays(X, Y).save(ws.moments)
    group = number_groups(train["group"])
    report = {
        "pairs": len(train),
        "groups": train["group"].n_unique(),
        "score": model.score_,
        "shrinkage": list(model.shrinkage_),
        "n_components": model.n_components_,
        "preparation": [model.alignment_.prepare_x.name, model.alignment_.prepare_y.name],
        "hubness_corrected": model.alignment_.hubness_corrected,
        "diagnostics": model.alignment_.notes,
        "tried": model.tried_,
        "profile": Profile.of(model.alignment_, X, Y, group).as_dict(),
        "weights": model.weights_.tolist(),
        "training_correlations": model.alignment_.training_correlations.tolist(),
    }
    write_json(ws.fit_report, report)
    return {"pairs": len(train)}
