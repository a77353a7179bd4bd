"""Of many held-out groups some are asked, against the items of all: nothing else about them
changes.
"""

import numpy as np
import polars as pl
import pytest
from lookups import Dot, Features

from csa.evaluation.decisions import measure_decisions
from csa.evaluation.evaluation import measure
from csa.evaluation.held_out import HeldOut, asked_first, evaluation_id, unique_test_pairs
from csa.evaluation.mismatch import score_held_out_pairs
from csa.evaluation.retrieval import rank_queries
from csa.evaluation.vectors import HeldOutVectors
from csa.params.measure import EvaluateParams
from csa.report.examples import chance_recall

VIEWS = ("image", "text")
GROUPS, CAPTIONS = 40, 3


@pytest.fixture(scope="module")
def data():
    """A pairs table, images with captions of which one is shared by all even groups; features."""
    rng = np.random.default_rng(0)
    images = {f"i{g}": rng.normal(size=6) for g in range(GROUPS)}
    rows, texts = [], {"shared": rng.normal(size=6)}
    for g in range(GROUPS):
        for c in range(CAPTIONS):
            text = "shared" if c == 0 and g % 2 == 0 else f"t{g}.{c}"
            texts.setdefault(text, images[f"i{g}"] + rng.normal(size=6))
            rows.append((f"p{g}.{c}", f"g{g}", "test", f"i{g}", f"i{g}", text, text))
    columns = ("pair_id", "group", "split", "image", "image_hash", "text", "text_hash")
    return pl.DataFrame(rows, columns, orient="row"), (Features(images), Features(texts))


def asked(data, queries=None):
    return HeldOut.of(data[0], VIEWS, data[1], queries)


def measured(held_out):
    vectors = HeldOutVectors.of(Dot(), held_out)
    return rank_queries(vectors, held_out), score_held_out_pairs(vectors, held_out, 0)


def test_a_limit_that_does_not_bind_changes_nothing(data):
    whole, limited = asked(data), asked(data, GROUPS)
    assert limited.pairs.equals(whole.pairs) and limited.asked == len(whole.pairs)
    assert limited.evaluation_id == whole.evaluation_id == evaluation_id(data[0], VIEWS)
    for one, other in zip(measured(whole), measured(limited), strict=True):
        assert one.equals(other)


def test_what_is_asked_ranks_against_all_items_as_before(data):
    every, pairs = measured(asked(data))
    held_out = asked(data, 15)
    queries, asked_pairs = measured(held_out)
    chosen = held_out.asked_pairs
    assert chosen["group"].n_unique() == 15 and len(asked_pairs) == 15 * CAPTIONS
    assert queries["gallery"].to_list() == [
        len(held_out.views[1 if way == "image_to_text" else 0].items)
        for way in queries["direction"]
    ]
    for view, way in zip(VIEWS, ("image_to_text", "text_to_image"), strict=True):
        names = queries.filter(pl.col("direction") == way)["query"].to_list()
        assert sorted(names) == sorted(set(chosen[f"{view}_hash"]))
    # a shared caption is of its first pair's group, which depends on who is asked first
    key = ["direction", "query"]
    there = queries.drop("group").join(every.drop("group"), on=key, how="semi")
    assert there.sort(key).equals(every.drop("group").join(queries, on=key, how="semi").sort(key))
    unlike = ("stranger_score", "hard_stranger")
    assert asked_pairs.drop(unlike).equals(
        pairs.drop(unlike).filter(pl.col("pair_id").is_in(chosen["pair_id"].implode()))
    )


def test_the_sample_is_of_names_alone_and_grows_by_adding(data):
    test = unique_test_pairs(data[0], VIEWS)
    few, fifteen = (
        set(held.head(count)["group"])
        for held, count in (asked_first(test, 5), asked_first(test, 15))
    )
    assert len(few) == 5 and few < fifteen
    shuffled, count = asked_first(test.sample(fraction=1, shuffle=True, seed=1), 5)
    assert set(shuffled.head(count)["group"]) == few


def test_what_is_asked_is_part_of_the_evaluations_name(data):
    names = {evaluation_id(data[0], VIEWS, queries) for queries in (None, 5, 15, GROUPS, 100)}
    assert len(names) == 3


def test_measures_and_decisions_take_what_is_asked(data):
    held_out, params = asked(data, 15), EvaluateParams(bootstrap=100)
    result = measure(Dot(), held_out, params)
    decisions = measure_decisions(result, held_out, params)
    assert decisions.metrics.groups == 15 and len(decisions.pairs) == len(result.pairs)
    assert decisions.metrics.retrieval["image_to_text"].candidates == len(held_out.views[1].items)
    recall = result.metrics.retrieval["image_to_text"].recall_at_1.value
    ranks = result.queries.filter(pl.col("direction") == "image_to_text")["rank"]
    assert recall == (ranks == 1).mean()
    assert decisions.metrics.exchangeability.reasons, "a caption is shared by many groups"


def test_chance_is_that_of_what_is_asked(data):
    held_out = asked(data, 15)
    texts = len(held_out.views[1].items)
    assert chance_recall(held_out, 0, 1) == pytest.approx(CAPTIONS / texts)
