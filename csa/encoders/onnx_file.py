"""Any ONNX file as an encoder: onnxruntime runs it, with the preprocessing that is declared beside
it.
"""

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from csa.core.matrices import Float32
from csa.encoders.audio import Hearing
from csa.encoders.base import Encoder
from csa.encoders.onnx_graph import OnnxFiles, short
from csa.encoders.pooling import pool
from csa.encoders.text import LONGEST, lengths_by, load_tokenizer, tokenized
from csa.encoders.vision import PixelMaker
from csa.errors import EncoderError
from csa.extras import needed_for
from csa.params.views import ViewParams

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}
_FOLDER_OF_WEIGHTS = "session.model_external_initializers_file_folder_path"


class OnnxEncoder(Encoder):
    """A network from an ONNX file, in one thread of onnxruntime a pass.

    An output with two axes is taken as it is; one with three (items, tokens, d) or four
    (items, d, height, width) is pooled.

    Args:
        files: of the network.
        view: how it is used; `output` may name any value of the graph.
    """

    def __init__(self, files: OnnxFiles, view: ViewParams):
        self._files, self._wanted = files, self._output_of(files, view.output)
        self._pooling = view.pooling
        if view.layer != -1:
            raise files.error(
                f"an ONNX file has no layers, got layer: {view.layer}; name a value of its graph "
                f"with output:"
            )
        if view.dtype != "float32":
            raise files.error(
                f"an ONNX file says itself what it multiplies in, got dtype: {view.dtype}; remove "
                f"the setting"
            )
        if self._pooling == "pooler":
            raise files.error(
                "an ONNX file has no pooler that is known by name; give its output's name with "
                "output:, and no pooling"
            )
        self._running: tuple[Any, dict[str, Any]] | None = None
        description = {
            "encoder": files.name,
            "weights": lambda: files.identity,
            "runtime": "onnxruntime",
            "modality": view.modality,
            "output": self._wanted,
            "pooling": view.pooling,
        }
        fixed = max((shape[0] for shape in files.facts.inputs.values() if shape), default=0)
        super().__init__(description, fixed or view.batch_size)

    @property
    def files(self) -> OnnxFiles:
        """Of the network."""
        return self._files

    def load(self) -> None:
        """See `Encoder.load`."""
        if self._running is None:
            self._running = self._session()

    def _session(self) -> tuple[Any, dict[str, Any]]:
        with needed_for(f"encoder {self._files.name!r}", EncoderError):
            import onnxruntime
        _ = self._files.all  # weights outside of its folder are an error, and never opened
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        folder = str(self._files.path.parent.resolve())
        options.add_session_config_entry(_FOLDER_OF_WEIGHTS, folder)
        try:
            session = onnxruntime.InferenceSession(
                self._graph_with(self._wanted), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has a class of its own for each of its errors
            raise self._files.error(
                f"onnxruntime cannot load it ({short(error)}); export it again, or update "
                f"onnxruntime"
            ) from None
        types = {value.name: _TYPES.get(value.type) for value in session.get_inputs()}
        unknown = sorted(name for name, kind in types.items() if kind is None)
        if unknown:
            raise self._files.error(
                f"its input {unknown[0]} is of a type that is not known here; export it with float "
                f"or integer inputs"
            )
        return session, types

    @staticmethod
    def _output_of(files: OnnxFiles, wanted: str | None) -> str:
        """The name of the value to take."""
        outputs, inner = files.facts.outputs, files.facts.inner
        if wanted is None and len(outputs) > 1:
            raise files.error(
                f"it has {len(outputs)} outputs ({', '.join(outputs[:8])}); name one with output:"
            )
        if wanted is not None and wanted not in {*outputs, *inner}:
            raise files.error(
                f"it has no value called {wanted!r}; its outputs are {', '.join(outputs[:8])}, "
                f"and the last values before them {', '.join(inner[-4:])}"
            )
        return outputs[0] if wanted is None else wanted

    def _graph_with(self, output: str) -> str | bytes:
        """The file, or its content where a value inside the graph is made an output of it."""
        if output in self._files.facts.outputs:
            return str(self._files.path)
        model = self._files.read()
        model.graph.output.add().name = output
        content: bytes = model.SerializeToString()
        return content

    def _run(self, tensors: dict[str, Any], mask: Any = None) -> Float32:
        """What the graph gives for tensors, as features.

        Args:
            tensors: by name.
            mask: 1 for tokens, 0 for padding; None if there is none.

        Returns:
            Features, shape (batch, d).

        Raises:
            EncoderError: the network refuses them, or gives no features.
        """
        assert self._running is not None
        session, types = self._running
        given = {name: np.asarray(value, types[name]) for name, value in tensors.items()}
        try:
            (found,) = session.run([self._wanted], given)
        except Exception as error:  # as where it is loaded
            shapes = ", ".join(f"{name} {value.shape}" for name, value in given.items())
            raise self._files.error(
                f"it refuses {shapes} ({short(error)}); does the preprocessing belong to it?"
            ) from None
        states = np.asarray(found, np.float32)
        if states.ndim == 2 and self._pooling is None:
            return states
        if states.ndim not in (3, 4):
            raise self._files.error(
                f"its output {self._wanted} has the shape {states.shape}"
                f"{' and nothing to pool' if states.ndim == 2 else ''}; features are (items, d), "
                f"(items, tokens, d) or (items, d, height, width)"
            )
        import torch

        output = SimpleNamespace(last_hidden_state=torch.from_numpy(states))
        weight = None if mask is None or states.ndim == 4 else torch.from_numpy(np.asarray(mask))
        pooled = pool(self._files.name, output, self._pooling or "mean", -1, weight)
        return np.asarray(pooled.numpy(), np.float32)

    def _one_input(self) -> tuple[str, tuple[int, ...]]:
        inputs = self._files.facts.inputs
        if len(inputs) != 1:
            raise self._files.error(
                f"it takes {', '.join(inputs)}, and an encoder of {self._kind} takes one; export "
                f"that tower alone"
            )
        return next(iter(inputs.items()))

    _kind: ClassVar[str]


class OnnxImages(OnnxEncoder):
    """Pictures: their pixels as the image processor beside the file makes them."""

    _kind = "pictures"

    def __init__(self, files: OnnxFiles, view: ViewParams):
        super().__init__(files, view)
        self._name, shape = self._one_input()
        self._channels_last = len(shape) == 4 and shape[3] == 3 and shape[1] != 3
        self._processor = PixelMaker(files.declared)

    def prepare(self, item: Any) -> Any:
        """Pixel values of one RGB image, shape (3, height, width)."""
        return self._processor.one(item)

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        pixels = self._processor.together(prepared)
        return self._run(
            {self._name: pixels.transpose(0, 2, 3, 1) if self._channels_last else pixels}
        )


class OnnxTexts(OnnxEncoder):
    """Texts: the tokens of the tokenizer beside the file."""

    _kind = "texts"

    def __init__(self, files: OnnxFiles, view: ViewParams):
        super().__init__(files, view)
        self._tokenizer = load_tokenizer(files.declared)
        lengths = {shape[1] for shape in files.facts.inputs.values() if len(shape) == 2} - {0}
        self._fixed = min(lengths, default=0)
        longest = min(self._tokenizer.model_max_length, LONGEST)
        self._longest = self._fixed or int(longest)

    def padded_lengths(self, values: list[str]) -> list[int]:
        """Tokens of every text, rounded up to a multiple of 8, or the graph's fixed number."""
        lengths = lengths_by(self._tokenizer, values, self._longest)
        return [self._fixed or length for length in lengths]

    def prepare(self, item: Any) -> Any:
        """The text itself: a batch is tokenized at once."""
        return item

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        given = {"return_tensors": "np", "return_token_type_ids": True}
        tokens = tokenized(self._tokenizer, prepared, padded_length, **given)
        tokens["position_ids"] = np.broadcast_to(
            np.arange(padded_length), (len(prepared), padded_length)
        )
        inputs = self._files.facts.inputs
        unknown = sorted(inputs.keys() - tokens.keys())
        if unknown:
            raise self._files.error(
                f"it takes {', '.join(inputs)}, and the tokenizer gives no {unknown[0]}; export "
                f"the text tower alone"
            )
        return self._run({name: tokens[name] for name in inputs}, tokens["attention_mask"])


class OnnxSounds(OnnxEncoder):
    """Recordings, one a pass: what the feature extractor beside the file makes of them."""

    _kind = "recordings"

    def __init__(self, files: OnnxFiles, view: ViewParams):
        super().__init__(files, view)
        self.batch_size = 1
        self._name, _ = self._one_input()
        self._hear = Hearing(files.declared)

    def prepare(self, item: Any) -> Any:
        """The network's input of one recording without its batch axis."""
        return self._hear(item)[1]

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        return self._run({self._name: np.stack(prepared)})


_ENCODERS: dict[str, type[OnnxImages | OnnxTexts | OnnxSounds]] = {
    "image": OnnxImages,
    "text": OnnxTexts,
    "audio": OnnxSounds,
}


def onnx_encoder(files: OnnxFiles, view: ViewParams) -> OnnxEncoder:
    """The encoder of an ONNX file.

    Args:
        files: from `find_onnx`.
        view: how it is used.

    Returns:
        The encoder.

    Raises:
        EncoderError: the file is damaged or of another modality, or an option does not fit.
    """
    kind = _ENCODERS[view.modality]
    kind.check(view)
    return kind(files, view)
