"""Reader `imagefolder`: one folder of images a class, paired with a sentence that names the
class.
"""

import csv
import re
from pathlib import PurePath

from csa.datasets.reading import Reading, unknown_split
from csa.datasets.rows import ItemError, RawPair, read_lines, view_of
from csa.datasets.splits import Part, part_of, telling
from csa.errors import DataError
from csa.modalities.image import SUFFIXES
from csa.storage.files import guarded

_CLASS_FILES = ("classes.tsv", "classes.csv", "classes.txt", "words.txt")
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_FOLDER_COLUMNS = ("folder", "wnid", "class", "id")
_LABEL_COLUMNS = ("label", "name")
_NUMBER = re.compile(r"n\d{8}|\d+")
_NUMBERED = re.compile(r"(?:n\d{8}|\d+)[-_. ]+(?P<name>.*[^\W\d_].*)")
_JUNK = ("__MACOSX",)
_NESTED = ("images", "imgs")
_ANNOTATIONS = "val_annotations.txt"

ClassImage = tuple[str, str, Part | None]
"""Path, folder of the class, and part."""


def read_imagefolder(reading: Reading) -> None:
    """Read CLASS/IMAGE, or SPLIT/CLASS/IMAGE where every folder is called after a split (train,
    val, ...); images deeper in a class's folder, such as CLASS/images/IMAGE, are of that class.

    One split folder alone is only a folder: its images are divided like those of any data set. A
    split whose images lie in images/ without classes is read with its val_annotations.txt
    (Tiny-ImageNet: image, tab, class), else left out.

    A class is called by `classes.tsv`, `.csv` or `.txt`, or Tiny-ImageNet's words.txt (columns
    folder or wnid, and label; tabs or commas; without a header the first column is the folder and
    the last the label), else by its folder's name with spaces for underscores, and
    without the number before it where every folder has one. The text is
    `dataset.template` with the class in place of {label}. The pair's id and group are the image's
    path, its label is the class. Files that do not end like an image, and hidden ones, are no
    images.

    Raises:
        DataError: no classes or no images, a class without a name, or an unknown split.
    """
    image_view, text_view = (
        view_of(reading.views, kind, "imagefolder") for kind in ("image", "text")
    )
    template = reading.params.template
    images = images_of_classes(reading)
    folders = {folder for _, folder, _ in images}
    labels = _class_names(reading)
    is_named = bool(labels)
    labels = labels or _plain_names(folders)
    parts = telling({name: part for name, _, part in images if part})

    def pair(name: str, image: ClassImage) -> list[RawPair]:
        _, folder, _ = image
        label = labels.get(folder)
        if label is None:
            raise ItemError(
                f"{reading.path}: the class file does not name folder {folder!r}; add it",
                {image_view: name},
            )
        values = {image_view: name, text_view: template.replace("{label}", label)}
        split = None if name not in parts else "train" if parts[name] == "train" else "test"
        return [RawPair(name, name, values, name, split, label)]

    reading.take("images", ((image[0], image) for image in images), pair)
    if not is_named:
        _tell_names(reading, labels)
    _tell_metadata(reading)


def _plain_names(folders: set[str]) -> dict[str, str]:
    """Folder -> name of its class: with spaces for underscores, and without the number before it
    where every folder has one (001.Black_footed_Albatross, n02085620-Chihuahua).
    """
    numbered = {name: _NUMBERED.fullmatch(name) for name in folders}
    bare = {name: match["name"] for name, match in numbered.items() if match}
    if len(bare) < len(folders) or len(set(bare.values())) < len(folders):
        bare = {name: name for name in folders}
    return {name: plain.replace("_", " ") for name, plain in bare.items()}


def _tell_names(reading: Reading, labels: dict[str, str]) -> None:
    folder = min(labels)
    if all(_NUMBER.fullmatch(name) for name in labels):
        reading.notes.append(
            f"classes are called {folder} and so on, which no text encoder knows; put classes.tsv "
            f"(folder, label) into {reading.path}"
        )
    elif all(label != name.replace("_", " ") for name, label in labels.items()):
        reading.notes.append(
            f"the numbers before the names of classes are left out: {folder} is "
            f"{labels[folder]!r}; a classes.tsv (folder, label) can say otherwise"
        )


def _tell_metadata(reading: Reading) -> None:
    metadata = [name for name in reading.files if PurePath(name).name.lower() in _METADATA]
    if metadata:
        reading.notes.append(
            f"{metadata[0]} is not read by dataset.kind imagefolder, whose texts are the classes' "
            f"names; if it holds captions, set kind: table and table: {metadata[0]}, with "
            f"columns such as {{image: file_name}}"
        )


