"""The table of scores: what is in it is fitted, tried, saved, loaded and searched with, and nothing
else needs to know of it.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import pytest
from factory import shared_signal

import csa
from csa.core.held import Held
from csa.core.matrices import Float64
from csa.core.refit import Refit
from csa.core.scores import SCORES, Score
from csa.core.search import top_k
from csa.core.training import Training
from csa.params.fit import FitParams


@dataclass(frozen=True, eq=False)
class InnerProduct(Score):
    """sum_i w_i a_i b_i / (s_i t_i), with s and t the held-out scales."""

    name = "inner_product"

    scale_a: Float64
    scale_b: Float64

    @classmethod
    def of(cls, held):
        return cls(held.weights, held.scale_a, held.scale_b)

    def left(self, a):
        return a[:, : len(self.weights)] / self.scale_a * self.weights

    def right(self, b):
        return b[:, : len(self.weights)] / self.scale_b


@pytest.mark.parametrize("hubness", [False, True])
def test_a_new_score_is_a_class_and_a_line_in_the_table(tmp_path, monkeypatch, hubness):
    monkeypatch.setitem(SCORES, "inner_product", InnerProduct)
    X, Y = shared_signal(300, 12, 9, 6, 0.5, np.random.default_rng(0))
    model = csa.CSA(score="inner_product", hubness=hubness).fit(X[:200], Y[:200])
    model.save(tmp_path / "a.safetensors")
    again = csa.load(tmp_path / "a.safetensors")
    assert again.score_name == "inner_product" and again.hubness_corrected is hubness
    np.testing.assert_array_equal(again.similarity(X, Y), model.similarity(X, Y))
    if not hubness:
        a, b = again.transform(X, Y)
        w, s, t = model.alignment_.score.tensors().values()
        np.testing.assert_allclose(again.similarity(X, Y), (a / s * w) @ (b / t).T, atol=1e-9)
    hits = top_k(*again.index_vectors(X[200:], Y[200:]), 1)[0][:, 0] == np.arange(100)
    assert hits.mean() > 0.3  # chance is 0.01
    refit = Refit(again, Training.of(X[:200], Y[:200], np.arange(200)))
    whole = refit.on(np.ones(200, dtype=bool)).whole()
    np.testing.assert_allclose(whole.similarity(X, Y), model.similarity(X, Y), atol=1e-6)
    tried = csa.CSA(preparation="raw").fit(X[:200], Y[:200]).tried_["scores"]
    assert "inner_product" in [trial["score"] for trial in tried]


def test_a_parameter_file_may_name_every_score_of_the_table():
    annotation = FitParams.model_fields["score"].annotation
    assert set(get_args(annotation)) == {"auto", *SCORES}


@pytest.mark.parametrize("kind", SCORES.values(), ids=SCORES)
def test_every_score_is_led_reweighted_and_written_down(kind):
    rng = np.random.default_rng(0)
    held = Held(np.array([0.9, 0.6, 0.4, 0.2]), *rng.uniform(0.5, 2, (2, 4)))
    a, b = rng.normal(size=(2, 5, 4))
    score = kind.of(held)
    values = score.left(a) @ score.right(b).T
    assert score.left(a[:0]).shape[0] == 0 and values.shape == (5, 5)
    for same in (score.leading(9), score.with_weights(held), kind.of_tensors(score.tensors())):
        assert type(same) is kind
        np.testing.assert_array_equal(same.left(a) @ same.right(b).T, values)
    first = score.leading(2)
    np.testing.assert_array_equal(first.weights, score.weights[:2])
    np.testing.assert_allclose(first.left(a), first.left(a[:, :2]))
    assert not np.allclose(first.left(a) @ first.right(b).T, values)
    assert len(first.with_weights(held).weights) == (2 if kind.truncated else 4)
    sizes = [len(one.weights) for one in kind.candidates(held)]
    assert sizes == ([1, 2, 3, 4] if kind.truncated else [4])
    assert [len(one.weights) for one in kind.candidates(held, 3)] == [3 if kind.truncated else 4]


def test_a_log_likelihood_ratio_as_it_stands_is_in_nats():
    X, Y = shared_signal(80, 7, 5, 3, 1.0, np.random.default_rng(0))

    def in_nats(**settings):
        return csa.CSA(shrinkage=0.1, **settings).fit(X, Y).alignment_.in_nats

    assert {name: in_nats(score=name) for name in SCORES} == {
        "normalised_likelihood_ratio": False,
        "likelihood_ratio": True,
        "canonical": False,
    }
    assert not in_nats(score="likelihood_ratio", hubness=True)
