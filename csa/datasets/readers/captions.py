"""Readers `karpathy` and `coco`: images with several captions each, listed in one JSON file."""

import json
from pathlib import Path
from typing import Any

from csa.datasets.rows import RawPair, Source, decode_text, split_of, view_of
from csa.errors import DataError
from csa.params.data import DatasetParams
from csa.params.views import ViewParams

_FOLDERS = ("images", "Images", "Flicker8k_Dataset", "flickr30k-images", "flickr30k_images", ".")


def read_karpathy(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
    """Read a split file of Karpathy and Fei-Fei: dataset_flickr8k.json, dataset_flickr30k.json or
    dataset_coco.json.

    Layout: the JSON file, and its images in images/, flickr30k-images/ and the like, in FILEPATH/
    (coco: val2014/, train2014/), or beside it. Splits train and restval are trained on;
    `dataset.held_out` says whether val or test is held out, the other is left untouched. The pair's
    id is FILENAME#K for sentence K of an image; its group is the image.

    Raises:
        DataError: not such a folder.
    """
    image_view, text_view = view_of(views, "image", "karpathy"), view_of(views, "text", "karpathy")
    file = _only(path, "dataset_*.json", "dataset_flickr30k.json")
    images = _field(load_json(file), "images", file)
    rows: list[RawPair] = []
    left_out = 0
    folders: dict[str, str] = {}
    for image in images:
        try:
            name, below, given = image["filename"], image.get("filepath", ""), image["split"]
            sentences = [sentence["raw"] for sentence in image["sentences"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file}: an image without {error}; expected filename, split and sentences with raw"
            ) from None
        split = split_of("train" if given == "restval" else given, params.held_out)
        if split is None:
            left_out += 1
            continue
        folder = folders.setdefault(below, _folder_of(path, below, name))
        for k, sentence in enumerate(sentences):
            values = {image_view: f"{folder}{name}", text_view: sentence}
            rows.append(RawPair(f"sentence {k} of {name}", f"{name}#{k}", values, name, split))
    return Source(rows, untouched_note(left_out, "images", params.held_out))


def read_coco(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
    """Read COCO captions as they are handed out: annotations/captions_trainYEAR.json and
    captions_valYEAR.json.

    Images lie in trainYEAR/ and valYEAR/, or in images/trainYEAR/ and images/valYEAR/. The train
    part is trained on and the val part held out; with one file alone, images are divided like those
    of any data set. The pair's id is the annotation's; its group is the image.

    Raises:
        DataError: not such a folder.
    """
    image_view, text_view = view_of(views, "image", "coco"), view_of(views, "text", "coco")
    files = sorted((path / "annotations").glob("captions_*.json"))
    if not files:
        raise DataError(
            f"{path}: no COCO captions; expected annotations/captions_val2017.json in dataset.path"
        )
    rows: list[RawPair] = []
    for file in files:
        part = file.stem.removeprefix("captions_")
        folder = next(
            (f"{below}/" for below in (part, f"images/{part}") if (path / below).is_dir()), None
        )
        if folder is None:
            raise DataError(
                f"{path}: no images for {file.name}; expected {part}/ or images/{part}/ in "
                f"dataset.path"
            )
        content = load_json(file)
        try:
            names = {image["id"]: image["file_name"] for image in _field(content, "images", file)}
            found = [
                (note["id"], names[note["image_id"]], note["caption"])
                for note in _field(content, "annotations", file)
            ]
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{file}: an image or annotation without {error}; is it a captions file of COCO?"
            ) from None
        split = None if len(files) == 1 else "train" if part.startswith("train") else "val"
        for number, name, caption in found:
            values = {image_view: f"{folder}{name}", text_view: caption}
            rows.append(
                RawPair(
                    f"annotation {number} of {file.name}", f"{part}/{number}", values, name, split
                )
            )
    return Source(rows)


def load_json(file: Path) -> Any:
    """A JSON file of a data set.

    Raises:
        DataError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(decode_text(file))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file}: not JSON at line {error.lineno} ({error.msg}); fetch it again"
        ) from None


def untouched_note(count: int, what: str, held_out: str) -> tuple[str, ...]:
    """Says how much was left untouched because `dataset.held_out` names the other part."""
    if not count:
        return ()
    return (
        f"{count} {what} were left untouched: they are of neither train nor {held_out} "
        f"(dataset.held_out)",
    )


def _only(path: Path, pattern: str, example: str) -> Path:
    files = sorted(path.glob(pattern))
    if len(files) != 1:
        found = f"there are {', '.join(file.name for file in files)}" if files else "there is none"
        raise DataError(
            f"{path}: one split file such as {example} is expected in dataset.path; {found}"
        )
    return files[0]


def _field(content: Any, name: str, file: Path) -> list[Any]:
    if not isinstance(content, dict) or not isinstance(content.get(name), list):
        raise DataError(f"{file}: no list {name!r} at its top; is it the right file?")
    found: list[Any] = content[name]
    return found


def _folder_of(path: Path, below: str, name: str) -> str:
    candidates = (
        [f"{below}", *(f"{folder}/{below}" for folder in _FOLDERS)] if below else list(_FOLDERS)
    )
    for candidate in candidates:
        if (path / candidate / name).is_file():
            return "" if candidate == "." else f"{candidate.removeprefix('./').rstrip('/')}/"
    raise DataError(
        f"{path}: image {name!r} is in none of {', '.join(candidates)}; put the images there"
    )
