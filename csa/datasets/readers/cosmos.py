"""Reader `cosmos`: news images with captions that may be out of context (Aneja et al., COSMOS,
2021).
"""

import json
from pathlib import Path
from typing import Any

from csa.datasets.readers.captions import untouched_note
from csa.datasets.rows import RawPair, Source, read_lines, split_of, view_of
from csa.errors import DataError
from csa.params.data import DatasetParams
from csa.params.views import ViewParams

_FILES = {
    "train": ("train_data.json", "train.json"),
    "val": ("val_data.json", "val.json"),
    "test": ("test_data.json", "test.json"),
}
_OUT_OF_CONTEXT = {"1": "true", "0": "false", "ooc": "true", "not-ooc": "false"}
_CAPTIONS = ("caption1", "caption2")


def read_cosmos(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
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
    image_view = view_of(views, "image", "cosmos")
    both = all(name in views for name in _CAPTIONS)
    text_view = "" if both else view_of(views, "text", "cosmos")
    files = {
        split: next((path / name for name in names if (path / name).is_file()), None)
        for split, names in _FILES.items()
    }
    if not any(files.values()):
        raise DataError(
            f"{path}: no COSMOS files; expected train_data.json, val_data.json or test_data.json "
            f"in dataset.path"
        )
    rows: list[RawPair] = []
    untouched = 0
    for given, file in files.items():
        split = (
            split_of(given, params.held_out) if not both else "test" if given == "test" else None
        )
        for number, line in enumerate(read_lines(file) if file else [], start=1):
            if not line.strip():
                continue
            if split is None:
                untouched += 1
                continue
            image, captions, label = _record(line, f"{file}: line {number}")
            place = f"line {number} of {file.name if file else ''}"
            if both:
                rows.append(
                    RawPair(place, image, {image_view: image, **captions}, image, split, label)
                )
                continue
            for k, caption in enumerate(captions.values()):
                rows.append(
                    RawPair(
                        place, f"{image}#{k}", {image_view: image, text_view: caption}, image, split
                    )
                )
    return Source(rows, untouched_note(untouched, "images", params.held_out))


def _record(line: str, place: str) -> tuple[str, dict[str, Any], str | None]:
    """The image, its captions by name, and whether it is out of context (None where nothing is
    said).
    """
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{place} is not JSON ({error.msg}); COSMOS files hold one object a line"
        ) from None
    try:
        image = str(record["img_local_path"])
        if "articles" in record:
            return (
                image,
                {
                    f"caption{k}": article["caption"]
                    for k, article in enumerate(record["articles"], start=1)
                },
                None,
            )
        given = str(
            record["context_label"] if "context_label" in record else record["label"]
        ).lower()
        return image, {name: record[name] for name in _CAPTIONS}, _OUT_OF_CONTEXT[given]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{place}: no {error}; expected img_local_path, and articles, or caption1, caption2 "
            f"and context_label (0 or 1)"
        ) from None
