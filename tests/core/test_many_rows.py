"""Many rows are worked on block by block: the fit is that of the rows in one piece, to rounding,
and the same bits however many cores there are.
"""

import numpy as np
import pytest

from csa.core import matrices, moments, preparation, rows, select, threads, training
from csa.core.estimator import CSA
from csa.core.moments import Moments
from csa.core.preparation import Preparation
from csa.core.rows import GatheredRows, Rows
from csa.core.training import within_few_dimensions
from csa.errors import FeatureError


@pytest.fixture
def in_small_blocks(monkeypatch):
    for module in (threads, training):
        monkeypatch.setattr(module, "WHOLE_ROWS", 100)
    monkeypatch.setattr(threads, "_BLOCK_ROWS", 64)


def pairs(n=700, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 6))
    return tuple(
        (shared @ rng.normal(size=(6, d)) + rng.normal(size=(n, d))).astype(np.float32)
        for d in (20, 12)
    )


@pytest.mark.parametrize("name", ["unit", "root", "kernel"])
def test_a_preparation_of_many_rows(name, request):
    X, _ = pairs()
    prepare = Preparation.fit(name, X, 0)
    whole = prepare(X)
    request.getfixturevalue("in_small_blocks")
    assert len(threads.row_blocks(len(X))) == 11
    np.testing.assert_allclose(prepare(X), whole, rtol=1e-6, atol=1e-6)


def test_principal_dimensions_of_many_rows(request):
    X, _ = pairs()
    whole, ratio = within_few_dimensions(X, 5)
    request.getfixturevalue("in_small_blocks")
    blocks, again = within_few_dimensions(X, 5)
    assert again == pytest.approx(ratio, rel=1e-12) and blocks.dtype == np.float32
    signs = np.sign((whole * blocks).sum(axis=0))
    np.testing.assert_allclose(blocks * signs, whole, atol=1e-5)


@pytest.mark.parametrize("preparation", ["auto", "kernel"])
def test_a_fit_on_many_rows(preparation, request):
    X, Y = pairs()
    settings = {} if preparation == "auto" else {"preparation": "kernel", "shrinkage": "auto"}
    whole = CSA(**settings).fit(X, Y)
    request.getfixturevalue("in_small_blocks")
    blocks = CSA(**settings).fit(X, Y)
    assert [trial["preparation"] for trial in blocks.tried_["recipes"]] == [
        trial["preparation"] for trial in whole.tried_["recipes"]
    ]
    np.testing.assert_allclose(blocks.score_pairs(X, Y), whole.score_pairs(X, Y), atol=1e-3)
    np.testing.assert_allclose(blocks.weights_, whole.weights_, atol=1e-4)


def test_the_number_of_cores_is_in_no_bit(in_small_blocks, monkeypatch, tmp_path):
    X, Y = pairs()
    files = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(threads, "cores", lambda cores=cores: cores)
        CSA(preparation="kernel").fit(X, Y).save(tmp_path / f"{cores}.safetensors")
        files.append((tmp_path / f"{cores}.safetensors").read_bytes())
    assert files[0] == files[1] == files[2]


def test_no_rows_are_no_blocks():
    assert threads.row_blocks(0) == [] and list(threads.in_blocks(len, 0)) == []


class Stored(Rows):
    """Rows that lie elsewhere; it is noted how many were ever asked for at once."""

    def __init__(self, matrix):
        super().__init__(matrix.shape, matrix.dtype)
        self.matrix, self.most = matrix, 0

    def __getitem__(self, rows):
        found = self.matrix[rows]
        self.most = max(self.most, len(found))
        return found


@pytest.fixture
def many(monkeypatch):
    """A thousand pairs are many, and retrieval in folds looks at a part of them in few axes."""
    monkeypatch.setattr(rows, "_MANY_PAIRS", 1000)
    monkeypatch.setattr(moments, "_BLOCK_ROWS", 256)
    monkeypatch.setattr(matrices, "_CHECK_VALUES", 5000)
    few_rows(monkeypatch)


