"""Many rows are worked on block by block: the fit is that of the rows in one piece, to rounding,
and the same bits however many cores there are.
"""

import numpy as np
import pytest

from csa.core import threads, training
from csa.core.estimator import CSA
from csa.core.preparation import Preparation
from csa.core.training import within_few_dimensions


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
