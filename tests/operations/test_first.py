"""A model's first version becomes champion, and the gate says whether it is better than chance."""

import re
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from workspaces import VIEWS, item_hash, pairs_of, queries_table, reranked

from csa.operations.gate.first import chance_mrr, decide_first
from csa.params.gate import GateParams

GATE = GateParams()


def at_random(n=80, seed=0):
    """Queries whose one right answer stands anywhere, as likely as elsewhere."""
    table = queries_table(n)
    rank = np.random.default_rng(seed).integers(1, n + 1, size=len(table))
    return reranked(table, pl.Series(rank) - table["rank"])


def captioned(seed, images=60, captions=5):
    """Random rankings of images with several captions each, and the pairs they are of."""
    rng, texts = np.random.default_rng(seed), images * captions
    there = [1 + min(rng.choice(texts, captions, replace=False)) for _ in range(images)]
    back = rng.integers(1, images + 1, size=texts)
    names = [f"{view}{i}" for view, n in zip(VIEWS, (images, texts), strict=True) for i in range(n)]
    ranks = np.concatenate([there, back])
    queries = pl.DataFrame(
        {
            "direction": ["image_to_text"] * images + ["text_to_image"] * texts,
            "query": [item_hash(name) for name in names],
            "group": [*range(images), *(i // captions for i in range(texts))],
            "gallery": [texts] * images + [images] * texts,
            "mrr": 1 / ranks,
        }
    )
    pairs = pl.DataFrame(
        {
            "split": ["test"] * texts,
            "image_hash": [item_hash(f"image{i // captions}") for i in range(texts)],
            "text_hash": [item_hash(f"text{i}") for i in range(texts)],
        }
    )
    return queries, pairs


def test_a_good_first_version_is_told_from_chance():
    queries = queries_table()
    decision = decide_first(queries, pairs_of(queries), VIEWS, GATE)
    harmonic = sum(1 / place for place in range(1, 81))
    mrr = queries["mrr"].mean()
    assert decision.verdict == "promote" and decision.gain is None
    assert decision.reason == (
        f"there is no champion yet; its MRR is {mrr:.2g} where a random ranking gives "
        f"{harmonic / 80:.2g} (p < 0.0001)"
    )
    assert decision.evidence["mrr"] == pytest.approx(mrr, abs=1e-6)
    assert decision.evidence["chance_mrr"] == pytest.approx(harmonic / 80, abs=1e-6)
    assert decision.evidence["chance_p_value"] < 1e-4


def test_one_at_chance_is_promoted_too_and_the_reason_says_so_and_what_to_do():
    queries = at_random()
    decision = decide_first(queries, pairs_of(queries), VIEWS, GATE)
    assert decision.verdict == "promote"
    assert re.fullmatch(
        r"there is no champion yet, so this version is promoted although it is not shown to be "
        r"better than a random ranking: its MRR is 0\.\d+ where a random ranking gives 0\.062 "
        r"\(p = 0\.\d+\); `csa suspects` names .*, and `csa advise` compares encoders",
        decision.reason,
    )
    assert decision.evidence["chance_p_value"] > 0.025


def test_too_few_groups_show_nothing_and_the_reason_says_how_many_would():
    for groups, said in ((5, "5 held-out groups cannot show it, so hold out at least 6"), (6, "")):
        queries = queries_table(2 * groups, quality=0.99)
        decision = decide_first(queries, pairs_of(queries), VIEWS, GATE)
        assert decision.verdict == "promote"
        assert decision.reason.endswith(said or f"(p = {2**-groups:.2g})")
        assert ("not shown" in decision.reason) == bool(said)


def test_chance_is_seldom_called_better_even_where_a_query_has_five_right_answers():
    """At the level of a first challenger, 2.5 %; where a query counted as if it had one right
    answer, most of these would be called better."""
    better = 0
    for seed in range(100):
        decision = decide_first(*captioned(seed), VIEWS, GateParams(bootstrap=300))
        better += "not shown" not in decision.reason
    assert better <= 7


@pytest.mark.parametrize(("right", "gallery"), [(1, 1), (1, 6), (2, 6), (5, 8), (6, 6)])
def test_chance_is_the_mean_over_all_rankings(right, gallery):
    best = [1 + min(places) for places in combinations(range(gallery), right)]
    expected = np.mean(1 / np.array(best))
    assert chance_mrr(np.array([right]), np.array([gallery]))[0] == pytest.approx(expected)
