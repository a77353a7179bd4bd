"""The bins of a slice, edge by edge."""

import polars as pl
import pytest

from csa.errors import ParamsError
from csa.operations.gate.slices import _thirds, slices_of


@pytest.mark.parametrize(
    ("counts", "names"),
    [
        ([3, 3, 3], [None, None, None]),
        ([5, 2, 2], ["n 3-5", "n 2", "n 2"]),
        ([1, 4, 9], ["n 1", "n 2-4", "n 5-9"]),
        ([1, 2, 3, 4], ["n 1-2", "n 1-2", "n 3", "n 4"]),
        ([1, 2, 3, 4, 5, 6], ["n 1-2", "n 1-2", "n 3-4", "n 3-4", "n 5-6", "n 5-6"]),
        ([1, 2, 3, 9, 9, 9], ["n 1-2", "n 1-2", "n 3-9", "n 3-9", "n 3-9", "n 3-9"]),
        ([1, 1, 1, 1, 2, 3, 4], ["n 1"] * 4 + ["n 2", "n 3-4", "n 3-4"]),
    ],
)
def test_thirds_have_the_bounds_their_names_say(counts, names):
    assert _thirds(pl.Series(counts), "n").to_list() == names


def items(**columns):
    """Four held-out pairs of two groups, and one of training that no slice may hold."""
    facts = {
        "pair_id": list("abcde"),
        "group": ["g", "g", "g", "h", "t"],
        "split": ["test"] * 4 + ["train"],
        "image_hash": ["i1", "i1", "i1", "i2", "i3"],
        "text_hash": ["t1", "t2", "t3", "t4", "t5"],
        "text_words": [2, 4, 9, 4, 100],
    }
    return pl.DataFrame(facts | columns)


def test_each_query_is_in_the_slices_of_its_direction_words_and_group():
    found = slices_of(items(), ("image", "text"), ["direction", "caption_length", "group_size"])
    assert sorted(found.rows()) == sorted(
        [
            *[("image_to_text", i, "direction image_to_text") for i in ("i1", "i2")],
            *[("text_to_image", t, "direction text_to_image") for t in ("t1", "t2", "t3", "t4")],
            ("text_to_image", "t1", "caption_length (text, words) 2"),
            ("text_to_image", "t2", "caption_length (text, words) 3-4"),
            ("text_to_image", "t4", "caption_length (text, words) 3-4"),
            ("text_to_image", "t3", "caption_length (text, words) 5-9"),
            ("image_to_text", "i1", "group_size (pairs) 2-3"),
            ("image_to_text", "i2", "group_size (pairs) 1"),
            *[("text_to_image", t, "group_size (pairs) 2-3") for t in ("t1", "t2", "t3")],
            ("text_to_image", "t4", "group_size (pairs) 1"),
        ]
    )


def test_a_column_makes_a_slice_of_each_value_and_an_unknown_name_is_refused():
    labelled = items(label=["x", "x", None, "y", "z"])
    found = slices_of(labelled, ("image", "text"), ["label"])
    assert sorted(found.filter(pl.col("direction") == "text_to_image").rows()) == [
        ("text_to_image", "t1", "label x"),
        ("text_to_image", "t2", "label x"),
        ("text_to_image", "t4", "label y"),
    ]
    assert slices_of(labelled, ("image", "text"), []).is_empty()
    for name in ("split", "pair_id", "image_hash", "text_words", "magic"):
        with pytest.raises(ParamsError, match=f"no slice '{name}'; there are direction"):
            slices_of(labelled, ("image", "text"), [name])
