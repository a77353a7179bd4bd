"""What CSA is measured beside: baselines fitted on the same training pairs, and models of two
towers that need no fit.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from csa.baselines import ASIF, PlainCCA, Procrustes, RawCosine, RidgeMap
from csa.core.base import PairModel
from csa.core.estimator import CSA
from csa.core.matrices import Array
from csa.errors import InputError
from csa.evaluation.vectors import PairScorer
from csa.params.fit import FitParams
from csa.params.measure import Baseline, EvaluateParams, MultimodalParams
from csa.params.views import ViewParams


@dataclass(frozen=True, eq=False)
class Contender:
    """A model and the encoders whose features it takes; `own` is whether those are the
    workspace's.
    """

    name: str
    model: PairScorer
    views: dict[str, ViewParams]
    own: bool


def make_baseline(name: Baseline, fit: FitParams) -> PairModel:
    """A baseline to be fitted; what it has to choose, it chooses by the same folds as CSA.

    `canonical_published` is the paper's score without shrinkage, with in-sample weights, and the
    number of components that retrieves best in held-out folds.

    Args:
        name: which baseline.
        fit: folds and seed.

    Returns:
        The model, not yet fitted.
    """
    seeded: dict[str, Any] = {"folds": fit.folds, "seed": fit.seed}
    models: dict[str, PairModel] = {
        "asif": ASIF(**seeded),
        "procrustes": Procrustes(),
        "ridge_map": RidgeMap(**seeded),
        "plain_cca": PlainCCA(**seeded),
        "canonical_published": CSA(score="canonical", shrinkage=0.0, **seeded),
        "raw_cosine": RawCosine(),
    }
    return models[name]


def contenders(
    params: EvaluateParams,
    fit: FitParams,
    views: dict[str, ViewParams],
    train: Callable[[], tuple[Array, Array, Any]],
) -> Iterator[Contender]:
    """Baselines, each fitted when it is asked for, then models of two towers.

    Args:
        params: which.
        fit: folds and seed.
        views: the workspace's.
        train: gives X (n, p), Y (n, q) and the group of each training pair; asked only if something
            is to be fitted.

    Yields:
        One contender after the other, ready to give index vectors.

    Raises:
        InputError: a model of two towers where the views are no image and text.
        FeatureError: `raw_cosine` where the views have two dimensions.
    """
    if params.baselines:
        X, Y, groups = train()
        for name in params.baselines:
            model: Any = make_baseline(name, fit)
            yield Contender(name, model.fit(X, Y, groups=groups), views, own=True)
    for label, towers in params.multimodal.items():
        yield Contender(label, RawCosine(), tower_views(towers, views, label), own=False)


def tower_views(
    towers: MultimodalParams, views: dict[str, ViewParams], name: str
) -> dict[str, ViewParams]:
    """The views with a model's image and text towers as their encoders.

    Args:
        towers: the model with both towers, and how it is used.
        views: the workspace's, by name.
        name: of the model in the parameters, for the error.

    Returns:
        View name -> parameters, of the same modalities.

    Raises:
        InputError: a view of another modality.
    """
    other = [view for view, settings in views.items() if settings.modality not in ("image", "text")]
    if other:
        raise InputError(
            f"evaluate.multimodal {name!r}: view {other[0]!r} is of modality "
            f"{views[other[0]].modality}, but such a model has an "
            "image and a text tower; remove it"
        )
    return {
        view: ViewParams(
            modality=settings.modality,
            encoder=towers.encoder,
            revision=towers.revision,
            batch_size=towers.batch_size,
            dtype=towers.dtype,
        )
        for view, settings in views.items()
    }
