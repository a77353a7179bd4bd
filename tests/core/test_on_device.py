"""Torch tensors: what is summed up and searched where they lie is what numpy gives."""

import numpy as np
import pytest
import torch

from csa import CSA, Moments
from csa.core import fitting, moments, search
from csa.core.device_sums import summed
from csa.core.on_device import best_there, on_gpu
from csa.core.search import top_k
from csa.errors import FeatureError

NAMES = ("mean_x", "mean_y", "cxx", "cyy", "cxy")
needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="torch sees no NVIDIA GPU on this machine"
)


def pairs(n, p=12, q=7, dtype=np.float32):
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(n, 5))
    views = [shared @ rng.normal(size=(5, d)) + rng.normal(size=(n, d)) + 3 for d in (p, q)]
    return [view.astype(dtype) for view in views]


def tensors(*arrays, device="cpu"):
    return [torch.from_numpy(array).to(device) for array in arrays]


def agree(found, expected, tolerance):
    assert found.n == expected.n
    for name in NAMES:
        a, b = getattr(found, name), getattr(expected, name)
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max(), name


@pytest.fixture
def everything_is_a_gpu(monkeypatch):
    """The core takes the processor's tensors as it takes a GPU's."""
    for module in (fitting, moments, search):
        monkeypatch.setattr(module, "on_gpu", lambda *given: all(map(torch.is_tensor, given)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 40, 20_000])
def test_moments_of_tensors_are_those_of_arrays(dtype, n):
    X, Y = pairs(n, dtype=dtype)
    found = Moments.of_tensors(*tensors(X, Y), precision="float64")
    agree(found, Moments.from_arrays(X, Y, precision="float64"), 1e-12)


def test_float32_products_are_judged(monkeypatch):
    """Of harmless features they are taken; of features with a far mean and twins they are not."""
    monkeypatch.setattr(moments, "worth_single", lambda *_: True)
    rng = np.random.default_rng(0)
    X, Y = (view + 2 * rng.normal(size=view.shape).astype(np.float32) for view in pairs(20_000))
    found, exact = (Moments.of_tensors(*tensors(X, Y), precision=p) for p in ("auto", "float64"))
    agree(found, exact, 1e-6)
    assert not np.array_equal(found.cxx, exact.cxx), "float32 was used"
    X[:, 1] = X[:, 0] + 1e-5 * X[:, 1]
    found, exact = (Moments.of_tensors(*tensors(X, Y), precision=p) for p in ("auto", "float64"))
    np.testing.assert_array_equal(found.cxx, exact.cxx)


def test_sums_stay_on_the_device():
    """meta has no memory: whatever met a tensor of the host would be an error."""
    X, Y = (torch.empty(20_000, d, device="meta") for d in (12, 7))
    assert {one.device.type for one in summed(X, Y, single=True)} == {"meta"}


def test_a_fit_by_hand_is_made_of_the_sums(everything_is_a_gpu, monkeypatch):
    X, Y = pairs(500)
    model = CSA(score="canonical", shrinkage=0.1, n_components=4)
    expected = model.fit(X, Y).similarity(X[:20], Y[:20])
    monkeypatch.setattr(fitting, "checked_pairs", None)  # what would take them to the host
    np.testing.assert_allclose(model.fit(*tensors(X, Y)).similarity(X[:20], Y[:20]), expected)


def test_what_cannot_be_summed_up_is_refused_as_ever(everything_is_a_gpu):
    X, Y = pairs(50)
    X[3, 2] = np.nan
    with pytest.raises(FeatureError, match="X has 1 values that are NaN or infinite, the first at"):
        Moments.from_arrays(*tensors(X, Y))
    with pytest.raises(FeatureError, match="X has 50 rows and Y has 49"):
        Moments.from_arrays(*tensors(X, Y[1:]))
    whole = tensors(np.arange(20).reshape(10, 2), np.arange(10).reshape(10, 1))
    assert Moments.from_arrays(*whole).n == 10


@pytest.mark.parametrize("k", [1, 3, 50, 90])
def test_the_best_are_those_of_arrays(everything_is_a_gpu, monkeypatch, k):
    """Ties too: numbers are whole, so many scores are the same."""
    monkeypatch.setattr("csa.core.on_device._BLOCK_SCORES", 700)  # several blocks
    rng = np.random.default_rng(0)
    left, right = (rng.integers(-2, 3, size=(n, 4)).astype(np.float32) for n in (40, 90))
    expected = top_k(left, right, k)
    found = top_k(*tensors(left, right), k)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_only_tensors_of_one_gpu_are_on_it():
    X, Y = pairs(5)
    assert not on_gpu(X, Y) and not on_gpu(*tensors(X, Y)) and not on_gpu(X, tensors(Y)[0])
    assert not on_gpu([[0.0]], [[1.0]])


@pytest.mark.gpu
@needs_gpu
def test_a_gpu_sums_up_and_searches_as_the_processor():
    X, Y = pairs(20_000)
    there = tensors(X, Y, device="cuda")
    assert on_gpu(*there)
    agree(Moments.from_arrays(*there, precision="float64"), Moments.from_arrays(X, Y), 1e-10)
    left, right = tensors(X[:100], X, device="cuda")
    assert (best_there(left, right, 1)[0][:, 0] == top_k(X[:100], X, 1)[0][:, 0]).mean() > 0.99
    assert all(one.is_cuda for one in summed(*there, single=True))
