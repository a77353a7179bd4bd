"""The opt-in backend: a network compiled by OpenVINO for this machine's processor, in float32."""

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

from csa.core.matrices import Float32
from csa.errors import EncoderError
from csa.extras import needed_for


class Compiled:
    """A network as OpenVINO runs it: the arithmetic of float32, one thread a request, one request a
    calling thread.

    Its features agree with torch's to about six digits, not bit for bit, so an encoder that uses it
    has a fingerprint of its own.
    """

    def __init__(self, name: str, network: Callable[..., Any], example: dict[str, Any]):
        """Trace and compile.

        Args:
            name: of the encoder, for errors.
            network: takes the tensors of `example` by name, gives features (batch, d).
            example: tensors as they will come; their sizes may differ later.

        Raises:
            EncoderError: OpenVINO is not installed, or cannot run such a network.
        """
        # Converting a model would report it to OpenVINO's makers and leave files at home; without
        # this module it does not.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        with needed_for(f"encoder {name!r}: backend: openvino", EncoderError):
            import openvino
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = openvino.convert_model(
                    _module(network, list(example)), example_input=tuple(example.values())
                )
            cores = os.cpu_count() or 1
            settings = {
                "INFERENCE_PRECISION_HINT": "f32",
                "NUM_STREAMS": cores,
                "INFERENCE_NUM_THREADS": cores,
            }
            self._model = openvino.Core().compile_model(model, "CPU", settings)
        except (RuntimeError, TypeError, ValueError) as error:
            logging.getLogger(__name__).debug("OpenVINO refused", exc_info=True)
            words = " ".join(str(error).split())[:200]
            raise EncoderError(
                f"encoder {name!r}: OpenVINO cannot compile it ({words}); use backend: torch"
            ) from None
        self._names = list(example)
        self._local = threading.local()

    def __call__(self, **tensors: Any) -> Float32:
        """Features of a batch, shape (batch, d)."""
        if not hasattr(self._local, "request"):
            self._local.request = self._model.create_infer_request()
        result = self._local.request.infer([tensors[name].numpy() for name in self._names])
        features: Float32 = result[self._model.output(0)].copy()
        return features


def _module(network: Callable[..., Any], names: list[str]) -> Any:
    import torch

    class Network(torch.nn.Module):
        def forward(self, *tensors: Any) -> Any:
            return network(**dict(zip(names, tensors, strict=True)))

    return Network().eval()
