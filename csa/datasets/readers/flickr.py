"""Reader `flickr`: a folder of photos with several captions each, as Flickr8k, Flickr30k and
their like are handed out.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from csa.datasets.rows import RawPair, Source, read_lines, view_of
from csa.errors import DataError
from csa.params.data import DatasetParams
from csa.params.views import ViewParams

_CAPTION_FILES = ("captions.txt", "captions.csv", "Flickr8k.token.txt", "results_20130124.token")
_IMAGE_FOLDERS = ("images", "Images", "Flicker8k_Dataset", "flickr30k-images")
_TOKEN = re.compile(r"(?P<image>[^\t]+)#(?P<number>\d+)\t(?P<caption>.*)")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def read_flickr(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
    """Read captions and, where there are split files, who belongs to which split.

    Layouts: images in images/, Images/ or the folder itself. Captions in captions.txt, either
    `image,caption` with a header (a caption may hold commas without quotes, as in the copy people
    download) or `name.jpg#0<TAB>caption` (the original token file). Splits in files called
    *trainImages.txt, *devImages.txt and *testImages.txt, one image name a line: the dev images are
    held out as "test"; test images are only used where there are no dev images. Images in no split
    file are left out where such files exist.

    The pair's id is IMAGE#K for caption K of an image; its group is the image.

    Raises:
        DataError: not such a folder.
    """
    image_view, text_view = view_of(views, "image", "flickr"), view_of(views, "text", "flickr")
    captions = next((path / name for name in _CAPTION_FILES if (path / name).is_file()), None)
    if captions is None:
        raise DataError(
            f"{path}: no captions; expected one of {', '.join(_CAPTION_FILES)} in dataset.path"
        )
    folder = next((f"{name}/" for name in _IMAGE_FOLDERS if (path / name).is_dir()), "")
    splits, notes = _read_splits(path)
    rows, left_out, seen = [], set(), set()
    for line, image, number, caption in _captions(captions):
        seen.add(image)
        if splits and image not in splits:
            left_out.add(image)
            continue
        values = {image_view: f"{folder}{image}", text_view: caption}
        rows.append(
            RawPair(
                f"line {line} of {captions.name}",
                f"{image}#{number}",
                values,
                image,
                splits.get(image),
            )
        )
    if left_out:
        notes.append(
            f"{len(left_out)} images were left out: they are in no split file that is used"
        )
    without = len(splits.keys() - seen)
    if without:
        notes.append(f"{without} images of the split files have no caption in {captions.name}")
    return Source(rows, tuple(notes))


def _captions(file: Path) -> Iterator[tuple[int, str, int, str]]:
    """Line number, image name, caption number and caption of every line that is not blank."""
    lines = read_lines(file)
    if lines and "".join(lines[0].split()).lower() == "image,caption":
        yield from _comma_captions(lines)
        return
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        match = _TOKEN.fullmatch(text)
        if match is None:
            raise DataError(
                f"{file}: line {line} is {text[:60]!r}; expected name.jpg#0<TAB>caption, or "
                f"image,caption as the first line"
            )
        yield line, match["image"], int(match["number"]), match["caption"]


def _comma_captions(lines: list[str]) -> Iterator[tuple[int, str, int, str]]:
    counts: dict[str, int] = {}
    for line, text in enumerate(lines[1:], start=2):
        if not text.strip():
            continue
        image, _, caption = text.partition(",")
        image, caption = image.strip(), caption.strip()
        # Only a cell that is quoted as a whole is unquoted: elsewhere quotes and commas are the
        # caption's own.
        quoted = _QUOTED.fullmatch(caption)
        if quoted:
            caption = quoted[1].replace('""', '"')
        number = counts.get(image, 0)
        counts[image] = number + 1
        yield line, image, number, caption


def _read_splits(path: Path) -> tuple[dict[str, str], list[str]]:
    """Image name -> "train" or "test", empty where there are no split files; and what to tell
    the user.
    """
    files = {
        kind: next(iter(sorted(path.glob(f"*{kind}Images.txt"))), None)
        for kind in ("train", "dev", "test")
    }
    notes = []
    if files["dev"] and files["test"]:
        notes.append(
            f"the images of {files['dev'].name} are held out; those of {files['test'].name} are "
            f"left untouched"
        )
        files["test"] = None
    splits: dict[str, str] = {}
    for kind, file in files.items():
        split = "train" if kind == "train" else "test"
        for name in map(str.strip, read_lines(file) if file else []):
            if name and splits.setdefault(name, split) != split:
                raise DataError(
                    f"{file}: image {name!r} is also in the training split; an image belongs to "
                    f"one split"
                )
    return splits, notes
