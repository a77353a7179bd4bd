"""Reader `imagenet`: the validation images of ILSVRC 2012 in the layouts that people have."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from csa.datasets.readers.captions import load_json
from csa.datasets.rows import RawPair, Source, read_lines, view_of
from csa.errors import DataError
from csa.modalities.image import SUFFIXES
from csa.params.data import DatasetParams
from csa.params.views import ViewParams

_IMAGES = ("val", "ILSVRC/Data/CLS-LOC/val", "ILSVRC2012_img_val", ".")
_WNID = re.compile(r"n\d{8}")
_WORDS = ("synset_words.txt", "LOC_synset_mapping.txt", "classes.tsv", "words.txt")
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_LABEL_ERRORS = ("imagenet_mturk.json", "label_errors.json")


def read_imagenet(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
    """Read validation images with their classes' names.

    Images: val/WNID/NAME.JPEG, or flat val/ILSVRC2012_val_*.JPEG (also ILSVRC/Data/CLS-LOC/val/)
    with LOC_val_solution.csv or the devkit's data/ILSVRC2012_validation_ground_truth.txt and
    data/meta.mat beside it (in ILSVRC2012_devkit_t12/ or not).
    Names: synset_words.txt, LOC_synset_mapping.txt (WNID, a space, names), classes.tsv or words.txt
    (WNID, a tab, names), imagenet_class_index.json, or the devkit's meta.mat; of several names the
    first counts.

    The text is `dataset.template` with the name. The pair's id and group are the image's file name,
    its label is the name. Where imagenet_mturk.json of the label-errors project (Northcutt et al.
    2021) is there, each of its images is marked mislabelled if most of its five raters did not
    choose the given label, and sound otherwise; other images stay unmarked.

    Raises:
        DataError: not such a folder, or a class without a name.
    """
    image_view, text_view = view_of(views, "image", "imagenet"), view_of(views, "text", "imagenet")
    if "{label}" not in params.template:
        raise DataError(
            f"dataset.template is {params.template!r}; it must hold {{label}}, the place of the "
            f"class's name"
        )
    names = _class_names(path)
    errors, notes = _label_errors(path)
    rows = []
    for image, wnid in _images(path):
        if wnid not in names:
            raise DataError(
                f"{path}: nothing names the class {wnid} of {image.name}; add it to {_WORDS[0]}"
            )
        label = names[wnid]
        values = {
            image_view: image.relative_to(path).as_posix(),
            text_view: params.template.replace("{label}", label),
        }
        rows.append(
            RawPair(image.name, image.name, values, image.name, None, label, errors.get(image.stem))
        )
    return Source(rows, notes)


def _images(path: Path) -> Iterator[tuple[Path, str]]:
    """Every image with the WordNet id of its class, sorted."""
    for folder in (path / name for name in _IMAGES if (path / name).is_dir()):
        classes = sorted(
            below for below in folder.iterdir() if below.is_dir() and _WNID.fullmatch(below.name)
        )
        if classes:
            yield from ((image, below.name) for below in classes for image in _pictures(below))
            return
        flat = _pictures(folder)
        if flat:
            truth = _truth(path, len(flat))
            for number, image in enumerate(flat):
                wnid = truth.get(image.stem) or truth.get(str(number + 1))
                if wnid is None:
                    raise DataError(
                        f"{path}: no class is given for {image.name}; is the list of classes that "
                        f"of these images?"
                    )
                yield image, wnid
            return
    raise DataError(
        f"{path}: no ImageNet images; expected val/n01440764/NAME.JPEG or "
        f"val/ILSVRC2012_val_00000001.JPEG"
    )


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )


def _truth(path: Path, count: int) -> dict[str, str]:
    """Image stem, or number counted from 1 in sorted order, -> WordNet id."""
    solution = path / "LOC_val_solution.csv"
    if solution.is_file():
        rows = list(csv.reader(read_lines(solution)))[1:]
        return {row[0]: row[1].split()[0] for row in rows if len(row) > 1 and row[1]}
    devkit = _devkit(path)
    if devkit is None:
        raise DataError(
            f"{path}: images without class folders need LOC_val_solution.csv, or the devkit's "
            f"data/{_TRUTH} and data/meta.mat"
        )
    numbers = [line.strip() for line in read_lines(devkit / _TRUTH) if line.strip()]
    if len(numbers) != count:
        raise DataError(
            f"{devkit / _TRUTH}: {len(numbers)} lines for {count} images; some images are "
            f"missing, so none can be told"
        )
    wnids = {str(number): wnid for number, wnid, _ in _meta(devkit)}
    return {str(i): wnids[number] for i, number in enumerate(numbers, start=1) if number in wnids}


def _devkit(path: Path) -> Path | None:
    return next((file.parent for file in sorted(path.glob(f"**/{_TRUTH}"))), None)


def _meta(devkit: Path) -> list[tuple[int, str, str]]:
    """ILSVRC2012 id, WordNet id and names of every class in the devkit's meta.mat."""
    from scipy.io import loadmat

    file = devkit / "meta.mat"
    try:
        synsets = loadmat(str(file), squeeze_me=True)["synsets"]
        return [(int(one["ILSVRC2012_ID"]), str(one["WNID"]), str(one["words"])) for one in synsets]
    except (OSError, KeyError, ValueError, TypeError, NotImplementedError) as error:
        raise DataError(
            f"{file}: the devkit's class list cannot be read ({' '.join(str(error).split())[:100]})"
        ) from None


def _class_names(path: Path) -> dict[str, str]:
    """WordNet id -> the first of its names."""
    index = path / "imagenet_class_index.json"
    file = next((path / name for name in _WORDS if (path / name).is_file()), None)
    if file is not None:
        lines = [line for line in read_lines(file) if _WNID.match(line)]
        pairs = [(line[:9], line[9:].strip()) for line in lines]
    elif index.is_file():
        try:
            pairs = [(entry[0], entry[1].replace("_", " ")) for entry in load_json(index).values()]
        except (AttributeError, IndexError, TypeError):
            raise DataError(
                f'{index}: expected {{"0": ["n01440764", "tench"], ...}}; fetch it again'
            ) from None
    elif (devkit := _devkit(path)) is not None:
        pairs = [(wnid, words) for _, wnid, words in _meta(devkit)]
    else:
        raise DataError(
            f"{path}: nothing names the classes; add {_WORDS[0]} with lines such as: n01440764 "
            f"tench, Tinca tinca"
        )
    return {wnid: names.split("\t")[0].split(",")[0].strip() for wnid, names in pairs}


def _label_errors(path: Path) -> tuple[dict[str, bool], tuple[str, ...]]:
    """Image stem -> whether its label is wrong, for the images that raters looked at."""
    file = next((path / name for name in _LABEL_ERRORS if (path / name).is_file()), None)
    if file is None:
        return {}, ()
    found = {}
    try:
        for entry in load_json(file):
            votes = {key: int(value) for key, value in entry["mturk"].items()}
            right = votes["given"] + votes["both"]
            found[Path(entry["url"]).stem] = 2 * right < sum(votes.values())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{file}: not the label-errors project's list ({error}); expected url and mturk votes"
        ) from None
    return found, (
        f"{file.name}: {sum(found.values())} of {len(found)} rated images have a wrong label",
    )
