"""What others add: the examples of docs/contributing.md run, and check_encoder finds faults."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import csa
from csa.core.matrices import Float32
from csa.core.scores import SCORES
from csa.datasets.ingest import ReadOptions, read_dataset
from csa.datasets.items import item_checker, item_loader
from csa.encoders.base import Encoder
from csa.encoders.registry import BUILTIN, Builtin, first_encoder, load_view_encoder
from csa.errors import DataError, EncoderError
from csa.modalities.registry import MODALITIES, files_in, modality_of, names_a_file, preview
from csa.params.data import DatasetParams
from csa.params.views import ViewParams
from csa.testing import check_encoder

PAGE = Path(__file__).parents[1] / "docs" / "contributing.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def example(number):
    """The names that an example defines."""
    names = {}
    exec(compile(EXAMPLES[number], f"{PAGE.name} example {number}", "exec"), names)
    return names


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 80 * k, (20, 30, 3), np.uint8)) for k in (1, 2, 3)]


def test_examples_are_short():
    assert len(EXAMPLES) == 5 and max(text.count("\n") for text in EXAMPLES) < 40


def test_the_example_of_an_encoder_is_one(pictures, monkeypatch):
    colours = example(0)["Colours"]
    monkeypatch.setitem(BUILTIN, "colours", Builtin("image", colours))
    encoder = load_view_encoder(
        ViewParams(modality="image", encoders=[{"encoder": "colours"}, {"encoder": "x"}]).parts[0]
    )
    features = encoder.encode(pictures)
    assert features.shape == (3, 64) and features.sum(axis=1) == pytest.approx(np.ones(3))
    with pytest.raises(EncoderError, match="'colours' has augment: none alone, got flip"):
        load_view_encoder(ViewParams(modality="image", encoder="colours", augment="flip"))
    names = {"ViewParams": ViewParams, "Colours": colours, "pictures": pictures}
    exec(EXAMPLES[1], names)
    names["test_colours"]()


def test_the_example_of_a_reader_is_one(tmp_path, pictures, monkeypatch):
    for k, picture in enumerate(pictures):
        picture.save(tmp_path / f"{k}.png")
    (tmp_path / "0.txt").write_text("a picture\nthe same\n")
    (tmp_path / "1.txt").write_text("another\n")
    (tmp_path / "notes.md").write_text("mine")
    monkeypatch.setattr("csa.datasets.ingest.reader_of", lambda kind: example(2)["read_sidecar"])
    views = {name: ViewParams(modality=name, encoder="x") for name in ("image", "text")}
    measured = ReadOptions(progress=False, to_fit=False)
    found = read_dataset(DatasetParams(path="."), views, tmp_path, measured)
    assert found.pairs["pair_id"].to_list() == ["0.png#0", "0.png#1", "1.png#0"]
    assert found.pairs["text"].to_list() == ["a picture", "the same", "another"]
    assert found.pairs["group"].to_list() == ["0.png", "0.png", "1.png"]
    pictures_read = found.account["records"]["pictures"]
    assert pictures_read == {"total": 3, "used": 2, "set_aside": 0, "left_out": 1}
    assert found.account["files"]["total"] == 6 and found.account["files"]["left_out"] == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no pictures; expected IMAGE"):
        read_dataset(DatasetParams(path="empty"), views, tmp_path, measured)


def test_the_example_of_a_score_is_one(tmp_path, monkeypatch):
    monkeypatch.setitem(SCORES, "prediction", example(3)["PredictionScore"])
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(300, 5))
    X, Y = (shared @ rng.normal(size=(5, p)) + rng.normal(size=(300, p)) for p in (12, 10))
    model = csa.CSA(score="prediction").fit(X[:200], Y[:200])
    a, b = model.transform(X[200:], Y[200:])
    weights = model.alignment_.score.weights
    expected = (a * weights) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    scores = model.similarity(X[200:], Y[200:])
    assert scores == pytest.approx(expected)
    assert (scores.argmax(axis=1) == np.arange(100)).mean() > 0.2, "chance is 1 %"
    model.save(tmp_path / "a.safetensors")
    assert np.array_equal(csa.load(tmp_path / "a.safetensors").similarity(X[200:], Y[200:]), scores)
    tried = csa.CSA(score="auto").fit(X[:200], Y[:200]).tried_["scores"]
    assert "prediction" in str(tried), "auto compares it with the others"


class Extent(Encoder):
    """An encoder for the example of a modality: the side lengths of the box around a shape."""

    def __init__(self, view):
        super().__init__({"encoder": "extent"}, view.batch_size)

    def prepare(self, item):
        return np.ptp(item, axis=0)

    def forward(self, prepared, padded_length):
        return np.stack(prepared).astype(np.float32)


def test_the_example_of_a_modality_is_one(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    points = [rng.normal(size=(5 + k, 3)) for k in range(3)]
    for k, shape in enumerate(points):
        np.savetxt(tmp_path / f"{k}.xyz", shape)
    (tmp_path / "flat.xyz").write_text("1 2\n3 4\n")
    with pytest.raises(ValueError, match="Input should be one of"):
        ViewParams(modality="shape", encoder="extent")
    monkeypatch.setitem(MODALITIES, "shape", example(4)["Shape"]())
    monkeypatch.setitem(BUILTIN, "extent", Builtin("shape", Extent))
    view = ViewParams(modality="shape", encoder=first_encoder("shape"))
    load, check = item_loader(view, tmp_path, 1), item_checker(view, tmp_path, 1)
    items = [load(f"{k}.xyz") for k in range(3)]
    assert load_view_encoder(view).encode(items) == pytest.approx(
        np.stack([np.ptp(shape, axis=0) for shape in points]), rel=1e-6
    )
    assert len({check(f"{k}.xyz") for k in range(3)}) == 3
    with pytest.raises(DataError, match="2 numbers a line"):
        check("flat.xyz")
    assert modality_of("a/b.XYZ") == "shape" and names_a_file("b.xyz")
    assert [file.name for file in files_in(tmp_path, "shape")][:2] == ["0.xyz", "1.xyz"]
    assert preview(items[0], "0.xyz") == "0.xyz", "not the lines of a series"
    check_encoder(Extent(view), items)


class Base(Encoder):
    """Rows as they are, for encoders with one fault each."""

    def __init__(self, **described):
        super().__init__({"encoder": "rows", **described}, 4)

    def prepare(self, item):
        return np.asarray(item, np.float32)

    def forward(self, prepared, padded_length):
        return np.stack(prepared)


class Random(Base):
    def forward(self, prepared, padded_length):
        rng = np.random.default_rng()
        return np.stack(prepared) + rng.normal(size=(4, 1)).astype(np.float32)


class Normalised(Base):
    def forward(self, prepared, padded_length):
        rows = np.stack(prepared)
        return rows - rows.max(axis=0)


class Placed(Base):
    def forward(self, prepared, padded_length):
        return np.stack(prepared) + np.arange(4, dtype=np.float32)[:, None]


class Endless(Base):
    def forward(self, prepared, padded_length):
        return np.full_like(np.stack(prepared), np.inf)


class Deaf(Base):
    def forward(self, prepared, padded_length):
        return np.ones((4, 2), np.float32)


class Flat(Base):
    def forward(self, prepared, padded_length):
        return np.ones(4, np.float32)


class Changing(Base):
    def forward(self, prepared, padded_length):
        self.description["seen"] = self.description.get("seen", 0) + 1
        return super().forward(prepared, padded_length)


class Scaled(Base):
    def forward(self, prepared, padded_length):
        rows: Float32 = 2 * np.stack(prepared)
        return rows


class Named(Base):
    def __init__(self):
        super().__init__()
        self.fingerprint = "rows-1"


ROWS = [np.array([k, k * k, 1.0]) for k in (1, 2, 3)]


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (Random(), "a second time"),
        (Placed(), "in another order"),
        (Normalised(), "alone"),
        (Endless(), "NaN or infinity"),
        (Deaf(), "all items have the same features"),
        (Flat(), r"shape \(3,\); expected \(3, d\)"),
        (Changing(), "description changed"),
        (Named(), "not that of the description"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_fault_of_an_encoder_is_named(encoder, message):
    with pytest.raises(AssertionError, match=message):
        check_encoder(encoder, ROWS)


def test_a_setting_that_the_fingerprint_forgets_is_found():
    check_encoder(Base(scale=1), ROWS, others=[Scaled(scale=2), Base(scale=3)])
    with pytest.raises(AssertionError, match="put the setting that differs"):
        check_encoder(Base(), ROWS, others=[Scaled()])
    with pytest.raises(AssertionError, match="give three or more"):
        check_encoder(Base(), ROWS[:2])


@pytest.mark.parametrize("name", ["rocket", "efficientnet-lite0", "minilm-l6-v2"])
def test_encoders_of_the_house_pass_their_own_check(name, pictures):
    rng = np.random.default_rng(2)
    items = {
        "series": [rng.normal(size=(20 + k, 1)) for k in range(3)],
        "image": pictures,
        "text": ["a dog", "a cat in the snow under a tree beside a house", "two"],
    }
    modality = BUILTIN[name].modality
    encoder = BUILTIN[name].make(ViewParams(modality=modality, encoder=name, batch_size=4))
    check_encoder(encoder, items[modality])
