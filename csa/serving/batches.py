"""Requests that arrive together share the encoder's passes."""

from typing import Any

import numpy as np

from csa.core.matrices import Float32
from csa.core.threads import cores
from csa.encoders.base import Encoder, batches
from csa.encoders.several import ViewEncoder
from csa.serving.together import Room, Together

Prepared = tuple[tuple[Any, int], ...]
"""What each part of a view's encoder takes of one item, with its padded length."""


class SharedBatches:
    """An encoder for many threads, whose requests share its passes.

    A forward pass has the fit's batch size, or the least size that holds the items and gives the
    same bits: the first pass of each smaller size is computed both ways. So nobody gets other
    numbers than offline, and one item alone does not cost a whole batch.

    Args:
        encoder: what encodes.
        workers: how many threads encode at a time; default one for each processor core.
    """

    def __init__(self, encoder: ViewEncoder, workers: int | None = None):
        self._encoder = encoder
        self._same_bits: dict[tuple[int, int, int], bool] = {}
        room = Room(max(part.batch_size for part in encoder.parts), workers or cores())
        self._together = Together(self._features_of, len, room)

    @property
    def passes(self) -> int:
        """How often waiting requests were taken up together."""
        return self._together.passes

    @property
    def items(self) -> int:
        """How many items they had."""
        return self._together.taken

    def prepare(self, item: Any) -> Prepared:
        """What the forward passes take of one item.

        Args:
            item: as the encoder takes it.

        Returns:
            Much less than a decoded picture.

        Raises:
            DataError, EncoderError: as of the encoder.
        """
        text = item if isinstance(item, str) else ""
        return tuple(
            (part.prepare(item), part.padded_lengths([text])[0]) for part in self._encoder.parts
        )

    def encode(self, items: list[Prepared]) -> Float32:
        """Features of a few items, shape (n, d), in order.

        Args:
            items: from `prepare`, at least one.

        Returns:
            The features.

        Raises:
            EncoderError, DataError: as of the encoder.
        """
        return self._together(items)

    def _features_of(self, requests: list[list[Prepared]]) -> list[Float32]:
        rows = self._features([item for items in requests for item in items])
        stops = np.cumsum([len(items) for items in requests])
        return np.split(rows, stops[:-1])

    def _features(self, items: list[Prepared]) -> Float32:
        parts = []
        for number, part in enumerate(self._encoder.parts):
            prepared, lengths = zip(*(item[number] for item in items), strict=True)
            rows: dict[int, Float32] = {}
            for batch in batches(list(lengths), part.batch_size):
                found = self._pass(number, [prepared[i] for i in batch], lengths[batch[0]])
                rows.update(zip(batch, found, strict=True))
            parts.append(np.stack([rows[i] for i in range(len(items))]))
        return self._encoder.join(parts)

    def _pass(self, number: int, prepared: list[Any], length: int) -> Float32:
        part = self._encoder.parts[number]
        for size in range(len(prepared), part.batch_size):
            shape = (number, size, length)
            small = _with_batch_size(part, size)
            if self._same_bits.get(shape):
                return small.encode_batch(prepared, length)
            if shape not in self._same_bits:
                rows = part.encode_batch(prepared, length)
                self._same_bits[shape] = np.array_equal(small.encode_batch(prepared, length), rows)
                return rows
        return part.encode_batch(prepared, length)


def _with_batch_size(part: Encoder, size: int) -> Encoder:
    """The same encoder, with the same weights in memory, for passes of another size."""
    small = object.__new__(type(part))  # a copy by its pickle would load them again
    small.__dict__ = part.__dict__ | {"batch_size": size}
    return small
