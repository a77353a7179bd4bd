"""Reader `imagenet`: the validation images of ILSVRC 2012 in the layouts that people have."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path, PurePath

from csa.datasets.reading import Reading
from csa.datasets.rows import ItemError, RawPair, load_json, read_lines, view_of
from csa.errors import DataError
from csa.modalities.image import SUFFIXES
from csa.storage.files import guarded, open_item, what_is

_IMAGES = ("val", "ILSVRC/Data/CLS-LOC/val", "ILSVRC2012_img_val", ".")
_WNID = re.compile(r"n\d{8}")
_WORDS = ("synset_words.txt", "LOC_synset_mapping.txt", "classes.tsv", "words.txt")
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_SOLUTION = "LOC_val_solution.csv"
_INDEX = "imagenet_class_index.json"
_META_BYTES = 1 << 20
_LABEL_ERRORS = ("imagenet_mturk.json", "label_errors.json")


def read_imagenet(reading: Reading) -> None:
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
    image_view, text_view = (view_of(reading.views, kind, "imagenet") for kind in ("image", "text"))
    path, template = reading.path, reading.params.template
    if "{label}" not in template:
        raise DataError(
            f"dataset.template is {template!r}; it must hold {{label}}, the place of the "
            f"class's name"
        )
    names = _class_names(reading)
    errors = _label_errors(reading)

    def pair(name: str, image: tuple[Path, str]) -> list[RawPair]:
        file, wnid = image
        found = file.relative_to(path).as_posix()
        if wnid not in names:
            raise ItemError(
                f"{path}: nothing names the class {wnid} of {name}; add it to {_WORDS[0]}",
                {image_view: found},
            )
        label = names[wnid]
        values = {image_view: found, text_view: template.replace("{label}", label)}
        return [RawPair(name, name, values, name, None, label, errors.get(file.stem))]

    reading.take("images", ((image.name, (image, wnid)) for image, wnid in _images(reading)), pair)


def _images(reading: Reading) -> Iterator[tuple[Path, str]]:
    """Every image with the WordNet id of its class, sorted."""
    path = reading.path
    for folder in (path / name for name in _IMAGES if (path / name).is_dir()):
        classes = sorted(
            below for below in folder.iterdir() if below.is_dir() and _WNID.fullmatch(below.name)
        )
        if classes:
            yield from ((image, below.name) for below in classes for image in _pictures(below))
            return
        flat = _pictures(folder)
        if flat:
            truth = _truth(reading, len(flat))
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


def _truth(reading: Reading, count: int) -> dict[str, str]:
    """Image stem, or number counted from 1 in sorted order, -> WordNet id."""
    if _SOLUTION in reading.names:
        file = reading.open(_SOLUTION)
        with guarded(str(file), "a table"):
            rows = list(csv.reader(read_lines(file)))[1:]
        return {row[0]: row[1].split()[0] for row in rows if len(row) > 1 and row[1].strip()}
    devkit = _devkit(reading)
    if devkit is None:
        raise DataError(
            f"{reading.path}: images without class folders need LOC_val_solution.csv, or the "
            f"devkit's data/{_TRUTH} and data/meta.mat"
        )
    file = reading.open(f"{devkit}{_TRUTH}")
    numbers = [line.strip() for line in read_lines(file) if line.strip()]
    if len(numbers) != count:
        raise DataError(
            f"{file}: {len(numbers)} lines for {count} images; some images are "
            f"missing, so none can be told"
        )
    wnids = {str(number): wnid for number, wnid, _ in _meta(reading, devkit)}
    return {str(i): wnids[number] for i, number in enumerate(numbers, start=1) if number in wnids}


def _devkit(reading: Reading) -> str | None:
    """The folder of the devkit's lists, with its slash."""
    found = (name for name in reading.files if PurePath(name).name == _TRUTH)
    return next((name.removesuffix(_TRUTH) for name in found), None)


def _meta(reading: Reading, devkit: str) -> list[tuple[int, str, str]]:
    """ILSVRC2012 id, WordNet id and names of every class in the devkit's meta.mat."""
    from scipy.io import loadmat

    file = reading.open(f"{devkit}meta.mat")
    if what_is(file) == "a file" and file.stat().st_size > _META_BYTES:  # it is compressed
        raise DataError(f"{file}: larger than the devkit's list of 1,860 synsets; fetch it again")
    with (
        guarded(str(file), "the devkit's class list"),
        open_item(file, str(file), "list") as opened,
    ):
        synsets = loadmat(opened, squeeze_me=True)["synsets"]
        return [(int(one["ILSVRC2012_ID"]), str(one["WNID"]), str(one["words"])) for one in synsets]


def _class_names(reading: Reading) -> dict[str, str]:
    """WordNet id -> the first of its names."""
    name = next((name for name in _WORDS if name in reading.names), None)
    devkit = _devkit(reading)
    if name is not None:
        lines = [line for line in read_lines(reading.open(name)) if _WNID.match(line)]
        pairs = [(line[:9], line[9:].strip()) for line in lines]
    elif _INDEX in reading.names:
        pairs = _index(reading)
    elif devkit is not None:
        pairs = [(wnid, words) for _, wnid, words in _meta(reading, devkit)]
    else:
        raise DataError(
            f"{reading.path}: nothing names the classes; add {_WORDS[0]} with lines such as: "
            f"n01440764 tench, Tinca tinca"
        )
    return {wnid: names.split("\t")[0].split(",")[0].strip() for wnid, names in pairs}


def _index(reading: Reading) -> list[tuple[str, str]]:
    file = reading.open(_INDEX)
    content = load_json(file)
    try:
        return [(str(wnid), str(name).replace("_", " ")) for wnid, name in content.values()]
    except (AttributeError, ValueError, TypeError):
        raise DataError(
            f'{file}: expected {{"0": ["n01440764", "tench"], ...}}; fetch it again'
        ) from None


def _label_errors(reading: Reading) -> dict[str, bool]:
    """Image stem -> whether its label is wrong, for the images that raters looked at."""
    name = next((name for name in _LABEL_ERRORS if name in reading.names), None)
    if name is None:
        return {}
    found = {}
    try:
        for entry in load_json(reading.open(name)):
            votes = {key: int(value) for key, value in entry["mturk"].items()}
            right = votes["given"] + votes["both"]
            found[Path(entry["url"]).stem] = 2 * right < sum(votes.values())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{name}: not the label-errors project's list ({error}); expected url and mturk votes"
        ) from None
    reading.notes.append(
        f"{name}: {sum(found.values())} of {len(found)} rated images have a wrong label"
    )
    return found
