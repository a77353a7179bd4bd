"""Reader `imagefolder`: one folder of images a class, paired with a sentence that names the
class.
"""

import csv
import re
from pathlib import Path

from csa.datasets.rows import SPLIT_NAMES, RawPair, Source, read_lines, view_of
from csa.errors import DataError
from csa.modalities.image import SUFFIXES
from csa.params.data import DatasetParams
from csa.params.views import ViewParams

_CLASS_FILES = ("classes.tsv", "classes.csv", "classes.txt")
_FOLDER_COLUMNS = ("folder", "wnid", "class", "id")
_LABEL_COLUMNS = ("label", "name")
_WORDNET_ID = re.compile(r"n\d{8}")


def read_imagefolder(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
    """Read CLASS/IMAGE, or SPLIT/CLASS/IMAGE where every folder is called after a split (train,
    val, ...).

    One split folder alone is only a folder: its images are divided like those of any data set.

    A class is called by `classes.tsv`, `.csv` or `.txt` (columns folder or wnid, and label; tabs or
    commas; without a header the first column is the folder and the last the label), else by its
    folder's name with spaces for underscores. The text is `dataset.template` with the class in
    place of {label}. The pair's id and group are the image's path, its label is the class. Files
    that do not end like an image, and hidden ones, are no images.

    Raises:
        DataError: no classes or no images, a class without a name, or a template without {label}.
    """
    image_view, text_view = (
        view_of(views, "image", "imagefolder"),
        view_of(views, "text", "imagefolder"),
    )
    if "{label}" not in params.template:
        raise DataError(
            f"dataset.template is {params.template!r}; it must hold {{label}}, the place of the "
            f"class's name"
        )
    labels = _class_names(path)
    rows = []
    for split, folder in _class_folders(path):
        label = labels.get(folder.name) if labels else folder.name.replace("_", " ")
        if label is None:
            raise DataError(f"{path}: the class file does not name folder {folder.name!r}; add it")
        text = params.template.replace("{label}", label)
        for image in sorted(
            file
            for file in folder.iterdir()
            if file.suffix.lower() in SUFFIXES and not _hidden(file)
        ):
            name = image.relative_to(path).as_posix()
            rows.append(
                RawPair(name, name, {image_view: name, text_view: text}, name, split, label)
            )
    if not rows:
        raise DataError(
            f"{path}: no images in class folders; expected CLASS/IMAGE.jpg in dataset.path"
        )
    folders = {folder.name for _, folder in _class_folders(path)}
    if not labels and all(_WORDNET_ID.fullmatch(name) for name in folders):
        wnid = min(folders)
        note = (
            f"classes are called {wnid} and so on, which no text encoder knows; put "
            f"classes.tsv (wnid, label) into {path}"
        )
        return Source(rows, (note,))
    return Source(rows)


def _class_folders(path: Path) -> list[tuple[str | None, Path]]:
    """Every class folder with the split it is given to."""
    tops = _folders(path)
    if tops and all(top.name.lower() in SPLIT_NAMES for top in tops):
        return [
            (top.name if len(tops) > 1 else None, folder)
            for top in tops
            for folder in _folders(top)
        ]
    return [(None, top) for top in tops]


def _folders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not _hidden(folder))


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _class_names(path: Path) -> dict[str, str]:
    """Folder name -> label, empty where there is no class file."""
    file = next((path / name for name in _CLASS_FILES if (path / name).is_file()), None)
    if file is None:
        return {}
    lines = [line for line in read_lines(file) if line.strip()]
    separator = "\t" if lines and "\t" in lines[0] else ","
    table = [[cell.strip() for cell in cells] for cells in csv.reader(lines, delimiter=separator)]
    header = [cell.lower() for cell in table[0]] if table else []
    folder = next((header.index(name) for name in _FOLDER_COLUMNS if name in header), None)
    label = next((header.index(name) for name in _LABEL_COLUMNS if name in header), None)
    if folder is None or label is None:
        folder, label = 0, -1
    else:
        table = table[1:]
    short = next((cells for cells in table if len(cells) < 2 or not cells[label]), None)
    if short is not None:
        raise DataError(
            f"{file}: line {separator.join(short)!r} does not give a folder and a label; separate "
            f"them by a tab or a comma"
        )
    return {cells[folder]: cells[label] for cells in table}
