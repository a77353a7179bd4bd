"""Any transformers audio model: CLAP's audio tower, Whisper's encoder, AST, wav2vec 2.0, HuBERT,
WavLM and their like.
"""

import sys
from typing import Any

import numpy as np

from csa.core.matrices import Float32
from csa.encoders.models import ModelFiles, load_pretrained
from csa.encoders.pretrained import PretrainedEncoder
from csa.errors import EncoderError
from csa.modalities.audio import Recording
from csa.params.views import ViewParams

# These see a window of a fixed length, so that several recordings share a pass. All others take the
# recording as long as it is, one a pass: padding would change what they say of it (their norms and
# convolutions reach into it).
_WINDOWED = ("clap", "whisper", "audio-spectrogram-transformer")
_MAX_SECONDS = 30.0


class Hearing:
    """A model's own preprocessing of recordings: at its rate, and cut to its window.

    Args:
        files: whose folder has preprocessor_config.json.

    Attributes:
        extract: the feature extractor.
        longest: samples of its window.

    Raises:
        EncoderError: it has no extractor of sounds.
    """

    def __init__(self, files: ModelFiles):
        from transformers import AutoFeatureExtractor

        self.extract = load_pretrained(AutoFeatureExtractor, files, "feature extractor")
        self._name, self._told = files.name, False
        self._rate = int(getattr(self.extract, "sampling_rate", 0))
        if not self._rate:
            raise EncoderError(
                f"encoder {files.name!r}: it hears nothing, as its preprocessing has no "
                f"sampling_rate; is it a model for audio?"
            )
        self.longest = int(_window(self.extract) * self._rate)

    @property
    def settings(self) -> dict[str, Any]:
        """Of the extractor, as far as they are plain."""
        settings = sorted(self.extract.to_dict().items())
        return {
            key: value for key, value in settings if isinstance(value, bool | int | float | str)
        }

    def __call__(self, recording: Recording) -> tuple[str, Any, int]:
        """The name of the model's input, the input of one recording without its batch axis, and how
        many samples of it are heard; says once that a recording is cut.
        """
        samples = recording.at(self._rate)
        if len(samples) > self.longest and not self._told:
            self._told = True
            print(
                f"note: recordings longer than {self.longest / self._rate:g} s are cut there by "
                f"encoder {self._name!r}",
                file=sys.stderr,
            )
        samples = samples[: self.longest]
        found = self.extract(samples, sampling_rate=self._rate, return_tensors="np")
        key = "input_features" if "input_features" in found else "input_values"
        return key, np.asarray(found[key][0]), len(samples)


class AudioEncoder(PretrainedEncoder):
    """An audio model with its own preprocessing.

    Without `pooling`, a model of two towers gives its projected audio features (CLAP), and any
    other the mean over time. A recording is resampled to the model's rate and cut to the model's
    window (CLAP 10 s, Whisper 30 s), else to 30 s: always its beginning, never a part chosen at
    random. Of Whisper's window, the states of the recording's own length are pooled.
    """

    def __init__(self, files: ModelFiles, view: ViewParams):
        from transformers import AutoConfig, AutoModel

        self._hear = Hearing(files)
        config = load_pretrained(AutoConfig, files, "configuration")
        self._kind = str(config.model_type)
        batch_size = view.batch_size if self._kind in _WINDOWED else 1
        described = {"longest": self._hear.longest, "preprocessing": self._hear.settings}
        super().__init__(files, view, config, AutoModel, batch_size, **described)

    def _encoder_of(self, model: Any) -> Any:
        return model.get_encoder() if model.config.is_encoder_decoder else model

    def prepare(self, item: Any) -> Any:
        """The model's input of one recording without its batch axis, and how many samples it
        has.
        """
        return self._hear(item)

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        import torch

        key = prepared[0][0]
        inputs = {key: torch.from_numpy(np.stack([array for _, array, _ in prepared])).float()}
        if self._kind == "clap":
            # The extractor would call one recording of a batch long at random, so that its fusion
            # layer is exercised.
            inputs["is_longer"] = torch.zeros((len(prepared), 1), dtype=torch.bool)
        if self._kind == "whisper":  # states of a recording's own length: two hops a state
            hops = 2 * self._hear.extract.hop_length
            inputs["own"] = torch.tensor([max(1, -(-n // hops)) for _, _, n in prepared])
        return self.run(self._network, "torch", **inputs)

    def _network(self, own: Any = None, **inputs: Any) -> Any:
        output = self._call(**inputs, **self._inner)
        return self._pool(output, None if own is None else _first(own, output))


def _first(own: Any, output: Any) -> Any:
    """1 for the first `own` states of each recording, (batch, time)."""
    import torch

    states = torch.arange(output.last_hidden_state.shape[1], device=own.device)
    return (states < own.unsqueeze(1)).long()


def _window(extract: Any) -> float:
    """Seconds the model hears of a recording."""
    for name in ("max_length_s", "chunk_length"):  # CLAP's name, Whisper's name
        value = getattr(extract, name, None)
        if isinstance(value, int | float) and value > 0:
            return float(value)
    return _MAX_SECONDS
