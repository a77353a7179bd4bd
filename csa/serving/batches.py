"""Requests that arrive together share the encoder's batches."""

import queue
import threading
from concurrent.futures import Future
from typing import Any

from csa.core.matrices import Float32
from csa.encoders.several import ViewEncoder

_MOST_ITEMS = 128
_Waiting = tuple[list[Any], "Future[Float32]"]


class SharedBatches(ViewEncoder):
    """An encoder that one thread asks for all: whatever waits when it is free goes in together.

    An item's features do not depend on what shared its batch, so nobody gets other numbers than
    alone.

    Args:
        encoder: what encodes.
    """

    def __init__(self, encoder: ViewEncoder):
        super().__init__(encoder.parts)
        self._waiting: queue.SimpleQueue[_Waiting] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name="csa-encoder").start()

    def encode(self, items: list[Any]) -> Float32:
        """Features of a few items, shape (n, d), in order.

        Args:
            items: as the encoder takes them.

        Returns:
            The features.

        Raises:
            EncoderError, DataError: as of the encoder.
        """
        future: Future[Float32] = Future()
        self._waiting.put((items, future))
        return future.result()

    def _work(self) -> None:
        while True:
            together = [self._waiting.get()]
            while sum(len(items) for items, _ in together) < _MOST_ITEMS:
                try:
                    together.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            self._answer(together)

    def _answer(self, together: list[_Waiting]) -> None:
        try:
            rows = super().encode([item for items, _ in together for item in items])
        except Exception as error:
            if len(together) == 1:
                together[0][1].set_exception(error)
            else:  # an item that cannot be encoded is its own request's fault
                for one in together:
                    self._answer([one])
            return
        start = 0
        for items, future in together:
            future.set_result(rows[start : start + len(items)])
            start += len(items)
