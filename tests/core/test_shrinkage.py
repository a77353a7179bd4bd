"""Hill climbing, and shrinkage in its two units."""

from types import SimpleNamespace

import pytest

from csa.core import select
from csa.core.shrinkage import Shrinkage, climb, scale_odds, share_of


def beside(point):
    x, y = point
    return [(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)]


def test_a_climb_ends_where_no_neighbour_is_better_and_asks_each_point_once():
    for steepest in (True, False):
        asked = []

        def value(point, asked=asked):
            asked.append(point)
            return -((point[0] - 2) ** 2) - 3 * (point[1] + 1) ** 2

        assert climb((0, 0), value, beside, steepest) == ((2, -1), 0)
        assert len(asked) == len(set(asked))


def test_the_steepest_climb_takes_the_best_neighbour_and_the_other_the_first_better_one():
    heights = {(0, 0): 0, (1, 0): 1, (0, 1): 2}  # two peaks, the higher one second

    def value(point):
        return heights.get(point, -1)

    assert climb((0, 0), value, beside) == ((1, 0), 1)
    assert climb((0, 0), value, beside, steepest=True) == ((0, 1), 2)


def test_a_plateau_is_no_way_up():
    assert climb((0, 0), lambda point: 5, beside) == ((0, 0), 5)


def test_raising_adds_to_the_log_odds():
    raised = Shrinkage(share_of(-1.0), share_of(0.5)).raised(2.0, 0.0)
    assert abs(raised.x - share_of(1.0)) < 1e-12 and raised.y == share_of(0.5)
    assert share_of(0.0) == 0.5 and scale_odds(0.0, 9.0) == 0.0 and scale_odds(1.0, 9.0) == 1.0


def test_shrinkage_is_raised_by_one_in_the_log_odds_of_both_views_or_of_either(monkeypatch):
    asked = []

    def retrieval(training, shrinkage, scores):
        asked.append(shrinkage)
        return [0.0]

    monkeypatch.setattr(select, "held_out_retrieval", retrieval)
    crossfit = SimpleNamespace(measure=lambda shrinkage: None)
    training = SimpleNamespace(compact=SimpleNamespace(crossfit=crossfit))
    start = Shrinkage(share_of(-1.0), share_of(0.5))
    assert select.raise_shrinkage(training, start, lambda held: None) == (start, 0.0)
    wanted = [(-1.0, 0.5), (0.0, 1.5), (0.0, 0.5), (-1.0, 1.5)]
    assert sorted(asked) == [
        pytest.approx([share_of(one) for one in odds]) for odds in sorted(wanted)
    ]
