"""Features that were computed elsewhere: the items are rows of feature files, and stay as they
are.
"""

from typing import Any

import numpy as np

from csa.core.matrices import Float32
from csa.encoders.base import Encoder
from csa.errors import FeatureError
from csa.params.views import ViewParams


class Precomputed(Encoder):
    """Rows of feature files as float32."""

    cached = False

    def __init__(self, view: ViewParams):
        self.check(view)
        super().__init__({"encoder": "precomputed", "dtype": "float32"}, view.batch_size)

    def prepare(self, item: Any) -> Any:
        """The row itself, shape (d,)."""
        return item

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        lengths = {len(row) for row in prepared}
        if len(lengths) > 1:
            raise FeatureError(
                f"precomputed features have rows of {sorted(lengths)} values; all files of a view "
                f"need one length"
            )
        return np.stack(prepared)
