"""A linear fit as plain modules of sentence-transformers: a router by modality, of each view its
encoder and a projection. No code of ours travels with it.
"""

from typing import Any

import numpy as np

from csa.core.alignment import Alignment
from csa.core.estimator import CSA
from csa.core.matrices import Array
from csa.core.preparation import Preparation
from csa.core.scores import CanonicalScore
from csa.datasets.items import item_loader
from csa.datasets.roots import dataset_root
from csa.encoders.pretrained import PretrainedEncoder
from csa.errors import EncoderError
from csa.evaluation.held_out import HeldOut
from csa.evaluation.retrieval import rank_queries, summarise
from csa.evaluation.vectors import HeldOutVectors
from csa.exporting.onnx_files import exportable
from csa.pipeline.data import PipelineData
from csa.questions.opened import Fitted
from csa.scoring.frozen import FrozenView

_LINEAR = ("raw", "unit")
_TRIED = 8  # items of each view that the modules are tried on
_CLOSE = 1e-4  # of the largest similarity
_TOWER_OF = {"text": "get_text_features", "image": "get_image_features"}


def not_linear(alignment: Alignment) -> str | None:
    """Why a fit is no matrix for each view and a score of unit vectors; None where it is.

    Args:
        alignment: the fit.

    Returns:
        Words for the middle of a sentence.
    """
    if type(alignment.score) is not CanonicalScore:
        return f"its score is {alignment.score_name}"
    if alignment.hubness_corrected:
        return "it is corrected for hubs"
    if alignment.bridge is not None:
        return "labels of an encoder add to its score"
    for how in (alignment.prepare_x, alignment.prepare_y):
        if how.name not in _LINEAR:
            return f"its features are prepared by {how.name}"
    return None


def linear_fit(fitted: Fitted) -> tuple[Alignment, dict[str, Any]]:
    """A linear fit with the canonical score on the training pairs of a workspace, and its price.

    Args:
        fitted: a workspace that was run.

    Returns:
        The fit; and R@1 of both fits on the held-out pairs, by direction: `fit` and `linear`.
    """
    data, settings = PipelineData(fitted.ws), fitted.params.fit
    X, Y, groups = data.training()
    of_fit = (fitted.alignment.prepare_x.name, fitted.alignment.prepare_y.name)
    first, second = (name if name in _LINEAR else "unit" for name in of_fit)
    model = CSA(
        score="canonical",
        preparation=(first, second),
        hubness=False,
        folds=settings.folds,
        seed=settings.seed,
    )
    linear = model.fit(X, Y, groups).alignment_
    asked, names = fitted.params.evaluate, fitted.scorer.names
    tables = fitted.features(names[0]), fitted.features(names[1])
    held_out = HeldOut.of(data.pairs, names, tables, asked.queries)
    measured = {
        name: summarise(rank_queries(HeldOutVectors.of(one, held_out), held_out), asked)
        for name, one in (("fit", fitted.alignment), ("linear", linear))
    }
    price = {
        direction: {
            name: round(of[direction].recall_at_1.value, 4) for name, of in measured.items()
        }
        for direction in measured["fit"]
    }
    return linear, {"held_out_pairs": held_out.asked, "recall_at_1": price}


