"""Reader `flickr`: a folder of photos with several captions each, as Flickr8k, Flickr30k and
their like are handed out.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from csa.datasets.reading import Reading
from csa.datasets.rows import ItemError, LeftOut, RawPair, read_lines, view_of
from csa.errors import DataError

CAPTION_FILES = (
    "captions.txt",
    "captions.csv",
    "Flickr8k.token.txt",
    "results_20130124.token",
    "results.csv",
)
"""What files of captions are called, the likeliest first; in the folder or at any depth below."""
_TOKEN = re.compile(r"(?P<image>[^\t]+)#(?P<number>\d+)\t(?P<caption>.*)")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_NUMBERED = {
    one: re.compile(rf"(?P<number>\d+)\s*(?:{re.escape(one)}|\s\s)\s*(?P<caption>.*)")
    for one in "|,"
}
"""Number and caption; one line of Kaggle's Flickr30k has blanks where the separator should be."""
_HEADERS = {
    "image,caption": (",", False),
    "image|caption": ("|", False),
    "image_name|comment_number|comment": ("|", True),
    "image_name,comment_number,comment": (",", True),
}
"""First line, without blanks -> the separator, and whether a number stands before the caption."""

_TRIED = 50
_Caption = tuple[str, int, str]
"""Image name, number of the caption and the caption."""


def read_flickr(reading: Reading) -> None:
    """Read captions and, where there are split files, who belongs to which split.

    Layouts: captions at the top or below, images in whichever folder holds the first of them.
    Captions in captions.txt, either `image,caption` with a header (a caption may hold commas
    without quotes, as in the copy people download), `image_name| comment_number| comment`
    (results.csv of Flickr30k), or `name.jpg#0<TAB>caption` (the original token file). Splits in
    files called *trainImages.txt, *devImages.txt and *testImages.txt, one image name a line: the
    dev images are held out as "test"; test images are only used where there are no dev images.
    Images in no split file are left out where such files exist.

    The pair's id is IMAGE#K for caption K of an image; its group is the image.

    Raises:
        DataError: not such a folder.
    """
    image_view, text_view = (view_of(reading.views, kind, "flickr") for kind in ("image", "text"))
    captions = captions_of(reading.files)
    if captions is None:
        raise DataError(
            f"{reading.path}: no captions; expected one of {', '.join(CAPTION_FILES)} in "
            f"dataset.path"
        )
    lines = list(_captions(reading, captions))
    folder = _folder_of_images(reading, [line[0] for _, line in lines if isinstance(line, tuple)])
    splits = _read_splits(reading)
    seen, outside = set(), set()

    def pair(place: str, line: _Caption | str) -> list[RawPair] | LeftOut:
        if isinstance(line, str):
            raise ItemError(line)
        image, number, caption = line
        values = {image_view: reading.find(f"{folder}{image}"), text_view: caption}
        seen.add(image)
        if splits and image not in splits:
            outside.add(image)
            return LeftOut("of images in no split file that is used", (values[image_view],))
        return [RawPair(place, f"{image}#{number}", values, image, splits.get(image))]

    reading.take("captions", lines, pair)
    if outside:
        reading.notes.append(
            f"{len(outside)} images were left out: they are in no split file that is used"
        )
    without = len(splits.keys() - seen)
    if without:
        reading.notes.append(f"{without} images of the split files have no caption in {captions}")


def captions_of(files: Sequence[str]) -> str | None:
    """The file of captions nearest to the top; None if there is none.

    Args:
        files: of the data set.
    """
    found = [name for name in files if name.rpartition("/")[2] in CAPTION_FILES]
    known = {name: CAPTION_FILES.index(name.rpartition("/")[2]) for name in found}
    return min(found, key=lambda name: (name.count("/"), known[name], name), default=None)


def starts_captions(line: str) -> bool:
    """Whether the first line of a file is one of captions.

    Args:
        line: the first that is there.
    """
    return _header(line) in _HEADERS or _token(line) is not None


def _header(line: str) -> str:
    return "".join(line.replace('"', "").split()).lower()


def _folder_of_images(reading: Reading, images: list[str]) -> str:
    """The folder, with its slash, that holds most of the first images; "" for the top."""
    wanted = set(images[:_TRIED])
    found = Counter(
        folder + slash
        for folder, slash, name in (file.rpartition("/") for file in reading.files)
        if name in wanted
    )
    return min(found, key=lambda one: (-found[one], one.count("/"), one), default="")


def _captions(reading: Reading, name: str) -> Iterator[tuple[str, _Caption | str]]:
    """Place, and the caption or what is wrong with the line, of every line that is not blank."""
    lines = read_lines(reading.open(name))
    header = _header(lines[0]) if lines else ""
    separator, numbered = _HEADERS.get(header, ("", False))
    counts: Counter[str] = Counter()
    good = 0
    for line, text in enumerate(lines, start=1):
        if not text.strip() or (separator and line == 1):
            continue
        found = _separated(text, separator, numbered, counts) if separator else _token(text)
        if found is None and not good and line == 1:
            raise DataError(f"{reading.opened}: {_unreadable(line, text)}")
        good += found is not None
        yield f"line {line} of {name}", found or f"{name}: {_unreadable(line, text)}"


def _unreadable(line: int, text: str) -> str:
    return (
        f"line {line} is {text[:60]!r}; expected name.jpg#0<TAB>caption, or image,caption as the "
        f"first line"
    )


def _token(text: str) -> _Caption | None:
    match = _TOKEN.fullmatch(text)
    return (match["image"], int(match["number"]), match["caption"]) if match else None


def _separated(text: str, separator: str, numbered: bool, counts: Counter[str]) -> _Caption | None:
    image, _, caption = (part.strip() for part in text.partition(separator))
    image = image.strip('"')
    number = counts[image]
    if numbered:
        match = _NUMBERED[separator].fullmatch(caption)
        if match is None:
            return None
        number, caption = int(match["number"]), match["caption"]
    counts[image] += 1
    # Only a cell that is quoted as a whole is unquoted: elsewhere quotes and commas are the
    # caption's own.
    quoted = _QUOTED.fullmatch(caption)
    return image, number, quoted[1].replace('""', '"') if quoted else caption


def _read_splits(reading: Reading) -> dict[str, str]:
    """Image name -> "train" or "test", empty if there are no split files."""
    lists = [name for name in reading.files if name.endswith("Images.txt")]
    files = {
        kind: next((name for name in lists if name.endswith(f"{kind}Images.txt")), None)
        for kind in ("train", "dev", "test")
    }
    if files["dev"] and files["test"]:
        reading.notes.append(
            f"the images of {files['dev']} are held out; those of {files['test']} are left "
            f"untouched"
        )
        reading.pass_over("a list of images that are left untouched", [files["test"]])
        files["test"] = None
    splits: dict[str, str] = {}
    for kind, file in files.items():
        split = "train" if kind == "train" else "test"
        for name in map(str.strip, read_lines(reading.open(file)) if file else []):
            if name and splits.setdefault(name, split) != split:
                raise DataError(
                    f"{file}: image {name!r} is also in the training split; an image belongs to "
                    f"one split"
                )
    return splits
