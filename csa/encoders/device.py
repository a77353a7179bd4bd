"""Where an encoder's network runs: the processor, or a GPU that torch sees.

There is one path for all of them. On the processor features are the same bits whatever shares a
batch and on any number of cores. A GPU's own kernels round otherwise: there they agree to a cosine
of 1 - 1e-6 in float32 (docs/decisions/0037-a-device-is-no-parameter-of-a-result.md).
"""

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import numpy as np

from csa.core.matrices import Float32
from csa.errors import EncoderError

# Batches on a GPU: one is computed, one has arrived and waits.
_IN_FLIGHT = 2


class Device:
    """Where the network of one encoder runs, and how many items fit there at once.

    torch is asked which GPUs there are when the name is first needed, so whoever finds all features
    in the cache need not wait for its import.

    Args:
        asked: auto takes a GPU where torch sees one; or cpu, cuda, cuda:N, mps. (meta is torch's
            device without memory, for tests.)
    """

    def __init__(self, asked: str = "cpu"):
        self.asked = asked
        self._fits: int | None = None
        self._turns = threading.BoundedSemaphore(_IN_FLIGHT)

    @cached_property
    def name(self) -> str:
        """As torch calls it.

        Raises:
            EncoderError: torch sees no such device.
        """
        return device_name(self.asked)

    @property
    def is_processor(self) -> bool:
        """Whether it is the processor, whose memory is the host's."""
        return self.name == "cpu"

    def put(self, tensor: Any) -> Any:
        """A tensor there; the copy to an NVIDIA GPU goes on while the caller does."""
        if self.name.startswith("cuda"):
            return tensor.pin_memory().to(self.name, non_blocking=True)
        return tensor if self.is_processor else tensor.to(self.name)

    def fetch(self, tensor: Any) -> Float32:
        """A tensor from there, as an array."""
        array: Float32 = tensor.float().cpu().numpy()
        return array

    def run(self, network: Callable[..., Any], tensors: dict[str, Any], dtype: str) -> Float32:
        """What a network gives for the items of a batch.

        A batch that does not fit into the device's memory is halved, with a note, and so are those
        that follow.

        Args:
            network: takes the tensors by name, gives a tensor (batch, d).
            tensors: of one batch, on the host; the first axis counts the items.
            dtype: float32, or the type that torch's autocast multiplies in.

        Returns:
            Features, shape (batch, d), float32.

        Raises:
            EncoderError: one item does not fit.
        """
        items, parts, start = len(next(iter(tensors.values()))), list[Float32](), 0
        while start < items:
            size = min(self._fits or items, items - start)
            some = {name: tensor[start : start + size] for name, tensor in tensors.items()}
            features = self._one_pass(network, some, dtype)
            if features is None:
                self._halve(size)
                continue
            parts.append(features)
            start += size
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _one_pass(
        self, network: Callable[..., Any], tensors: dict[str, Any], dtype: str
    ) -> Float32 | None:
        """Features; None where the memory did not do."""
        import torch

        turn = nullcontext() if self.is_processor else self._turns
        try:
            with turn, torch.inference_mode(), self._arithmetic(dtype):
                placed = {name: self.put(tensor) for name, tensor in tensors.items()}
                return self.fetch(network(**placed))
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
            return None

    def _arithmetic(self, dtype: str) -> AbstractContextManager[Any]:
        import torch

        if dtype == "float32":
            return nullcontext()
        return torch.autocast(torch.device(self.name).type, dtype=getattr(torch, dtype))

    def _halve(self, size: int) -> None:
        """Remember that so many items do not fit; what the failed pass held is given back."""
        import torch

        if size == 1:
            raise EncoderError(
                f"one item does not fit into the memory of {self.name}; set compute.device: cpu, "
                f"or the view's dtype: float16"
            )
        if self.name.startswith("cuda"):
            torch.cuda.empty_cache()
        if self._fits is None or size // 2 < self._fits:
            self._fits = size // 2
            print(
                f"note: {size} items at once do not fit into the memory of {self.name}; going on "
                f"with {self._fits}",
                file=sys.stderr,
            )


def device_name(asked: str) -> str:
    """The device that is meant, as torch calls it.

    Args:
        asked: auto, cpu, cuda, cuda:N, mps or meta.

    Returns:
        cpu, cuda, cuda:N, mps or meta.

    Raises:
        EncoderError: torch sees no such device.

    >>> device_name("cpu")
    'cpu'
    """
    if asked in ("cpu", "meta"):
        return asked
    import torch

    gpus, apple = torch.cuda.device_count(), torch.backends.mps.is_available()
    if asked == "auto":
        asked = "cuda" if gpus else "mps" if apple else "cpu"
    kind, _, number = asked.partition(":")
    if (kind == "cuda" and int(number or 0) >= gpus) or (kind == "mps" and not apple):
        seen = [f"cuda:{k}" for k in range(gpus)] + ["mps"] * apple
        raise EncoderError(
            f"compute.device is {asked}, and torch {torch.__version__} sees "
            f"{', '.join(seen) or 'no GPU'}; set it (or CSA_DEVICE) to auto or cpu, or install the "
            f"torch that fits the GPU and its driver"
        )
    if kind == "cuda":  # else float32 would have ten bits in convolutions
        torch.backends.cudnn.allow_tf32 = False
    return asked
