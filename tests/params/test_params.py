"""The schema of params.yaml: what is wrong is named, with what was probably meant."""

import pytest
import yaml

from csa.errors import ParamsError
from csa.params.reading import apply_overrides, load_yaml
from csa.params.schema import Params


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"fits": {}}, "unknown key 'fits'; did you mean 'fit'"),
        ({"fit": {"shrinkag": 0.1}}, "unknown key 'fit.shrinkag'; did you mean 'shrinkage'"),
        (
            {"dataset": {"split": {"tests": 0.1}}},
            "unknown key 'dataset.split.tests'; did you mean 'test'",
        ),
        (
            {"views": {"image": {"modality": "image", "encoder": "x", "pool": "cls"}, "text": {}}},
            "did you mean 'pooling'",
        ),
        ({"fit": {"folds": "five"}}, "'fit.folds': Input should be a valid integer, got 'five'"),
        ({"fit": {"folds": True}}, "fit.folds"),
        ({"fit": {"shrinkage": 1.5}}, r"lies in \[0, 1\]"),
        ({"fit": {"shrinkage": [0.1]}}, "two numbers"),
        ({"dataset": {"split": {"test": 1.0}}}, "dataset.split.test"),
        (
            {"views": {"image": {"modality": "image", "encoder": "x"}}},
            "exactly two views are needed, got 1",
        ),
        (
            {
                "views": {
                    "group": {"modality": "image", "encoder": "x"},
                    "t": {"modality": "text", "encoder": "x"},
                }
            },
            "cannot name a view",
        ),
        (
            {
                "views": {
                    "a": {"modality": "array", "encoder": "x"},
                    "t": {"modality": "text", "encoder": "x"},
                }
            },
            "go together",
        ),
        ({"model": {"name": "../up"}}, "model.name"),
        ("fit", "expected sections"),
    ],
)
def test_what_is_wrong_is_named(mapping, message):
    with pytest.raises(ParamsError, match=message) as caught:
        Params.from_mapping(mapping, "params.yaml")
    assert str(caught.value).startswith("params.yaml: ") and "\n" not in str(caught.value)


def test_defaults_are_written_out_and_read_back():
    params = Params.from_mapping({"fit": {"folds": 3}})
    dumped = params.dump()
    assert dumped["fit"] == {
        "score": "auto",
        "shrinkage": "auto",
        "n_components": "auto",
        "preparation": "auto",
        "hubness": "auto",
        "folds": 3,
        "seed": 0,
    }
    assert Params.from_mapping(dumped) == params


def test_overrides_are_laid_over():
    base = {"fit": {"folds": 5}}
    result = apply_overrides(
        base, ("fit.folds=10", "fit.shrinkage=[0.1, 0.2]", "dataset.split.test=0.5")
    )
    assert result == {
        "fit": {"folds": 10, "shrinkage": [0.1, 0.2]},
        "dataset": {"split": {"test": 0.5}},
    }
    assert base == {"fit": {"folds": 5}}
    for wrong in ("fit.folds", "=3", "fit.folds.x=1", "fit.folds=[1"):
        with pytest.raises(ParamsError, match="--set"):
            apply_overrides(base, (wrong,))


def test_a_file_that_is_no_yaml(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(ParamsError, match="not valid YAML"):
        load_yaml(tmp_path / "bad.yaml")
    with pytest.raises(ParamsError, match="no such file"):
        load_yaml(tmp_path / "none.yaml")


OLD = {
    "modality": "image",
    "encoder": "efficientnet-lite0",
    "batch_size": 16,
    "beside": [
        {"encoder": "efficientnet-lite1", "pooling": None},
        {"encoder": "efficientnet-lite2"},
    ],
}
NEW = {
    "modality": "image",
    "batch_size": 16,
    "encoders": [{"encoder": f"efficientnet-lite{size}"} for size in (0, 1, 2)],
}
TEXT = {"modality": "text", "encoder": "minilm-l6-v2"}


def test_several_encoders_are_the_same_in_either_spelling_with_one_note_for_the_old(capsys):
    old = Params.from_mapping({"views": {"image": OLD, "text": TEXT}}, "old.yaml")
    Params.from_mapping({"views": {"image": OLD, "text": TEXT}}, "old.yaml")
    told = capsys.readouterr().err
    assert told.count("note: ") == 1 and "old.yaml: views.image.beside is the old spelling" in told
    shown = yaml.safe_load(told.partition("encoders: ")[2].partition("] in place")[0] + "]")
    assert shown == NEW["encoders"], "the note shows what to write"
    new = Params.from_mapping({"views": {"image": NEW, "text": TEXT}}, "new.yaml")
    assert capsys.readouterr().err == ""
    assert old == new and old.dump() == new.dump()
    assert [part.batch_size for part in new.views["image"].parts] == [16, 16, 16]
    assert new.views["image"].encoder_names == " + ".join(e["encoder"] for e in NEW["encoders"])


def test_a_dump_has_one_form_for_each_meaning():
    several = Params.from_mapping({"views": {"image": NEW, "text": TEXT}}).dump()
    assert Params.from_mapping(several).dump() == several
    image = several["views"]["image"]
    assert set(image) == {"modality", "lidar", "encoders"} and len(image["encoders"]) == 3
    listed = {"modality": "text", "encoders": [{"encoder": "minilm-l6-v2", "layer": [0, -1]}]}
    short = {"modality": "text", "encoder": "minilm-l6-v2", "layer": [0, -1], "beside": []}
    one, other = (
        Params.from_mapping({"views": {"image": NEW, "text": text}}).dump()["views"]["text"]
        for text in (listed, short)
    )
    assert one == other and "encoders" not in one


def test_an_unknown_modality_is_refused_with_those_there_are():
    with pytest.raises(ParamsError, match="image, text, audio, lidar, series, array, got 'video'"):
        Params.from_mapping({"views": {"image": NEW, "text": {**TEXT, "modality": "video"}}})
