"""What every encoder has in common: a fingerprint, and features that do not depend on what
shared a batch.
"""

import hashlib
import json
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from csa.core.matrices import Float32
from csa.encoders.device import Device
from csa.errors import EncoderError
from csa.params.views import EncoderParams, ViewParams


class Encoder(ABC):
    """A frozen encoder of one modality.

    Every forward pass has one of few fixed shapes (short batches are filled up, items of one batch
    have one padded length) and runs in one thread. So an item's features are the same bits alone,
    in company, after a resumed run, and on any number of cores; several batches at once keep all
    cores busy. Of a GPU, see `csa.encoders.device`.

    Args:
        description: as the attribute; a value may be a function, which is called when the
            description is first asked for, so that whoever only encodes need not wait for a hash
            of the weights.
        batch_size: items in a forward pass.

    Attributes:
        batch_size: items in a forward pass.
        origin: what loads it again in another process, a function and what it takes; the registry
            writes it.
        device: where its network runs, if it has one.
        dtype: what the network multiplies in.
        on_device: whether it has a network that torch runs, on any device.
        augments: values of `augment` that this kind of encoder has.
        backends: values of `backend` that this kind of encoder has.
        cached: whether features are worth keeping in the item cache; not where they are only read
            from a file.
    """

    augments: ClassVar[tuple[str, ...]] = ("none",)
    backends: ClassVar[tuple[str, ...]] = ("torch",)
    cached = True
    on_device: ClassVar[bool] = False
    dtype = "float32"
    origin: tuple[Callable[[ViewParams, str], "Encoder"], ViewParams, str] | None = None

    def __init__(self, description: Mapping[str, Any], batch_size: int):
        self._described = description
        self.batch_size = batch_size
        self.device = Device()
        self._loading = threading.Lock()
        self._compiled: Callable[..., Float32] | None = None

    @cached_property
    def description(self) -> dict[str, Any]:
        """JSON-able: all that the features depend on, such as weights, pooling, layer,
        preprocessing and dtype.
        """
        return {name: fact() if callable(fact) else fact for name, fact in self._described.items()}

    @cached_property
    def fingerprint(self) -> str:
        """A readable name and 16 hex digits over the description."""
        return fingerprint_of(self.description)

    @classmethod
    def check(cls, view: EncoderParams) -> None:
        """Refuse what this kind of encoder cannot do, before any file of it is looked for.

        Raises:
            EncoderError: a value of `augment` or `backend` that it does not have.
        """
        for option, able in (("augment", cls.augments), ("backend", cls.backends)):
            asked = getattr(view, option)
            if asked not in able:
                raise EncoderError(
                    f"encoder {view.encoder!r} has {option}: {' or '.join(able)} alone, got "
                    f"{asked}; change the setting"
                )

    def load(self) -> None:  # noqa: B027 (most encoders have weights, but not all)
        """Load the weights, if there are any and they are not loaded; called by one thread at a
        time.
        """

    def __reduce__(self) -> Any:
        if self.origin is None:
            raise EncoderError(
                f"encoder {self.fingerprint} was not loaded from a view, so no other process can "
                f"load it again; use csa.encoders.registry.load_encoder"
            )
        load, *given = self.origin
        return load, tuple(given)

    def place(self, device: Device) -> None:
        """Have the network run on a device; before the weights are loaded."""
        self.device = device

    @property
    def runs_on(self) -> str:
        """The device's name; cpu for an encoder without a network that torch runs there."""
        return self.device.name if self.on_device else "cpu"

    @abstractmethod
    def prepare(self, item: Any) -> Any:
        """What a forward pass takes of one item; safe to call from several threads."""

    @abstractmethod
    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """Features of one full batch.

        Args:
            prepared: what `prepare` gave of each item, all of one padded length; `batch_size` of
                them, or any number where `cached` is false.
            padded_length: their length, from `padded_lengths`; 0 where all items have one shape.

        Returns:
            Features, shape (len(prepared), d), float32, in order.

        Raises:
            EncoderError, FeatureError: prepared items of several shapes, which cannot share a
                batch.
        """

    def run(self, network: Callable[..., Any], backend: str, **tensors: Any) -> Float32:
        """What a network gives for tensors, by the backend that was asked for; OpenVINO compiles it
        at the first call.

        Args:
            network: takes the tensors by name, gives a tensor (batch, d).
            backend: torch or openvino.
            tensors: of one batch.

        Returns:
            Features, shape (batch, d), float32.

        Raises:
            EncoderError: OpenVINO is not installed, or cannot run such a network; one item does not
                fit into a GPU's memory.
        """
        if backend == "torch":
            return self.device.run(network, tensors, self.dtype)
        with self._loading:
            if self._compiled is None:
                from csa.encoders.openvino import Compiled

                self._compiled = Compiled(str(self.description["encoder"]), network, tensors)
        return self._compiled(**tensors)

    def padded_lengths(self, values: list[str]) -> list[int]:
        """The padded length of every item, from its value in the pairs table; 0 where all items
        have one shape.
        """
        return [0] * len(values)

    def encode(self, items: list[Any]) -> Float32:
        """Features of a few items, shape (n, d), in order."""
        lengths = self.padded_lengths([item if isinstance(item, str) else "" for item in items])
        rows: dict[int, Float32] = {}
        for batch in batches(lengths, self.batch_size):
            features = self.encode_batch([self.prepare(items[i]) for i in batch], lengths[batch[0]])
            rows.update(zip(batch, features, strict=True))
        return np.stack([rows[i] for i in range(len(items))])

    def encode_batch(self, prepared: list[Any], padded_length: int) -> Float32:
        """Features of at most `batch_size` prepared items; the batch is filled up with repeats of
        the last.

        Safe to call from several threads.

        Args:
            prepared: what `prepare` gave of each item, all of one padded length, at least one and
                at most `batch_size` of them.
            padded_length: their length, from `padded_lengths`; 0 where all items have one shape.

        Returns:
            Features, shape (len(prepared), d), float32, in order.

        Raises:
            EncoderError: the weights cannot be loaded.
            EncoderError, FeatureError: as `forward`.
        """
        with self._loading:
            self.load()
        _compute_in_one_thread()
        full = prepared + [prepared[-1]] * (self.batch_size - len(prepared))
        return np.ascontiguousarray(
            self.forward(full, padded_length)[: len(prepared)], dtype=np.float32
        )


