"""Layouts of folders: what of each is there, and what is missing."""

from collections.abc import Iterator
from pathlib import Path, PurePath

from csa.datasets.glance import Glance, Look
from csa.datasets.readers.flickr import CAPTION_FILES, captions_of, starts_captions
from csa.datasets.readers.imagefolder import ClassImage, images_of_classes
from csa.datasets.reading import Reading
from csa.errors import DataError
from csa.params.data import DatasetParams


def _flickr(glance: Glance) -> Iterator[Look]:
    look = Look("flickr", 16)
    captions = captions_of(glance.files)
    missing = f"one of {', '.join(CAPTION_FILES)}"
    look.needs(captions is not None, f"captions in {captions}", missing)
    _need_images(look, glance)
    lists = [name for name in glance.files if name.endswith("Images.txt")]
    if lists:
        look.recognised.append(f"splits in {', '.join(lists)}")
    if captions:
        head = _head(glance.root / captions)
        look.needs(
            starts_captions(head),
            "a line of it is an image and a caption",
            f"{captions} begins with {head[:40]!r}, expected image,caption or name.jpg#0 and a tab",
        )
    yield look


_NO_TEXTS = "docs/how-to/photos-without-captions.md says how to search photos without captions"


def _need_images(look: Look, glance: Glance) -> int:
    count = len(glance.by_modality.get("image", []))
    look.needs(count > 0, f"{count:,} images", "images")
    return count


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode("utf-8-sig", "replace").split("\n", 1)[0].strip()
    except OSError as error:
        return f"(unreadable: {error.strerror})"


def _imagefolder(glance: Glance) -> Iterator[Look]:
    look = Look("imagefolder", 40)
    images = glance.by_modality.get("image", [])
    found = (
        _classes(glance) if look.needs(bool(images), f"{len(images):,} images", "images") else []
    )
    if look.needs(
        len({folder for _, folder, _ in found}) > 1,
        f"in class folders, such as {found[0][1] if found else ''}",
        "two class folders or more, as CLASS/IMAGE.jpg",
    ):
        other = len(images) - len(found)
        if other:
            look.unsure.append(f"{other:,} images lie elsewhere than in a class folder")
        parts = sorted({str(part) for _, _, part in found if part})
        if parts:
            look.recognised.append(f"splits {', '.join(parts)}")
        look.unsure.append('the text of a class is "a photo of a CLASS" (dataset.template)')
        look.unsure.append(f"these folders are taken for classes; if they are albums: {_NO_TEXTS}")
    yield look


def _classes(glance: Glance) -> list[ClassImage]:
    """The images that the reader finds in folders of classes."""
    reading = Reading(DatasetParams(kind="imagefolder"), {}, glance.root)
    reading.files = glance.files  # they are known: nothing is walked again
    try:
        return images_of_classes(reading)
    except DataError:
        return []


def _imagenet(glance: Glance) -> Iterator[Look]:
    look = Look("imagenet", 5)
    names = ("synset_words.txt", "LOC_synset_mapping.txt", "imagenet_class_index.json")
    found = next((name for name in names if name in glance.names), None)
    look.needs(found is not None, f"names of classes in {found}", f"one of {', '.join(names)}")
    there = any(folder in glance.folders for folder in ("val", "ILSVRC/Data/CLS-LOC/val")) or any(
        "ILSVRC2012_val_" in name for name in glance.files[:1000]
    )
    look.needs(there, "validation images", "val/ with the validation images")
    yield look


def _karpathy(glance: Glance) -> Iterator[Look]:
    look = Look("karpathy", 5)
    files = [name for name in glance.at_top(".json") if name.startswith("dataset_")]
    look.needs(
        len(files) == 1,
        f"{files[:1]} lists images with sentences and splits",
        f"one split file such as dataset_flickr30k.json, there are {len(files)}",
    )
    _need_images(look, glance)
    yield look


def _coco(glance: Glance) -> Iterator[Look]:
    look = Look("coco", 5)
    files = [name for name in glance.files if name.startswith("annotations/captions_")]
    look.needs(bool(files), f"captions in {', '.join(files)}", "annotations/captions_val2017.json")
    parts = [PurePath(name).stem.removeprefix("captions_") for name in files]
    here = [part for part in parts if {part, f"images/{part}"} & glance.folders]
    look.needs(bool(here), f"images in {', '.join(here)}", "images in train2017/ or val2017/")
    if here and len(here) < len(parts):
        look.unsure.append(f"no images for {', '.join(sorted(set(parts) - set(here)))}")
    yield look


def _cosmos(glance: Glance) -> Iterator[Look]:
    look = Look("cosmos", 10)
    files = [f"{split}{end}.json" for split in ("train", "val", "test") for end in ("_data", "")]
    here = [name for name in files if name in glance.names]
    head = _head(glance.root / here[0]) if here else ""
    look.needs(
        "img_local_path" in head,
        f"{', '.join(here)} with img_local_path",
        "train_data.json with img_local_path",
    )
    _need_images(look, glance)
    yield look


def _fixed(glance: Glance) -> Iterator[Look]:
    """Layouts that a few names tell."""
    spurge = Look("leafy_spurge", 4)
    there = any(f"{top}train/present" in glance.folders for top in ("data/crop/", "crop/", ""))
    spurge.needs(there, "train/present/ and absent/", "data/crop/train/present/")
    yield spurge

    music = Look("musiccaps", 4, views={"audio": "audio", "text": "text"})
    tables = [name for name in glance.at_top(".csv") if name.startswith("musiccaps")]
    music.needs(len(tables) == 1, f"captions in {tables[:1]}", "musiccaps-public.csv")
    clips = len(glance.by_modality.get("audio", []))
    music.needs(clips > 0, f"{clips:,} clips", "clips/YTID.wav")
    yield music

    scans = [name for name in glance.files if "velodyne" in name and name.endswith(".bin")]
    kitti = Look("kitti", 5, views={"lidar": "lidar", "text": "text"})
    kitti.needs(bool(scans), f"{len(scans):,} scans", "training/velodyne/000000.bin")
    if "captions.csv" in glance.names:
        kitti.recognised.append("captions in captions.csv")
    else:
        kitti.views = {"lidar": "lidar", "image": "image"}
        kitti.needs(
            any(f"/{camera}/" in name for name in glance.files for camera in ("image_2", "data")),
            "camera images beside the scans",
            "captions.csv (frame, caption), or image_2/ with the camera's images",
        )
    yield kitti

    series = Look("handwriting", 5, views={"series": "series", "text": "text"})
    archive = [name for name in glance.at_top(".ts") if "_TRAIN" in name or "_TEST" in name]
    series.needs(
        len(archive) >= 2 or "ujipenchars2.txt" in glance.names,
        f"series in {', '.join(archive) or 'ujipenchars2.txt'}",
        "NAME_TRAIN.ts and NAME_TEST.ts, or ujipenchars2.txt",
    )
    yield series


LOOKERS = (_flickr, _imagefolder, _imagenet, _karpathy, _coco, _cosmos, _fixed)
"""Of a glance, each says what it found."""
