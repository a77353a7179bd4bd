"""Requests that arrive together share the encoder's passes."""

import os
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from csa.core.matrices import Float32
from csa.encoders.base import Encoder, batches
from csa.encoders.several import ViewEncoder

Prepared = tuple[tuple[Any, int], ...]
"""What each part of a view's encoder takes of one item, with its padded length."""


@dataclass(eq=False)
class _Request:
    """Items of one request, and what came of them."""

    items: list[Prepared]
    rows: Float32 | None = None
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.rows is not None or self.error is not None


class SharedBatches:
    """An encoder for many threads: a thread that finds it free works for all that wait.

    A forward pass has the fit's batch size, or the least size that holds the items and gives the
    same bits: the first pass of each smaller size is computed both ways. So nobody gets other
    numbers than offline, and one item alone does not cost a whole batch.

    Args:
        encoder: what encodes.
        workers: how many threads encode at a time; default one for each processor core.

    Attributes:
        passes: how often waiting requests were taken up together.
        items: how many items they had.
    """

    def __init__(self, encoder: ViewEncoder, workers: int | None = None):
        self._encoder, self._free = encoder, workers or os.cpu_count() or 1
        self._most = max(part.batch_size for part in encoder.parts)
        self._waiting: deque[_Request] = deque()
        self._turn = threading.Condition()
        self._same_bits: dict[tuple[int, int, int], bool] = {}
        self.passes = self.items = 0

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
        mine = _Request(items)
        with self._turn:
            self._waiting.append(mine)
        while not mine.done:
            together = self._take(mine)
            if together:
                try:
                    self._answer(together)
                finally:
                    with self._turn:
                        self._free += 1
                        self._turn.notify_all()
        if mine.error is not None:
            raise mine.error
        assert mine.rows is not None
        return mine.rows

    def _take(self, mine: _Request) -> list[_Request]:
        """Wait until the request is answered (nothing to do), or take up what waits."""
        with self._turn:
            while not mine.done and not (self._free and self._waiting):
                self._turn.wait()
            together: list[_Request] = []
            if mine.done:
                return together
            count = 0
            while self._waiting and (not together or count < self._most):
                together.append(self._waiting.popleft())
                count += len(together[-1].items)
            self._free -= 1
            self.passes += 1
            self.items += count
            return together

    def _answer(self, together: list[_Request]) -> None:
        try:
            rows = self._features([item for request in together for item in request.items])
        except Exception as error:
            if len(together) == 1:
                together[0].error = error
                return
            for request in together:  # an item that cannot be encoded is its own request's fault
                self._answer([request])
            return
        start = 0
        for request in together:
            stop = start + len(request.items)
            request.rows = rows[start:stop]
            start = stop

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
