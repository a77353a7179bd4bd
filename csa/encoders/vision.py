"""Any transformers image model: DINOv2, ViT, CLIP's image tower, ConvNeXt and their like."""

from typing import Any, ClassVar

import numpy as np

from csa.core.matrices import Float32
from csa.encoders.models import ModelFiles, load_pretrained
from csa.encoders.pretrained import PretrainedEncoder
from csa.errors import EncoderError
from csa.params.views import ViewParams


class PixelMaker:
    """A model's own preprocessing of pictures.

    Args:
        files: whose folder has preprocessor_config.json.
    """

    def __init__(self, files: ModelFiles):
        from transformers import AutoImageProcessor

        self._name = files.name
        self._processor = load_pretrained(
            AutoImageProcessor, files, "image processor", backend="pil"
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Of the processor."""
        settings: dict[str, Any] = self._processor.to_dict()
        return settings

    def one(self, picture: Any) -> Any:
        """Pixel values of one RGB image, shape (3, height, width)."""
        return np.asarray(self._processor(images=[picture], return_tensors="np")["pixel_values"][0])

    def together(self, pictures: list[Any]) -> Any:
        """The pixels of a batch.

        Args:
            pictures: from `one`.

        Returns:
            An array (batch, 3, height, width).

        Raises:
            EncoderError: pictures of several sizes.
        """
        shapes = {array.shape for array in pictures}
        if len(shapes) > 1:
            raise EncoderError(
                f"encoder {self._name!r}: its preprocessing makes images of several sizes "
                f"({sorted(shapes)[:3]}); set a fixed size in its preprocessor_config.json"
            )
        return np.stack(pictures)


class VisionEncoder(PretrainedEncoder):
    """An image model with its own preprocessing.

    Without `pooling`, a model of two towers gives its projected image features, and any other the
    mean over all tokens (as the paper uses DINOv2).
    """

    augments: ClassVar[tuple[str, ...]] = ("none", "flip")
    backends: ClassVar[tuple[str, ...]] = ("torch", "openvino")

    def __init__(self, files: ModelFiles, view: ViewParams):
        from transformers import AutoConfig, AutoModel

        self._processor = PixelMaker(files)
        self._mirrored = view.augment == "flip"
        config = load_pretrained(AutoConfig, files, "configuration")
        preprocessing = _plain(self._processor.settings)
        super().__init__(
            files, view, config, AutoModel, view.batch_size, preprocessing=preprocessing
        )

    def prepare(self, item: Any) -> Any:
        """Pixel values of one RGB image, shape (3, height, width)."""
        return self._processor.one(item)

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        import torch

        pixels = torch.from_numpy(self._processor.together(prepared)).float()
        return self.run(self._network, self._backend, pixel_values=pixels)

    def _network(self, pixel_values: Any) -> Any:
        """Features, or their mean over the pictures and their mirror images."""
        features = self._look(pixel_values)
        return (features + self._look(pixel_values.flip(-1))) / 2 if self._mirrored else features

    def _look(self, pixel_values: Any) -> Any:
        return self._pool(self._call(pixel_values=pixel_values, **self._inner))


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide what a picture looks like to the model."""
    kept = ("do_", "size", "crop_size", "image_mean", "image_std", "resample", "rescale_factor")
    return {key: _json(value) for key, value in sorted(config.items()) if key.startswith(kept)}


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json(v) for key, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_json(v) for v in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
