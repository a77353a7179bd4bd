"""Items that stand for a crowd: the greedy choice itself, and what it does on made clusters."""

import numpy as np
import pytest

from csa.core.representative import representative


def one_by_one(crowd, known, count):
    """The same choice by looking at every item in every round."""

    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    centre = unit(crowd).mean(axis=0)
    points, anchors = unit(unit(crowd) - centre), unit(unit(known) - centre)
    cosines, chosen = points @ points.T, []
    for _ in range(count):
        reached = np.concatenate([points @ anchors.T, cosines[:, chosen]], axis=1)
        nearest = reached.max(axis=1, keepdims=True, initial=-1)
        total = np.maximum(cosines, nearest).sum(axis=0)
        total[chosen] = -np.inf
        chosen.append(int(total.argmax()))
    return chosen


@pytest.mark.parametrize("labelled", [0, 1, 30])
def test_rounds_that_are_left_out_change_nothing(labelled):
    rng = np.random.default_rng(labelled)
    crowd, known = rng.normal(size=(200, 6)) + 0.5, rng.normal(size=(labelled, 6))
    found = representative(crowd, known, 15)
    assert found.tolist() == one_by_one(crowd, known, 15)
    assert found[:7].tolist() == representative(crowd, known, 7).tolist()


def test_the_largest_cluster_without_a_label_comes_first():
    rng = np.random.default_rng(0)
    sizes = [60, 40, 20, 1]
    centres = 5 * np.eye(4)
    crowd = np.concatenate(
        [centre + rng.normal(0, 0.3, (n, 4)) for centre, n in zip(centres, sizes, strict=True)]
    )
    cluster = np.repeat(range(4), sizes)
    assert cluster[representative(crowd, np.zeros((0, 4)), 3)].tolist() == [0, 1, 2]
    assert cluster[representative(crowd, centres[:1], 2)].tolist() == [1, 2]
    assert cluster[representative(crowd, centres[:3], 1)].tolist() == [3]


def test_of_few_items_all_are_chosen_once():
    crowd = np.ones((4, 2))
    crowd[0] = 0
    assert sorted(representative(crowd, crowd[:1], 9)) == [0, 1, 2, 3]
