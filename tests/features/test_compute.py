"""Workers: threads here or a Dask cluster give the same bits."""

import hashlib
import pickle

import numpy as np
import pytest

from csa.core.moments import Moments
from csa.encoders.registry import load_encoder
from csa.encoders.rocket import Rocket
from csa.errors import EncoderError, FeatureError, InputError
from csa.features.cache import FeatureCache
from csa.features.compute import as_finished, moments_of_parts, workers
from csa.features.embed import Items, embed
from csa.params.views import ViewParams

TEXTS = [
    f"a {colour} {thing}"
    for colour in ("red", "blue", "old")
    for thing in ("fox", "house by the sea", "ball")
]


def parts(seed=0):
    rng = np.random.default_rng(seed)
    return [
        [(rng.normal(size=(40, 5)), rng.normal(size=(40, 3))) for _ in range(3)] for _ in range(7)
    ]


def same(a, b):
    return a.n == b.n and all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("mean_x", "mean_y", "cxx", "cyy", "cxy")
    )


def embedded(folder, dask):
    encoder = load_encoder(ViewParams(modality="text", encoder="minilm-l6-v2", batch_size=2))
    items = [(hashlib.sha256(text.encode()).hexdigest(), text) for text in TEXTS]
    return embed(
        encoder, Items(items, str, "embed"), FeatureCache(folder, encoder.fingerprint), dask
    )


def test_dask_gives_the_bits_of_one_machine(tmp_path):
    pytest.importorskip("distributed")
    here = embedded(tmp_path / "here", None)
    there = embedded(tmp_path / "there", "local")
    np.testing.assert_array_equal(here.features, there.features)
    assert there.computed == len(TEXTS)
    with workers(None) as pool:
        one = moments_of_parts(pool, parts())
    with workers("local") as cluster:
        other = moments_of_parts(cluster, parts())
    assert same(one, other)


def test_an_encoder_goes_to_another_process_as_the_view_it_was_loaded_from():
    view = ViewParams(modality="series", encoder="rocket")
    encoder = load_encoder(view)
    again = pickle.loads(pickle.dumps(encoder))
    assert again is not encoder and again.fingerprint == encoder.fingerprint
    with pytest.raises(EncoderError, match="was not loaded from a view"):
        pickle.dumps(Rocket(view))


def test_moments_of_parts_are_those_of_the_whole():
    blocks = [block for part in parts() for block in part]
    whole = Moments.from_arrays(*(np.concatenate(view) for view in zip(*blocks, strict=True)))
    with workers() as pool:
        total = moments_of_parts(pool, parts())
        with pytest.raises(FeatureError, match="no parts"):
            moments_of_parts(pool, [])
    assert total.n == whole.n
    np.testing.assert_allclose(total.cxy, whole.cxy, rtol=1e-10, atol=1e-10)


def test_an_error_in_a_task_is_raised_and_the_rest_is_dropped():
    done = []

    def work(number):
        if number == 3:
            raise FeatureError("three")
        done.append(number)
        return number

    with workers() as pool, pytest.raises(FeatureError, match="three"):
        list(as_finished(pool, work, range(1000)))
    assert len(done) < 100


def test_no_scheduler_is_one_clear_error(monkeypatch):
    pytest.importorskip("distributed")
    with (
        pytest.raises(InputError, match=r"no scheduler answers at 'nonsense://\*\*\*'"),
        workers("nonsense://here"),
    ):
        pass