def plain_model(fitted: Fitted, alignment: Alignment) -> Any:
    """A `SentenceTransformer` of plain modules, tried on items of the workspace.

    Args:
        fitted: a workspace that was run.
        alignment: a linear fit of it.

    Returns:
        The model: dot products of its vectors are the alignment's similarities.

    Raises:
        EncoderError: an encoder that sentence-transformers has no modules for, or that gives other
            features there; or both views are of one modality.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router

    views = fitted.scorer.views
    if len({view.modality for view in views.values()}) != len(views):
        raise EncoderError("both views are of one modality, so a router cannot tell them apart")
    parts = (
        (alignment.prepare_x, alignment.mean_x, alignment.A),
        (alignment.prepare_y, alignment.mean_y, alignment.B),
    )
    routes = {
        view.modality: [*_encoder(view), *_projection(*part, alignment.score.weights)]
        for view, part in zip(views.values(), parts, strict=True)
    }
    model = SentenceTransformer(
        modules=[Router(routes, allow_empty_key=False)], device="cpu", similarity_fn_name="dot"
    )
    _compare(fitted, alignment, model)
    return model


def _encoder(view: FrozenView) -> list[Any]:
    """An encoder as modules: what it computes of an item is the `sentence_embedding`."""
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    parts = view.encoder.parts
    encoder = exportable(view) if len(parts) == 1 and view.modality in _TOWER_OF else None
    if not isinstance(encoder, PretrainedEncoder):
        raise EncoderError(
            f"view {view.name!r}: {view.params.encoder_names} is no model of transformers for "
            f"texts or pictures, so sentence-transformers has no module for it"
        )
    told = encoder.description
    pooling = told["pooling"]
    if told["layer"] != -1 or told["dtype"] != "float32" or told.get("head"):
        raise EncoderError(
            f"view {view.name!r}: an inner layer, another precision than float32, or layers behind "
            f"the pooling are no plain modules"
        )
    way = {"method": "forward", "method_output_name": "last_hidden_state"}
    if pooling == "pooler":
        way = {"method": _TOWER_OF[view.modality], "method_output_name": "pooler_output"}
    transformer = Transformer(
        str(encoder.files.folder),
        max_seq_length=told.get("longest"),
        modality_config={view.modality: way},
        module_output_name="sentence_embedding" if pooling == "pooler" else "token_embeddings",
    )
    if view.modality == "image":  # grey and transparent pictures too
        processor = transformer.processor
        getattr(processor, "image_processor", processor).do_convert_rgb = True
    if pooling == "pooler":
        return [transformer]
    return [transformer, Pooling(transformer.get_embedding_dimension(), pooling)]


def _projection(how: Preparation, mean: Array, matrix: Array, weights: Array) -> list[Any]:
    """Features to index vectors of the canonical score."""
    import torch
    from sentence_transformers.base.modules import Dense, Normalize

    def dense(weight: Array, bias: Array | None) -> Any:
        given = None if bias is None else torch.from_numpy(bias.astype(np.float32))
        return Dense(
            weight.shape[1],
            weight.shape[0],
            bias=bias is not None,
            activation_function=None,
            init_weight=torch.from_numpy(np.ascontiguousarray(weight, np.float32)),
            init_bias=given,
        )

    kept = matrix[:, : len(weights)]
    steps = [dense(kept.T, -mean @ kept), Normalize(), dense(np.diag(np.sqrt(weights)), None)]
    return [Normalize(), *steps] if how.name == "unit" else steps


def _compare(fitted: Fitted, alignment: Alignment, model: Any) -> None:
    """Refuse modules that give other similarities than the fit.

    Raises:
        EncoderError: they do, or they cannot encode at all.
    """
    pairs = fitted.pairs.head(_TRIED)
    root = dataset_root(fitted.params.dataset, fitted.ws.root)
    found, features = [], []
    for name in fitted.scorer.names:
        load = item_loader(fitted.params.views[name], root, fitted.params.dataset.max_image_pixels)
        try:
            items = [load(value) for value in pairs[name].to_list()]
            found.append(model.encode(items))
        except (RuntimeError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise EncoderError(
                f"view {name!r}: sentence-transformers cannot encode its items "
                f"({' '.join(str(error).split())[:150]})"
            ) from None
        features.append(fitted.features(name).rows(pairs[f"{name}_hash"].to_list()))
    left, right = alignment.index_vectors(*features)
    scores = left @ right.T
    difference = float(np.abs(found[0] @ found[1].T - scores).max() / np.abs(scores).max())
    if not difference < _CLOSE:
        raise EncoderError(
            f"sentence-transformers encodes the items otherwise: similarities differ by "
            f"{difference:.2g} of the largest"
        )
