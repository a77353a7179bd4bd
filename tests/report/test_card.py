"""What the model card says of unpaired items and of labels that an encoder was trained on."""

from dataclasses import replace

import pytest

from csa.report.card import unpaired_words
from csa.results.fit import UnpairedAccount

USED = UnpairedAccount(
    items=[2990, 0],
    left_out=[0, 0],
    used=True,
    round=2,
    weight=0.9,
    labels=1.5,
    temperature=1.0,
    learned_from_labels=True,
    checked_on_true_pairs=True,
    label_names=["tench", "goldfish", "great white shark", "tiger shark"],
)
VIEWS = ("image", "text")


def test_pools_and_labels_are_named():
    pools, labels = unpaired_words(USED, VIEWS)
    assert pools == "The fit has learned from 2,990 unpaired items of view image too."
    assert "4 labels of an encoder, such as tench, goldfish, great white shark." in labels


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"used": False}, ["2,990 unpaired items of view image were tried and not used"]),
        ({"items": [0, 0]}, []),
        ({"learned_from_labels": False, "label_names": None}, ["The fit has learned from 2,990"]),
        ({"checked_on_true_pairs": False}, ["There were no pairs to check", "4 labels"]),
    ],
)
def test_what_had_no_part_is_not_claimed(changes, said):
    found = unpaired_words(replace(USED, **changes), VIEWS)
    assert len(found) == len(said)
    assert all(part in sentence for part, sentence in zip(said, found, strict=True))
