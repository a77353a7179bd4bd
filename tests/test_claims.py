"""Which numbers of a page need a home, and what a home must hold."""

import json

import pytest

from docs import claims


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Faults of a page with some text; there is one result, `speed`."""
    monkeypatch.setattr(claims, "ROOT", tmp_path)
    monkeypatch.setattr(claims, "RESULTS", tmp_path)
    rows = [{"method": "a", "seed": s, "recall": r} for s, r in enumerate((0.1, 0.2, 0.6))]
    (tmp_path / "speed.json").write_text(
        json.dumps({"claim": "twice as fast, 85 %", "seconds": 12.34, "rows": rows})
    )
    claims._values.cache_clear()

    def faults(text):
        (tmp_path / "page.md").write_text(text)
        return claims.homeless(claims.claims([tmp_path / "page.md"]))

    yield faults
    claims._values.cache_clear()


@pytest.mark.parametrize(
    "text",
    [
        "It takes 12 s.",
        "On 5 photos the recall is .25.",
        "- one\n- it needs 3 GB",
        "| a |\n|---|\n| 5 % |",
        "```\nR@1 93% of 40\n```",
        "# Head\nIt is 2.0x as fast.",
    ],
)
def test_a_measured_number_needs_a_home(told, text):
    (fault,) = told(f"First.\n\n{text}\n")
    assert fault.startswith("page.md:3: no home of ")


@pytest.mark.parametrize(
    "text",
    [
        "Five folds of 1,000 photos, decision 12, 64 x 1024, wav2vec 2.0, Python 3.11.",
        "`alpha: 0.05` and [a page](v1.5.md)",
        "| what | goal |\n|---|---|\n| it | 85 % |",
        "```sh\nsleep 0.5\n```",
    ],
)
def test_other_numbers_need_none(told, text):
    assert not told(text)


@pytest.mark.parametrize("number", ["12.3 s", "12 s", "85 %", "20.0 %", ".30", "30 %", "±.15"])
def test_a_file_holds_what_rounds_to_it_and_what_seeds_share(told, number):
    assert not told(f"<!-- measured: speed -->\nIt is {number}.")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("<!-- measured: speed -->\nIt takes 12.4 s.", "12.4 not in speed.json"),
        ("<!-- measured: speed, sped -->\nIt takes 12.3 s.", "no benchmarks/results/sped.json"),
        ("<!-- computed: sped -->\nA 3.1 times faster one.", "no benchmarks/results/sped.json"),
        ("<!-- set -->\nNothing to see.", "no number that needs one"),
    ],
)
def test_a_home_that_is_none_is_told(told, text, fault):
    (said,) = told(text)
    assert fault in said


def test_a_number_without_a_file_names_what_was_done(told):
    assert not told("<!-- once: 1a2b3c4, `csa run` -->\nIt has 93.9 %.")
    assert not told("<!-- computed: speed -->\nIt is 7.7 times as fast.")
    assert not told("<!-- set -->\nIt waits 30 s.")
