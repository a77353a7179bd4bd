"""Reader `cosmos`: news images with captions that may be out of context (Aneja et al., COSMOS,
2021).
"""

import json
from typing import Any

from csa.datasets.reading import Reading
from csa.datasets.rows import ItemError, LeftOut, RawPair, as_text, known, read_lines, view_of
from csa.datasets.splits import Part
from csa.errors import DataError
from csa.storage.files import plain_words

_FILES: dict[Part, tuple[str, ...]] = {
    "train": ("train_data.json", "train.json"),
    "val": ("val_data.json", "val.json"),
    "test": ("test_data.json", "test.json"),
}
_OUT_OF_CONTEXT = {"1": "true", "0": "false", "ooc": "true", "not-ooc": "false"}
_CAPTIONS = ("caption1", "caption2")
_EXPECTED = (
    "expected img_local_path, and articles, or caption1, caption2 and context_label (0 or 1)"
)


def read_cosmos(reading: Reading) -> None:
    """Read the data set's JSON lines, one image a line.

    Layout: train_data.json, val_data.json and test_data.json (or without _data), and the images
    that `img_local_path` names, such as train/0.jpg. Lines of train and val hold `articles`, each
    with a `caption`. Lines of test hold `caption1`, `caption2` and `context_label` (also seen as
    `label`): 1 or "ooc" where the two do not both belong to the image.

    With one text view, each caption makes a pair with its image. The pair's id is IMAGE#K, its
    group the image. `dataset.held_out` says whether val or test is held out; the other is left
    untouched. With text views called caption1 and caption2, each test image makes one row, whose
    label is true where it is out of context, else false.

    Raises:
        DataError: not such a folder.
    """
    views = reading.views
    image_view = view_of(views, "image", "cosmos")
    both = all(name in views for name in _CAPTIONS)
    text_view = "" if both else view_of(views, "text", "cosmos")
    files = {
        part: name
        for part, names in _FILES.items()
        for name in [next((name for name in names if name in reading.names), None)]
        if name is not None
    }
    if not files:
        raise DataError(
            f"{reading.path}: no COSMOS files; expected train_data.json, val_data.json or "
            f"test_data.json in dataset.path"
        )
    roles = {"test": "test"} if both else reading.roles(files)

    def pairs(place: str, given: tuple[Part, str]) -> list[RawPair] | LeftOut:
        part, line = given
        split = roles.get(part)
        record = _record(line, place)
        image = _image(record, place)
        found = reading.find(image)
        if split is None:
            return reading.untouched(part, [found])
        with known({image_view: found}):
            captions, label = _captions(record, place)
        if both:
            return [RawPair(place, image, {image_view: found, **captions}, image, split, label)]
        return [
            RawPair(place, f"{image}#{k}", {image_view: found, text_view: caption}, image, split)
            for k, caption in enumerate(captions.values())
        ]

    for part, file in files.items():
        lines = enumerate(read_lines(reading.open(file)), start=1)
        reading.take(
            "lines",
            ((f"{file}: line {n}", (part, line)) for n, line in lines if line.strip()),
            pairs,
        )
    reading.say_untouched("images")


def _record(line: str, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError, MemoryError) as error:
        raise ItemError(
            f"{place} is not JSON ({plain_words(error)}); COSMOS files hold one object a line"
        ) from None
    if not isinstance(record, dict):
        raise ItemError(
            f"{place} holds no object; COSMOS files hold one object a line, not one array of all"
        )
    return record


def _image(record: dict[str, Any], place: str) -> str:
    image = record.get("img_local_path")
    if not isinstance(image, str):
        raise ItemError(f"{place}: no 'img_local_path' as a text; {_EXPECTED}")
    return image


def _captions(record: dict[str, Any], place: str) -> tuple[dict[str, str | None], str | None]:
    """Captions by name, and whether they are out of context (None if nothing is said)."""
    if "articles" in record:
        return _articles(record["articles"], place), None
    captions = {name: as_text(record.get(name), name) for name in _CAPTIONS}
    return captions, _label(record, place)


def _articles(articles: Any, place: str) -> dict[str, str | None]:
    if not isinstance(articles, list) or not all(
        isinstance(one, dict) and "caption" in one for one in articles
    ):
        raise ItemError(f"{place}: 'articles' is not a list of captions; {_EXPECTED}")
    return {
        f"caption{k}": as_text(article["caption"], "caption")
        for k, article in enumerate(articles, start=1)
    }


def _label(record: dict[str, Any], place: str) -> str:
    name = "context_label" if "context_label" in record else "label"
    given = str(record.get(name)).lower()
    if given not in _OUT_OF_CONTEXT:
        raise ItemError(f"{place}: no {name!r}; {_EXPECTED}")
    return _OUT_OF_CONTEXT[given]
