"""A workspace's fit as a scorer: the object that answers questions, here and in the registry."""

from functools import partial
from typing import TYPE_CHECKING, Any

from csa.core.alignment import Alignment, load
from csa.params.measure import PromptParams
from csa.params.schema import Params
from csa.pipeline.workspace import Workspace
from csa.scoring.frozen import FrozenView
from csa.scoring.scorer import Scorer
from csa.storage.files import read_json

if TYPE_CHECKING:
    from csa.evaluation.conformal import PairCalibration


def scorer_of(
    ws: Workspace, params: Params | None = None, about: dict[str, Any] | None = None
) -> Scorer:
    """The scorer of what a workspace holds.

    Args:
        ws: a workspace that was run.
        params: its parameters, where the caller has them.
        about: facts for people that travel with it.

    Returns:
        The scorer.

    Raises:
        ArtifactError: the workspace was not run yet, or a file is damaged.
    """
    params = params or ws.params()
    alignment = load(ws.alignment)
    return Scorer(
        alignment=alignment,
        views=_views(ws, params, alignment),
        read_judge=partial(_judge, ws),
        read_prompts=partial(_prompts, params),
        alpha=params.evaluate.alpha,
        max_pixels=params.dataset.max_image_pixels,
        about=about or {},
    )


def _judge(ws: Workspace) -> "PairCalibration | None":
    from csa.evaluation.conformal import PairCalibration

    return PairCalibration.read(ws.evaluation / "pairs.parquet")


def _prompts(params: Params) -> PromptParams:
    """Those of the parameters, with the data set's own template where they name none."""
    from csa.pipeline.labelled import usual_template

    prompts = params.evaluate.prompts
    if prompts.templates:
        return prompts
    return prompts.model_copy(update={"templates": [usual_template(params.dataset)]})


def _views(ws: Workspace, params: Params, alignment: Alignment) -> dict[str, FrozenView]:
    views = {}
    for (name, view), dimension in zip(params.views.items(), alignment.dimensions, strict=True):
        index = read_json(ws.features(name) / "index.json")
        views[name] = FrozenView(
            name, view, index["encoder"], index["fingerprint"], dimension, params.compute.device
        )
    return views
