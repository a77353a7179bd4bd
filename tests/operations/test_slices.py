"""The slices of the gate: bin edges worked out by hand."""

import polars as pl
import pytest

from csa.operations.gate.slices import slices_of


def slices_by_words(*words):
    """Slice -> how many texts of so many words are in it."""
    n = len(words)
    items = pl.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(n)],
            "group": [f"g{i}" for i in range(n)],
            "split": ["test"] * n,
            "image_hash": [f"i{i}" for i in range(n)],
            "text_hash": [f"t{i}" for i in range(n)],
            "text_words": list(words),
        }
    )
    found = slices_of(items, ("image", "text"), ["caption_length"])
    assert set(found["direction"]) <= {"text_to_image"}
    prefix = "caption_length (text, words) "
    return {
        name.removeprefix(prefix): sorted(
            words[int(text.removeprefix("t"))] for text in part["query"]
        )
        for (name,), part in found.group_by("slice", maintain_order=True)
    }


@pytest.mark.parametrize(
    ("words", "slices"),
    [
        (range(1, 10), {"1-3": [1, 2, 3], "4-6": [4, 5, 6], "7-9": [7, 8, 9]}),
        ((2, 2, 5, 9), {"2": [2, 2], "3-5": [5], "6-9": [9]}),  # three lengths, a slice each
        ((4, 7), {"4": [4], "5-7": [7]}),
        ((3, 3, 3), {}),  # nothing to tell apart
        ((1, 2, 3, 4), {"1-2": [1, 2], "3": [3], "4": [4]}),  # four lengths are thirds
        ((1, 5, 5, 5, 5, 5, 6, 8), {"1-5": [1, 5, 5, 5, 5, 5], "6-8": [6, 8]}),  # edges coincide
        ((1, 2, 3, 9, 9, 9, 9), {"1-3": [1, 2, 3], "4-9": [9, 9, 9, 9]}),  # an edge at the end goes
    ],
)
def test_texts_fall_into_thirds_by_their_words(words, slices):
    assert slices_by_words(*words) == slices


def test_a_query_counts_once_however_many_pairs_it_has():
    items = pl.DataFrame(
        {
            "pair_id": ["a", "b", "c", "d"],
            "group": ["g", "g", "h", "h"],
            "split": ["test", "test", "test", "train"],
            "label": ["x", "x", None, "y"],
            "image_hash": ["i", "i", "j", "k"],
            "text_hash": ["s", "t", "u", "v"],
        }
    )
    found = slices_of(items, ("image", "text"), ["label", "group_size"])
    rows = sorted(found.rows())
    assert rows == [
        ("image_to_text", "i", "group_size (pairs) 2"),
        ("image_to_text", "i", "label x"),
        ("image_to_text", "j", "group_size (pairs) 1"),
        ("text_to_image", "s", "group_size (pairs) 2"),
        ("text_to_image", "s", "label x"),
        ("text_to_image", "t", "group_size (pairs) 2"),
        ("text_to_image", "t", "label x"),
        ("text_to_image", "u", "group_size (pairs) 1"),
    ]
    assert slices_of(items, ("image", "text"), []).is_empty()
