"""What encoders made of a transformers model have in common: which tower of it, how it is
pooled, loaded when first needed.
"""

from functools import cached_property
from typing import Any

from csa.encoders.base import Encoder, options_of
from csa.encoders.models import ModelFiles, load_model, model_class
from csa.encoders.pooling import check_pooling, pool
from csa.params.views import Pooling, ViewParams

_TOWERS = {"image": "vision_model", "text": "text_model", "audio": "audio_model"}


class PretrainedEncoder(Encoder):
    """A transformers model, or that tower of a model with two which is for the view's modality.

    Where the view names no pooling, a model with two towers gives its projected features, and any
    other the mean over its states.

    Args:
        files: of the model.
        view: how it is used.
        config: the model's configuration.
        auto: the Auto class that loads a model with one tower; one with two is loaded by AutoModel.
        batch_size: items in a forward pass.
        described: what else the features depend on.
    """

    on_device = True

    def __init__(
        self,
        files: ModelFiles,
        view: ViewParams,
        config: Any,
        auto: Any,
        batch_size: int,
        **described: Any,
    ):
        from transformers import AutoModel

        self._files, self._layer, self._backend = files, view.layer, view.backend
        self.dtype = view.dtype
        self._modality = view.modality
        self._two_towers = hasattr(model_class(AutoModel, config), f"get_{view.modality}_features")
        self._auto = AutoModel if self._two_towers else auto
        self._pooling: Pooling = view.pooling or ("pooler" if self._two_towers else "mean")
        description = {
            "encoder": files.name.rstrip("/"),
            "weights": lambda: files.identity,
            "modality": view.modality,
            "pooling": self._pooling,
            "layer": view.layer if isinstance(view.layer, int) else list(view.layer),
            "dtype": view.dtype,
            **described,
            **options_of(view),
        }
        super().__init__(description, batch_size)

    @property
    def runs_on(self) -> str:
        """See `Encoder.runs_on`; OpenVINO runs networks on the processor."""
        return super().runs_on if self._backend == "torch" else "cpu"

    @property
    def files(self) -> ModelFiles:
        """Of the model."""
        return self._files

    def load(self) -> None:
        """See `Encoder.load`."""
        _ = self._call

    @cached_property
    def _call(self) -> Any:
        """What is called: the model, or its tower, loaded when features are first needed."""
        model = load_model(self._auto, self._files).to(self.device.name)
        check_pooling(self._files.name, model, self._pooling, self._layer)
        if not self._two_towers:
            return self._encoder_of(model)
        return getattr(
            model,
            f"get_{self._modality}_features"
            if self._pooling == "pooler"
            else _TOWERS[self._modality],
        )

    def _encoder_of(self, model: Any) -> Any:
        """What is called of a model with one tower."""
        return model

    def _pool(self, output: Any, mask: Any = None) -> Any:
        """Features (batch, d) of what the model gave; `mask` has 1 where an item is and 0 where
        it was filled up.
        """
        return pool(self._files.name, output, self._pooling, self._layer, mask)

    @property
    def _inner(self) -> dict[str, Any]:
        """What to ask the model for besides its output: the states of inner layers."""
        return {} if self._layer == -1 else {"output_hidden_states": True}
