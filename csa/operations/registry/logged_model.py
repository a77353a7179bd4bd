"""The model that is logged in MLflow: raw items or features in, answers out, whole without this
package.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from csa.encoders.models import is_elsewhere
from csa.encoders.onnx_graph import find_onnx
from csa.encoders.registry import BUILTIN, load_view_encoder
from csa.errors import EncoderError
from csa.operations.registry.packing import pack_code
from csa.operations.registry.requirements import requirements
from csa.operations.runs.records import RunRecord
from csa.params.schema import Params
from csa.params.views import ViewParams
from csa.pipeline.scoring import scorer_of
from csa.pipeline.workspace import Workspace
from csa.results.evaluation import EvaluationMetrics
from csa.scoring.frozen import FrozenView
from csa.scoring.scorer import ALIGNMENT, Scorer

_EXAMPLE_ROWS = 2


def log_model(ws: Workspace, run: RunRecord, metrics: EvaluationMetrics) -> Any:
    """Log a run's model in the MLflow run that is under way.

    Args:
        ws: the workspace with the run's artifacts.
        run: its record.
        metrics: of its evaluation.

    Returns:
        MLflow's description of the model.

    Raises:
        EncoderError: `model.with_weights` is set, and an encoder's files cannot be carried.
    """
    import mlflow

    about = {"model": run.model, "run_id": run.run_id, "evaluated": _evaluated(metrics)}
    params = Params.from_mapping(run.params)
    scorer = scorer_of(ws, params, about)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        carried = carry_weights(scorer, folder) if params.model.with_weights else {}
        artifacts = {file.stem: str(file) for file in scorer.write(folder)}
        # to the byte what was recorded; DVC may have put a link there, which MLflow refuses
        artifacts["alignment"] = str(shutil.copyfile(ws.alignment, folder / ALIGNMENT))
        artifacts |= {f"weights_{view}": str(folder / at) for view, at in carried.items()}
        pack_code(folder / "csa.zip", ws.code_memory)
        return mlflow.pyfunc.log_model(
            name="alignment",
            python_model=str(Path(__file__).with_name("mlflow_model.py")),
            artifacts=artifacts,
            code_paths=[str(folder / "csa.zip")],
            model_config={
                "weights": {view: Path(at).name for view, at in carried.items()},
                "encoders": {},
                "files_from": None,
                "device": None,
            },
            signature=_signature(scorer),
            input_example=_example(scorer),
            metadata=_metadata(scorer),
            pip_requirements=requirements(params.views),
        )


def carry_weights(scorer: Scorer, folder: Path) -> dict[str, str]:
    """Copy encoders' files into a folder, and make the scorer say that they are those of the fit.

    Built-in encoders come with packages, and features from files with nothing.

    Args:
        scorer: whose views' encoders.
        folder: where to, a folder `weights_VIEW` for each view that has some.

    Returns:
        View -> the name of its folder.

    Raises:
        EncoderError: an encoder's files are not here, or are no safetensors.
    """
    carried = {}
    for name, view in scorer.views.items():
        parts = [part for part in view.params.parts if part.encoder not in BUILTIN]
        if not parts:
            continue
        if len(parts) < len(view.params.parts):
            raise EncoderError(
                f"view {name!r}: model.with_weights cannot carry {view.params.encoder_names}, "
                f"built-in and other encoders side by side; set it to false"
            )
        at = folder / f"weights_{name}"
        for number, part in enumerate(parts):
            _copy_encoder(part, at if len(parts) == 1 else at / str(number))
        view.compare(view.encoder)  # its files are those of the fit
        scorer.views[name] = _from(view, at)
        carried[name] = at.name
    return carried


def _from(view: FrozenView, folder: Path) -> FrozenView:
    """A view whose encoder is what lies in a folder: a revision is known there by its files."""
    copy = FrozenView(view.name, view.params, {}, view.fingerprint, view.dimension)
    copy.weights_from(folder)
    return FrozenView(
        view.name,
        view.params,
        load_view_encoder(copy.params).description,
        view.fingerprint,
        view.dimension,
    )


def _copy_encoder(part: ViewParams, folder: Path) -> None:
    from csa.encoders.models import find_model

    onnx = None if part.encoder in BUILTIN else find_onnx(part)
    if onnx is not None:
        for name, path in onnx.all.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
        return
    if is_elsewhere(part):
        raise EncoderError(f"encoder {part.encoder!r}: not on this machine; run `csa run` first")
    files = find_model(part, sorted(BUILTIN))
    if not any(files.folder.glob("*.safetensors")):
        raise EncoderError(
            f"encoder {part.encoder!r}: its weights are not safetensors, and a registered model "
            f"carries no pickle; save it again with save_pretrained, or set model.with_weights to "
            f"false"
        )
    pickled = shutil.ignore_patterns("*.bin", "*.pt", "*.pkl", "*.ckpt", "*.h5", ".*", "*.msgpack")
    shutil.copytree(files.folder, folder, ignore=pickled)


def _evaluated(metrics: EvaluationMetrics) -> dict[str, Any]:
    told = metrics.as_dict()
    return {key: told[key] for key in ("evaluation_id", "pairs", "galleries", "retrieval")}


def _metadata(scorer: Scorer) -> dict[str, Any]:
    return {
        "views": {
            name: {
                "modality": view.modality,
                "encoder": view.params.encoder_names,
                "revisions": [part.revision for part in view.params.parts],
                "weights": _weights(view.description),
                "fingerprint": view.fingerprint,
            }
            for name, view in scorer.views.items()
        },
        "score": scorer.alignment.score_name,
        "hubness_corrected": scorer.alignment.hubness_corrected,
        **scorer.about,
    }


def _weights(description: dict[str, Any]) -> list[str]:
    parts = description.get("side_by_side", [description])
    return [str(part["weights"]) for part in parts if "weights" in part]


def _signature(scorer: Scorer) -> Any:
    """Any task gives a table, with those columns of these that it answers with."""
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec
    from mlflow.types.schema import AnyType, Array, ColSpec, DataType, Schema

    anything = AnyType()  # type: ignore[no-untyped-call]

    def column(name: str, kind: Any) -> Any:
        return ColSpec(kind, name=name, required=False)

    params = [
        ParamSpec("task", DataType.string, "auto"),
        ParamSpec("top_k", DataType.long, 5),
        ParamSpec("labels", DataType.string, [], shape=(-1,)),
        ParamSpec("alpha", DataType.double, 0.0),
    ]
    scores = [column(name, DataType.double) for name in ("score", "p_match", "p_mismatch")]
    return ModelSignature(
        inputs=Schema([column(view, anything) for view in scorer.names]),
        outputs=Schema(
            [
                *scores,
                column("verdict", DataType.string),
                *(column(view, Array(DataType.double)) for view in scorer.names),
                column("found", anything),
            ]
        ),
        params=ParamSchema(params),
    )


def _example(scorer: Scorer) -> Any:
    """Features of both views, so that no encoder is needed for it; their values are of no item."""
    import numpy as np
    import pandas as pd

    rows = (
        [np.linspace(1.0, 2.0, dimension).tolist()] * _EXAMPLE_ROWS
        for dimension in scorer.alignment.dimensions
    )
    return pd.DataFrame(dict(zip(scorer.names, rows, strict=True)))
