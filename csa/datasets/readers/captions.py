"""Readers `karpathy` and `coco`: images with several captions each, listed in one JSON file."""

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from csa.datasets.reading import Reading
from csa.datasets.rows import ItemError, LeftOut, RawPair, as_text, known, load_json, view_of
from csa.errors import DataError

_FOLDERS = ("images", "Images", "Flicker8k_Dataset", "flickr30k-images", "flickr30k_images", ".")


def read_karpathy(reading: Reading) -> None:
    """Read a split file of Karpathy and Fei-Fei: dataset_flickr8k.json, dataset_flickr30k.json or
    dataset_coco.json.

    Layout: the JSON file, and its images in images/, flickr30k-images/ and the like, in FILEPATH/
    (coco: val2014/, train2014/), beside it, or where no other file has its name. Splits train and
    restval are trained on; `dataset.held_out` says whether val or test is held out, the other is
    left untouched. The pair's id is FILENAME#K for sentence K of an image; its group is the image.

    Raises:
        DataError: not such a folder.
    """
    image_view, text_view = (view_of(reading.views, kind, "karpathy") for kind in ("image", "text"))
    file = _only(reading, "dataset_", "dataset_flickr30k.json")
    images = _list(load_json(reading.open(file)), "images", file)
    roles = reading.roles(
        reading.part(image["split"], file)
        for image in images
        if isinstance(image, dict) and isinstance(image.get("split"), str)
    )

    def pairs(place: str, image: Any) -> list[RawPair] | LeftOut:
        name, given = (_text_field(image, key) for key in ("filename", "split"))
        part = reading.part(given, place)
        found, folders = _place_of(reading, image.get("filepath") or "", name)
        if roles[part] is None:
            return reading.untouched(part, [found] if found else [])
        if found is None:
            raise ItemError(
                f"image {name!r} is in none of {', '.join(folders)}; put it there, or drop its "
                f"entry"
            )
        with known({image_view: found}):
            return [
                RawPair(
                    f"sentence {k} of {name}",
                    f"{name}#{k}",
                    {image_view: found, text_view: _text_field(sentence, "raw")},
                    name,
                    roles[part],
                )
                for k, sentence in enumerate(_entries(image, "sentences"))
            ]

    reading.take("images", ((f"image {i} of {file}", one) for i, one in enumerate(images)), pairs)
    reading.say_untouched("images")
    if images and not reading.rows and reading.aside:
        raise DataError(f"{file}: {reading.aside[0][1]}")


def read_coco(reading: Reading) -> None:
    """Read COCO captions as they are handed out: annotations/captions_trainYEAR.json and
    captions_valYEAR.json.

    Images lie in trainYEAR/ and valYEAR/, or in images/trainYEAR/ and images/valYEAR/; their names
    may have that folder. The train
    part is trained on and the val part held out; with the images of one part alone, they are
    divided like those of any data set. The pair's id is the annotation's; its group is the image.

    Raises:
        DataError: not such a folder.
    """
    listed = [name for name in reading.files if name.startswith("annotations/captions_")]
    if not listed:
        raise DataError(
            f"{reading.path}: no COCO captions; expected annotations/captions_val2017.json in "
            f"dataset.path"
        )
    parts = {name: PurePath(name).stem.removeprefix("captions_") for name in listed}
    folders = {
        name: next(
            (f"{below}/" for below in (part, f"images/{part}") if reading.below(below)), None
        )
        for name, part in parts.items()
    }
    used = {name: folder for name, folder in folders.items() if folder is not None}
    if not used:
        part = parts[listed[0]]
        raise DataError(
            f"{reading.path}: no images for {PurePath(listed[0]).name}; expected {part}/ or "
            f"images/{part}/ in dataset.path"
        )
    for name in listed:
        if name not in used:
            reading.pass_over(f"{name}: no image of it is here", [name])
    found = reading.parts_of_files((parts[name] for name in used), "part") if len(used) > 1 else {}
    for name, folder in used.items():
        role = found.get(parts[name])
        if role == "none":
            rule = reading.untouched(role).what
            reading.pass_over(f"files {rule}", [name, *reading.below(folder)])
        else:
            split = role and ("train" if role == "train" else "test")
            _coco_part(reading, name, folder, split)


