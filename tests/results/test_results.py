"""Shapes of what stages write: keys in order, a check on reading, one line where it fails; and how
numbers are said.
"""

import json
from dataclasses import replace

import pytest
from measured import FIT, METRICS, ONE, OUT_OF_CONTEXT, RETRIEVAL

from csa.errors import ArtifactError
from csa.results import words
from csa.results.estimate import Estimate, Value
from csa.results.evaluation import ClassSetMetrics, EvaluationMetrics, SetMetrics
from csa.results.fit import FitReport
from csa.results.task import read_task
from csa.storage.files import write_json


def test_keys_are_the_fields_in_order_and_what_is_absent_is_no_key():
    written = METRICS.as_dict()
    assert list(written) == [
        *("evaluation_id", "pairs", "groups", "galleries", "retrieval", "retrieval_paper"),
        *("mismatch", "mismatch_known", "classification", "baselines"),
    ]
    assert list(written["mismatch_known"])[:2] == ["pairs", "auc"]
    assert written["galleries"] == {"image": 3, "text": 7}
    assert list(written["baselines"]["asif"]) == ["retrieval", "retrieval_paper", "mismatch"]
    assert OUT_OF_CONTEXT.as_dict()["out_of_context"]["paper"] == {
        "thresholds": {"captions": None, "image": 0.5},
        **{name: ONE.as_dict() for name in ("auc", "average_precision", "fpr_at_95_tpr")},
        **{name: ONE.as_dict() for name in ("accuracy", "f1")},
    }
    assert FIT.as_dict()["tried"]["scores"][0]["n_components"] is None
    assert FIT.as_dict()["diagnostics"]["held_out_mrr"] is None


@pytest.mark.parametrize("record", [METRICS, OUT_OF_CONTEXT, FIT], ids=lambda r: type(r).__name__)
def test_what_is_read_is_what_was_written_to_the_byte(record, tmp_path):
    file = tmp_path / "file.json"
    write_json(file, record.as_dict())
    content = file.read_bytes()
    again = read_task(file) if record is OUT_OF_CONTEXT else type(record).read(file)
    assert again == record
    write_json(file, again.as_dict())
    assert file.read_bytes() == content


def test_what_is_not_of_the_shape_is_one_clear_line(tmp_path):
    file = tmp_path / "metrics.json"
    with pytest.raises(ArtifactError, match=r"metrics.json: no such file; run `csa run` first"):
        EvaluationMetrics.read(file)
    for content, said in (
        ("{", "damaged (not JSON)"),
        ("[]", "the whole: Input should be an object"),
        (json.dumps({**METRICS.as_dict(), "pairs": {"train": 5}}), "pairs.test: Field required"),
        (
            json.dumps({**METRICS.as_dict(), "galleries": {"image": "3"}}),
            "galleries.image: Input should be a valid integer",
        ),
    ):
        file.write_text(content)
        with pytest.raises(ArtifactError) as caught:
            EvaluationMetrics.read(file)
        line = str(caught.value)
        assert line.startswith(f"{file}: damaged") and said in line and "\n" not in line
        assert line.endswith("delete it and run `csa run` again")
    file.write_text('{"kind": "magic"}')
    with pytest.raises(ArtifactError, match=r"kind 'magic'; there are transfer, out_of_context"):
        read_task(file)
    file.write_text("[1]")
    with pytest.raises(ArtifactError, match="the whole: Input should be an object"):
        read_task(file)


def test_a_fit_of_an_older_version_has_no_profile_and_no_trials():
    old = {k: v for k, v in FIT.as_dict().items() if k not in ("profile", "tried")}
    assert FitReport.of(old, "fit.json").profile is None
    assert FitReport.of(old, "fit.json").as_dict() == old


def test_what_a_fit_says_of_itself():
    assert FIT.no_shared_signal and FIT.overfit_gap == 0.5
    assert FIT.nats is None and FIT.effective_dimension is None
    unasked = FitReport.of({**FIT.as_dict(), "diagnostics": {"mutual_information_nats": 2}}, "f")
    assert unasked.nats == 2 and not unasked.no_shared_signal


def test_recalls_and_galleries_are_found_by_what_they_are_of():
    assert RETRIEVAL.recalls == {
        1: RETRIEVAL.recall_at_1,
        5: RETRIEVAL.recall_at_5,
        10: RETRIEVAL.recall_at_10,
    }
    assert list(RETRIEVAL.of_queries) == ["recall_at_1", "recall_at_5", "recall_at_10", "mrr"]
    assert RETRIEVAL.of_queries["recall_at_5"] is RETRIEVAL.recall_at_5
    assert METRICS.gallery("image_to_text") == 7 and METRICS.gallery("text_to_image") == 3


def test_sets_of_classes_are_there_or_said_to_be_too_few():
    sets = SetMetrics(ONE, Value(2.0), Value(1.0), 3)
    measured = ClassSetMetrics.measured("transfer", sets)
    assert measured.sets == sets and measured.as_dict() == {
        "protocol": "transfer",
        **sets.as_dict(),
    }
    few = ClassSetMetrics("transfer", too_few="4 groups")
    assert few.sets is None and few.as_dict() == {"protocol": "transfer", "too_few": "4 groups"}


def test_numbers_are_said_in_one_way():
    share = Estimate(0.1234, 0.05, 0.25)
    assert words.percent(share) == "12.3% [5.0, 25.0]"
    assert words.plain(share) == "0.123 [0.050, 0.250]"
    assert words.signed(share, 4, ", interval") == "+0.1234, interval [+0.0500, +0.2500]"
    assert words.recall_line(RETRIEVAL) == (
        "R@1 10.0% [0.0, 20.0]   R@5 50.0% [40.0, 60.0]   R@10 100.0% [100.0, 100.0]"
    )
    assert words.recall_line(RETRIEVAL, (5,)) == "R@5 50.0% [40.0, 60.0]"
    assert words.arrow("hard_strangers") == "hard_strangers"


def test_a_notebook_shows_an_evaluation_as_a_table_without_a_script():
    beside = replace(METRICS.baselines["asif"], retrieval=METRICS.retrieval)
    odd = replace(METRICS, baselines={"<script>alert(1)</script>": beside})
    html = odd._repr_html_()
    rows = html.split("<tr>")
    assert len(rows) == 2 + 2 * len(METRICS.retrieval), "a heading, CSA, and one beside it"
    assert "<script" not in html and "&lt;script&gt;alert(1)" in html
    for direction, found in METRICS.retrieval.items():
        (row,) = (row for row in rows if f"<td>CSA</td><td>{direction.replace('_', ' ')}" in row)
        assert words.plain(found.recall_at_5) in row
        assert f"{found.median_rank.value:g} of {METRICS.gallery(direction)}" in row
