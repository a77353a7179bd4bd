"""The schema of params.yaml: what is wrong is named, with what was probably meant."""

import os

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
        ({"fit": {"shrinkage": 1.5}}, r"must lie in \[0, 1\]"),
        ({"fit": {"shrinkage": [0.1]}}, "two numbers"),
        *(
            (
                {"compute": {"device": bad}},
                f"'compute.device': use auto, cpu, .* or mps, got '{bad}'",
            )
            for bad in ("gpu", "cuda:", "cuda:x", "CPU", "meta", "")
        ),
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
        "search": "auto",
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


def aliases(levels):
    """Ten to the power of `levels` values in a few lines."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for k in range(1, levels):
        lines.append(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]")
    return "\n".join(lines)


VIEW = "{modality: text, encoder: x}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fit: {folds: 3}\ndataset: {}\nfit: {}", "line 3: `fit` is there twice .first in line 1"),
        (
            "fit:\n  seed: 1\n  folds: 3\n  seed: 2",
            "line 4: `seed` is there twice .first in line 2",
        ),
        ("fit: {seed: 2024-13-45}", "fit.seed.*got '2024-13-45'"),
        ("fit: !!timestamp 2024-13-45", "'2024-13-45' is no value .month must be"),
        ("fit: !!timestamp x", "'x' is no value .* .line 1, column 6"),
        (f"fit: {{seed: {'1' * 5000}}}", "is no value .* .line 1, column 13"),
        (f"fit: {{seed: 0x{'f' * 5000}}}", "a number with too many digits"),
        ("[" * 5000, "nested more than 50 deep"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 50 deep"),
        (aliases(8), "its aliases expand to more than 100,000 values"),
        ("&a [*a]", "an alias lies inside the part that it stands for"),
        ('model: {name: "a\\0b"}', "line 1: the text has a NUL"),
        ("a: 1\n---\nb: 2", "found another document"),
        ("fit: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("{[1]: 2}", "unhashable key"),
        ("checks: {leakage: [.nan, .nan]}", "leakage.0.*finite number"),
        ("gate: {margin: .inf}", "gate.margin.*finite number"),
        ("checks: {leakage: [0.5, 0.1]}", "in the wrong order: warn must be the smaller"),
        ("checks: {fewest_groups: [5, 10]}", "in the wrong order: warn must be the larger"),
        ("checks: {leakage: [-1, 0.1]}", "leakage.0.*greater than or equal to 0"),
        ("fit: {seed: -1}", "fit.seed.*greater than or equal to 0"),
        ("gate: {seed: 4294967296}", "gate.seed.*less than"),
        ("fit: {n_components: 0}", "n_components.*greater than or equal to 1"),
        ("fit: {folds: 1001}", "fit.folds.*less than or equal to 1000"),
        ("evaluate: {bootstrap: 99999999999999}", "evaluate.bootstrap.*less than or equal"),
        (f"views: {{image: {VIEW}, image_hash: {VIEW}}}", "the column of hashes of 'image'"),
        (f"views: {{{'v' * 101}: {VIEW}, b: {VIEW}}}", "cannot name a view"),
        (f"views: {{a: {VIEW[:-1]}, layer: [[1], 2]}}, b: {VIEW}}}", "holds whole numbers"),
        ("", "expected sections"),
        ("~: 6", "Keys should be strings"),
    ],
)
def test_yaml_that_hides_something_is_refused(tmp_path, text, said):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=said) as caught:
        Params.load(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_what_looks_like_a_date_is_a_text_and_a_mark_of_byte_order_is_nothing(tmp_path):
    (tmp_path / "p.yaml").write_text("\ufeffmodel: {name: 2024-01-01}\nfit: &f {folds: 3}\n")
    params = Params.load(tmp_path / "p.yaml")
    assert (params.model.name, params.fit.folds) == ("2024-01-01", 3)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop", "latin-1"])
def test_what_is_no_params_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "p.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "latin-1":
        path.write_bytes("name: Zoë".encode("latin-1"))
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path)
    with pytest.raises(ParamsError, match=r"p\.yaml: (it is a|no such file|not UTF-8)"):
        load_yaml(path)


def test_overrides_fill_an_empty_section_and_say_values_that_are_none():
    assert apply_overrides({"dataset": None}, ("dataset.path=x",)) == {"dataset": {"path": "x"}}
    for override, said in {
        "a=[" + "[" * 100: "nested|not valid",
        "a={b: 1, b: 2}": "is there twice",
        f"a={'9' * 5000}": "no value",
    }.items():
        with pytest.raises(ParamsError, match=said) as caught:
            apply_overrides({}, (override,))
        assert len(str(caught.value)) < 600


def test_only_near_names_are_suggested():
    with pytest.raises(ParamsError, match=r"unknown key 'zebra'$"):
        Params.from_mapping({"zebra": 1}, "p")