def _coco_part(reading: Reading, name: str, folder: str, split: str | None) -> None:
    image_view, text_view = (view_of(reading.views, kind, "coco") for kind in ("image", "text"))
    content = load_json(reading.open(name))
    part = PurePath(name).stem.removeprefix("captions_")
    files = dict(_coco_images(content, name))
    if not files:
        raise DataError(
            f"{name}: an image without id and file_name; is it a captions file of COCO?"
        )

    def pair(place: str, note: Any) -> list[RawPair]:
        if not isinstance(note, dict) or note.get("id") is None:
            raise ItemError(f"an annotation without id; is {name} a captions file of COCO?")
        if str(note.get("image_id")) not in files:
            raise ItemError(f"its image {note.get('image_id')!r} is not among the images")
        image = files[str(note["image_id"])]
        places = [reading.find(f"{below}{image}") for below in (folder, "", "images/")]
        found = next((place for place in places if place in reading.names), places[0])
        with known({image_view: found}):
            caption = as_text(note.get("caption"), "caption")
        values = {image_view: found, text_view: caption}
        return [RawPair(place, f"{part}/{note['id']}", values, image, split)]

    notes = _list(content, "annotations", name)
    short = PurePath(name).name
    reading.take(
        "annotations", ((_annotation(note, i, short), note) for i, note in enumerate(notes)), pair
    )


def _annotation(note: Any, number: int, file: str) -> str:
    named = note.get("id", number) if isinstance(note, dict) else number
    return f"annotation {named} of {file}"


def _coco_images(content: Any, name: str) -> Iterator[tuple[str, str]]:
    for image in _list(content, "images", name):
        if isinstance(image, dict) and isinstance(image.get("file_name"), str) and "id" in image:
            yield str(image["id"]), image["file_name"]


def _only(reading: Reading, start: str, example: str) -> str:
    files = [name for name in reading.files if name.startswith(start) and name.endswith(".json")]
    files = [name for name in files if "/" not in name]
    if len(files) != 1:
        found = f"there are {', '.join(files)}" if files else "there is none"
        raise DataError(
            f"{reading.path}: one split file such as {example} is expected in dataset.path; {found}"
        )
    return files[0]


def _list(content: Any, name: str, file: str) -> list[Any]:
    if not isinstance(content, dict) or not isinstance(content.get(name), list):
        raise DataError(f"{file}: no list {name!r} at its top; is it the right file?")
    found: list[Any] = content[name]
    return found


def _text_field(record: Any, name: str) -> str:
    """A field that must be a text.

    Raises:
        ItemError: it is not there, or is not a text.
    """
    value = record.get(name) if isinstance(record, dict) else None
    if not isinstance(value, str):
        got = "" if value is None else f", got {str(value)[:40]!r}"
        raise ItemError(
            f"an image without {name!r} as a text{got}; expected filename, split and sentences "
            f"with raw"
        )
    return value


def _entries(record: Any, name: str) -> list[Any]:
    found = record.get(name)
    if not isinstance(found, list):
        raise ItemError(f"an image without {name!r}; expected filename, split and sentences")
    return found


def _place_of(reading: Reading, below: Any, name: str) -> tuple[str | None, list[str]]:
    """Where an image lies, None if it is nowhere, and the folders that were looked in."""
    below = below.strip("/") if isinstance(below, str) else ""
    folders = [below, *(f"{folder}/{below}" for folder in _FOLDERS)] if below else list(_FOLDERS)
    candidates = [f"{folder}/{name}".removeprefix("./").replace("/./", "/") for folder in folders]
    found = next((one for one in map(reading.find, candidates) if one in reading.names), None)
    return found or (None if below else reading.only(name)), folders
