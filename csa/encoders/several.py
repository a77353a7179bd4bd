"""The encoder of a view: one, or several whose features are put side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from csa.core.matrices import Float32
from csa.core.preparation import unit
from csa.encoders.base import Encoder, fingerprint_of


class ViewEncoder:
    """One encoder, or several that see the same items.

    Each has its own place in the item cache, so one that is added costs its own passes and none of
    the others'.

    Attributes:
        parts: the encoders, in the order of the parameters.
    """

    def __init__(self, parts: Sequence[Encoder]):
        self.parts = tuple(parts)

    @property
    def description(self) -> dict[str, Any]:
        """JSON-able: all that the features depend on; of one encoder its own."""
        if len(self.parts) == 1:
            return self.parts[0].description
        return {
            "encoder": " + ".join(str(part.description["encoder"]) for part in self.parts),
            "side_by_side": [part.description for part in self.parts],
        }

    @property
    def fingerprint(self) -> str:
        """A readable name and 16 hex digits over the description."""
        if len(self.parts) == 1:
            return self.parts[0].fingerprint
        return fingerprint_of(self.description)

    def encode(self, items: list[Any]) -> Float32:
        """Features of a few items, shape (n, d), in order."""
        return self.join([part.encode(items) for part in self.parts])

    def join(self, features: list[Float32]) -> Float32:
        """Features of the parts (n, d_i) to those of the view (n, sum of d_i): each part's rows at
        unit length, side by side.

        Of one encoder they are left as they are.
        """
        if len(features) == 1:
            return features[0]
        return np.concatenate([unit(part) for part in features], axis=1)