def images_of_classes(reading: Reading) -> list[ClassImage]:
    """Every image in a class's folder with its part; the others are left out by a rule.

    Args:
        reading: of the data set.

    Returns:
        Path, folder of the class, and part of each.

    Raises:
        DataError: there is none, or a folder that is no split lies beside splits.
    """
    paths = {
        name: PurePath(name).parts
        for name in reading.files
        if name.lower().endswith(tuple(SUFFIXES)) and not name.startswith(_JUNK)
    }
    reading.pass_over("files of __MACOSX", (n for n in reading.files if n.startswith(_JUNK)))
    loose = [name for name, parts in paths.items() if len(parts) < 2]
    reading.pass_over("images in no class's folder", loose)
    inside = {name: parts for name, parts in paths.items() if len(parts) >= 2}
    parts = _parts(reading, inside)
    if not parts:
        found: list[ClassImage] = [(name, parts[0], None) for name, parts in inside.items()]
    else:
        found = _in_splits(reading, inside, parts)
    if not found:
        raise DataError(
            f"{reading.path}: no images in class folders; expected CLASS/IMAGE.jpg in dataset.path"
        )
    return found


def _parts(reading: Reading, images: dict[str, tuple[str, ...]]) -> dict[str, Part]:
    """Top folder -> its part, empty if the top folders are classes.

    Raises:
        DataError: some are splits, and another that holds folders of images is of unknown name.
    """
    mapping = reading.params.splits
    tops = dict.fromkeys(parts[0] for parts in images.values())
    named = {top: part for top in tops if (part := part_of(top, mapping)) is not None}
    deep = {parts[0] for parts in images.values() if len(parts) > 2}
    unknown = sorted(deep - named.keys())
    if named and not unknown and (deep or len(named) == len(tops)):
        return named
    if named.keys() & deep and unknown:
        raise DataError(unknown_split(unknown[0], f"folder {unknown[0]}/"))
    return {}


def _in_splits(
    reading: Reading, images: dict[str, tuple[str, ...]], parts: dict[str, Part]
) -> list[ClassImage]:
    nested = {p[0] for p in images.values() if len(p) == 3 and p[1].lower() in _NESTED}
    classes = {p[0] for p in images.values() if len(p) > 2 and p[1].lower() not in _NESTED}
    annotated = {top: _annotations(reading, top) for top in nested - classes}
    found: list[ClassImage] = []
    for name, path in images.items():
        top, below = path[0], path[1]
        part = parts.get(top)
        if part is None or len(path) < 3:
            reading.pass_over("images in no class's folder", [name])
        elif part == "none":
            reading.pass_over(f"images of {top}/, which dataset.splits sets to none", [name])
        elif top not in annotated or not classes:
            found.append((name, below, part))
        elif path[-1] in annotated[top]:
            found.append((name, annotated[top][path[-1]], part))
        else:
            reading.pass_over(f"images of {top}/{below}/, which nothing gives a class", [name])
    return found


def _annotations(reading: Reading, top: str) -> dict[str, str]:
    """Image name -> class, of a split of Tiny-ImageNet."""
    file = f"{top}/{_ANNOTATIONS}"
    if file not in reading.names:
        return {}
    cells = [line.split("\t") for line in read_lines(reading.open(file))]
    return {cell[0]: cell[1] for cell in cells if len(cell) > 1}


def _class_names(reading: Reading) -> dict[str, str]:
    """Folder name -> label, empty if there is no class file."""
    name = next((name for name in _CLASS_FILES if name in reading.names), None)
    if name is None:
        return {}
    file = reading.open(name)
    lines = [line for line in read_lines(file) if line.strip()]
    separator = "\t" if lines and "\t" in lines[0] else ","
    with guarded(str(file), "a table of classes"):
        table = [
            [cell.strip() for cell in cells] for cells in csv.reader(lines, delimiter=separator)
        ]
    folder, label, table = _class_columns(table)
    short = next((cells for cells in table if len(cells) < 2 or not cells[label]), None)
    if short is not None:
        raise DataError(
            f"{file}: line {separator.join(short)!r} does not give a folder and a label; separate "
            f"them by a tab or a comma"
        )
    return {cells[folder]: cells[label] for cells in table}


def _class_columns(table: list[list[str]]) -> tuple[int, int, list[list[str]]]:
    """Places of the folder and of the label, and the rows below the header."""
    header = [cell.lower() for cell in table[0]] if table else []
    folder = next((header.index(name) for name in _FOLDER_COLUMNS if name in header), None)
    label = next((header.index(name) for name in _LABEL_COLUMNS if name in header), None)
    if folder is None or label is None:
        return 0, -1, table
    longest = max(folder, label) + 1
    return folder, label, [cells + [""] * (longest - len(cells)) for cells in table[1:]]