def few_rows(monkeypatch):
    monkeypatch.setattr(training, "_MAX_FOLD_PAIRS", 100)
    monkeypatch.setattr(training, "MAX_HUB_ITEMS", 150)
    monkeypatch.setattr(select, "TRIAL_DIMENSIONS", 8)
    monkeypatch.setattr(select, "_PLAIN_TRIAL_PAIRS", 300)
    monkeypatch.setattr(select, "_KERNEL_TRIAL_PAIRS", 600)
    monkeypatch.setattr(select, "_KERNEL_MIN_ITEMS", 200)
    monkeypatch.setattr(preparation, "_MAX_ROWS", 100_000)


SETTINGS = [
    {},
    {"hubness": True},
    {"preparation": ("kernel", "root")},
    {"score": "likelihood_ratio"},
    {"score": "canonical", "shrinkage": 0.1, "n_components": 5},
    {"score": "canonical", "shrinkage": 0.0, "n_components": 5, "preparation": "unit"},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_fit_on_many_pairs_is_the_fit_in_memory(settings, request, monkeypatch):
    """The same choices and the same scores, to rounding; no more than samples are ever held."""
    X, Y = pairs(2500)
    groups = np.arange(2500) // 2
    few_rows(monkeypatch)
    whole = CSA(**settings).fit(X, Y, groups)
    request.getfixturevalue("many")
    x, y = Stored(X), Stored(Y)
    found = CSA(**settings).fit(x, y, groups)
    assert found.alignment_.hubness_corrected == whole.alignment_.hubness_corrected
    for one, other in zip(found.tried_["recipes"], whole.tried_["recipes"], strict=True):
        assert one["preparation"] == other["preparation"]
        assert one["held_out_mrr"] == pytest.approx(other["held_out_mrr"], abs=2e-3)
    scores, expected = found.similarity(X[:500], Y[:500]), whole.similarity(X[:500], Y[:500])
    np.testing.assert_allclose(scores, expected, atol=2e-5 * np.abs(expected).max())
    assert y.most < 1500 and (x.most < 1500 or "preparation" in settings)


def test_many_pairs_in_memory_give_the_very_bytes_of_those_elsewhere(many, tmp_path):
    X, Y = pairs(2500)
    files = []
    for name, (x, y) in {"here": (X, Y), "there": (Stored(X), Stored(Y))}.items():
        CSA().fit(x, y).save(tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_the_number_of_cores_is_in_no_bit_of_many_pairs(many, monkeypatch, tmp_path):
    X, Y = pairs(2500)
    files = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(threads, "cores", lambda cores=cores: cores)
        CSA(preparation="kernel").fit(Stored(X), Stored(Y)).save(tmp_path / f"{cores}")
        files.append((tmp_path / f"{cores}").read_bytes())
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_many_pairs_that_are_not_finite_are_refused_as_few(many, bad):
    X, Y = pairs(2500)
    X[1700, 3] = bad
    with pytest.raises(FeatureError, match=r"1 values .* the first at row 1700, column 3"):
        CSA().fit(X, Y)


def test_many_pairs_of_a_constant_view_are_refused(many):
    X, Y = pairs(2500)
    with pytest.raises(FeatureError, match="Y is constant over its 2500 rows"):
        CSA().fit(Stored(X), Stored(np.ones_like(Y)))


def test_features_too_alike_for_single_precision_are_summed_up_in_double(many):
    """As in memory: the whole pass is made again."""
    X, Y = pairs(2500)
    X[:, 1] = X[:, 0] + 1e-5 * X[:, 1]
    fold = np.arange(2500) % 5
    exact = Moments.of_folds(X, Y, fold, precision="float64")
    for one, other in zip(Moments.of_folds(Stored(X), Stored(Y), fold), exact, strict=True):
        np.testing.assert_allclose(one.cxx, other.cxx, rtol=1e-12, atol=1e-9)
    whole = Moments.from_arrays(X, Y, precision="float64")
    np.testing.assert_allclose(Moments.from_arrays(Stored(X), Stored(Y)).cxy, whole.cxy, atol=1e-8)


def test_only_gathered_rows_can_be_asked_for():
    X, _ = pairs()
    gathered = GatheredRows(Stored(X), np.array([3, 10, 600]))
    np.testing.assert_array_equal(gathered[np.array([600, 3])], X[[600, 3]])
    with pytest.raises(IndexError, match="was not gathered"):
        gathered[np.array([3, 4])]
