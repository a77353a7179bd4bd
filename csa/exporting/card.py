"""The head of a model card as the Hub reads it: licence, base models, metrics as model-index."""

import re
from pathlib import Path
from typing import Any

from csa.errors import InputError
from csa.questions.opened import Fitted
from csa.results.evaluation import EvaluationMetrics

# Identifiers that the Hub lists; any other licence is `other`, with its name beside it.
_LICENCES = frozenset(
    {
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "mpl-2.0", "unlicense", "openrail"),
        *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
        *("cc-by-nd-4.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "odbl"),
    }
)
_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_ON_THE_HUB = {
    "minilm-l6-v2": "sentence-transformers/all-MiniLM-L6-v2",
    "mpnet-base-v2": "sentence-transformers/all-mpnet-base-v2",
    "whisper-tiny.en": "openai/whisper-tiny.en",
}
_MEASURED = ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")


def head_of_card(fitted: Fitted) -> str:
    """The metadata between the two lines of `---`.

    Args:
        fitted: a workspace that was run.

    Returns:
        YAML, in the order of huggingface_hub's `ModelCardData`.
    """
    from huggingface_hub import ModelCardData

    given = fitted.params.card.licence
    licence: dict[str, Any] = {}
    if given:
        known = given.lower() in _LICENCES
        licence = {"license": given.lower()} if known else {"license": "other"}
        licence |= {} if known else {"license_name": given}
    results = _results(fitted)
    data = ModelCardData(
        **licence,
        library_name="sentence-transformers",
        pipeline_tag="feature-extraction",
        tags=["sentence-transformers", "canonical-similarity-analysis", "multimodal"],
        base_model=_base_models(fitted) or None,
        model_name=fitted.params.model.name if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml())


def check_licence(fitted: Fitted) -> None:
    """Refuse a repository for the Hub without a licence.

    Args:
        fitted: a workspace that was run.

    Raises:
        InputError: `card.licence` is not set.
    """
    if not fitted.params.card.licence:
        raise InputError(
            "--format hub needs a licence, and params.yaml has none; set card.licence, such as "
            "cc-by-4.0"
        )


def _base_models(fitted: Fitted) -> list[str]:
    """The encoders that the Hub knows; a folder of this machine is named nowhere."""
    found: dict[str, None] = {}
    for view in fitted.scorer.views.values():
        for part in view.params.parts:
            name = _ON_THE_HUB.get(part.encoder, part.encoder)
            if _MODEL_ID.fullmatch(name) and not Path(name).exists():
                found[name] = None
    return list(found)


def _results(fitted: Fitted) -> list[Any]:
    """Retrieval on the held-out pairs in both directions, with intervals; none before it was
    evaluated.
    """
    from huggingface_hub import EvalResult

    if not fitted.ws.metrics.is_file():
        return []
    metrics, dataset = EvaluationMetrics.read(fitted.ws.metrics), fitted.params.dataset
    return [
        EvalResult(
            task_type="retrieval",
            task_name=direction.replace("_to_", " to "),
            dataset_type=dataset.kind,
            dataset_name=Path(dataset.path).name,
            dataset_config=direction,
            dataset_split="test",
            metric_type=name,
            metric_value=round(measured.value, 4),
            metric_args={"low": round(measured.low, 4), "high": round(measured.high, 4)},
        )
        for direction, told in metrics.retrieval.items()
        for name, measured in ((name, getattr(told, name)) for name in _MEASURED)
    ]
