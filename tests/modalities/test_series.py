"""Time series: reading them, and the built-in encoder of random convolution kernels."""

import io

import numpy as np
import pytest

from csa import CSA
from csa.encoders import rocket
from csa.encoders.registry import load_encoder
from csa.errors import DataError, EncoderError, FeatureError
from csa.modalities.registry import preview
from csa.modalities.series import decode_series
from csa.params.views import ViewParams

RNG = np.random.default_rng(0)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def decoded(content, name):
    return decode_series(io.BytesIO(content), name)


def test_formats_agree():
    series = RNG.normal(size=(12, 2)).astype(np.float32)
    lines = [",".join(map(str, row)) for row in series.tolist()]
    np.testing.assert_array_equal(decoded(npy(series), "a.npy"), series)
    np.testing.assert_allclose(decoded("\n".join(lines).encode(), "a.csv"), series)
    np.testing.assert_allclose(decoded("\n".join(["x,y", *lines]).encode(), "a.csv"), series)
    line = ":".join([*(",".join(map(str, channel)) for channel in series.T.tolist()), "walking"])
    np.testing.assert_allclose(decoded(line.encode(), "a.ts!3"), series)
    assert decoded(npy(series[:, 0]), "a.npy").shape == (12, 1)


def test_ink_is_points_with_the_pen():
    ink = (
        '<ink xmlns="http://www.w3.org/2003/InkML">'
        "<trace>1 2, 3 4, 5 6</trace><trace>7 8 , 9 10</trace></ink>"
    )
    expected = [[1, 2, 1], [3, 4, 1], [5, 6, 0], [7, 8, 1], [9, 10, 0]]
    assert decoded(ink.encode(), "a.inkml").tolist() == expected
    uji = "WORD a trn_UJI_W01-01\n  NUMSTROKES 2\n  POINTS 3 # 1 2 3 4 5 6\n  POINTS 2 # 7 8 9 10\n"
    assert decoded(uji.encode(), "ujipenchars2.txt!0").tolist() == expected


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "a.npy", "cannot be read"),
        (npy(np.array([["x"] * 4] * 4)), "a.npy", "expected real numbers"),
        (npy(np.zeros((3, 2, 2))), "a.npy", "expected .time, channels."),
        (npy(np.ones((2, 2))), "a.npy", "2 steps"),
        (npy(np.full((9, 1), np.nan)), "a.npy", "9 of 9 values are NaN"),
        (npy(np.ones((9, 2))), "a.npy", "every channel is constant"),
        (b"1,2\n3\n", "a.csv", "cannot be read"),
        (b"", "a.csv", "0 steps"),
        (b"1,2:3:walking", "a.ts!0", "expected one length"),
        (b"<ink><trace>1 2", "a.inkml", "cannot be read"),
        (b'<!DOCTYPE x [<!ENTITY e "e">]><ink/>', "a.inkml", "declares entities"),
        (b"", "a.mat", "cannot be read from .mat files"),
    ],
)
def test_what_is_no_series_is_one_clear_line(content, name, words):
    with pytest.raises(DataError, match=words) as caught:
        decoded(content, name)
    assert "\n" not in str(caught.value)


def plain_kernel(kernel, series):
    """The same kernel by loops."""
    chosen, weights, bias, dilation, padding = kernel
    found = []
    for start in range(-padding, series.shape[1] + padding - (weights.shape[1] - 1) * dilation):
        value = bias
        for row, channel in enumerate(chosen):
            for k in range(weights.shape[1]):
                at = start + k * dilation
                value += weights[row, k] * series[channel, at] if 0 <= at < series.shape[1] else 0
        found.append(value)
    return np.mean(np.array(found) > 0), np.max(found)


def test_kernels_are_what_they_say():
    series = RNG.normal(size=(3, rocket.STEPS))
    kernels = rocket._kernels(3)
    assert len(kernels) == rocket.KERNELS
    for kernel in kernels[:25]:
        assert np.abs(kernel[1].sum(axis=1)).max() < 1e-12
        np.testing.assert_allclose(
            rocket._apply(kernel, series), plain_kernel(kernel, series), atol=1e-9
        )


def encoder(**settings):
    return load_encoder(ViewParams(modality="series", encoder="rocket", batch_size=4, **settings))


def test_features_do_not_depend_on_company_or_units():
    series = [RNG.normal(size=(length, 2)).astype(np.float32) for length in (40, 300, 41, 64, 5)]
    encode = encoder().encode
    together = encode(series)
    assert together.shape == (5, 2 * rocket.KERNELS + 6)
    for i, one in enumerate(series):
        np.testing.assert_array_equal(encode([one])[0], together[i])
    # What standardising takes away is in the last features alone.
    np.testing.assert_allclose(encode([series[1] * 10 + 3])[0, :-6], together[1, :-6], atol=2e-3)


def test_a_constant_channel_is_no_trouble():
    series = np.column_stack([RNG.normal(size=50), np.ones(50)]).astype(np.float32)
    assert np.isfinite(encoder().encode([series])).all()


def test_channels_must_agree_and_options_are_few():
    with pytest.raises(FeatureError, match="different numbers of channels"):
        encoder().encode([np.eye(8, 2, dtype=np.float32), np.eye(8, 3, dtype=np.float32)])
    with pytest.raises(EncoderError, match="no pooling"):
        encoder(pooling="mean")
    with pytest.raises(EncoderError, match="no transformers model is read for modality series"):
        load_encoder(ViewParams(modality="series", encoder="some/model"))


def test_shapes_are_told_apart():
    """Sine, square, saw and noise, of any frequency and phase, against four directions: unseen
    series are recognised.
    """
    time = np.linspace(0, 1, 120)
    shapes = [
        np.sin,
        lambda p: np.sign(np.sin(p)),
        lambda p: (p / np.pi) % 2 - 1,
        lambda p: RNG.normal(size=len(p)),
    ]
    series, kinds = [], []
    for i in range(200):
        phase = 2 * np.pi * (RNG.uniform(2, 6) * time + RNG.uniform())
        series.append(
            (shapes[i % 4](phase) + 0.1 * RNG.normal(size=120))[:, None].astype(np.float32)
        )
        kinds.append(i % 4)
    X, Y = encoder().encode(series), np.eye(4)[kinds] + 1e-3 * RNG.normal(size=(200, 4))
    model = CSA(shrinkage=(0.5, 0.1), score="canonical", n_components=3).fit(X[:120], Y[:120])
    assert (model.similarity(X[120:], np.eye(4)).argmax(axis=1) == kinds[120:]).mean() > 0.9


def test_a_series_is_shown_as_its_lines():
    picture = np.asarray(preview(RNG.normal(size=(30, 2)).astype(np.float32), "letters/a.npy"))
    assert picture.shape == (224, 224, 3) and (picture[:150] != 255).any()
    assert preview(np.ones(5, np.float32), "x.npy#3") == "x.npy#3"