def _compute_in_one_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:  # an encoder that does not use it need not load it
        torch.set_num_threads(1)


def options_of(view: ViewParams) -> dict[str, str]:
    """What a description says of backend, augmentation and arithmetic; nothing of their defaults,
    so that features made before are found.
    """
    arithmetic = "plain" if view.dtype == "float32" else "autocast"
    given: dict[str, str] = {
        "backend": view.backend,
        "augment": view.augment,
        "arithmetic": arithmetic,
    }
    defaults = ("torch", "none", "plain")
    return {name: value for name, value in given.items() if value not in defaults}


def batches(lengths: list[int], batch_size: int) -> list[list[int]]:
    """Positions of items in batches of one padded length each, shorter lengths first, in order
    within a length.

    Args:
        lengths: the padded length of each item, shape (n,).
        batch_size: the most items of a batch.

    Returns:
        The positions, 0 to n - 1, of each batch's items.
    """
    of_length: dict[int, list[int]] = {}
    for position, length in enumerate(lengths):
        of_length.setdefault(length, []).append(position)
    return [
        of_length[n][i : i + batch_size]
        for n in sorted(of_length)
        for i in range(0, len(of_length[n]), batch_size)
    ]


def fingerprint_of(description: dict[str, Any]) -> str:
    """A readable name and 16 hex digits over everything in the description."""
    digest = hashlib.sha256(
        json.dumps(description, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()[:16]
    names = " ".join(name.rsplit("/", 1)[-1] for name in str(description["encoder"]).split(" + "))
    name = "".join(c if c.isalnum() else "-" for c in names.lower()).strip("-")
    return f"{name[:40]}-{digest}"
