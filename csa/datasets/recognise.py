"""What a folder or file of data looks like: the layouts that fit it, each with the section
`dataset` that reads it.

Names and the first lines of tables are looked at; no item is decoded.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from csa.datasets.columns import guess_columns, view_name
from csa.datasets.splits import part_of
from csa.datasets.tables import TABLE_ENDINGS, read_cells
from csa.errors import DataError
from csa.modalities.registry import MODALITIES, modality_of, names_a_file
from csa.params.data import DatasetKind
from csa.params.views import Modality
from csa.storage.files import walk

NEAREST = 3
"""Layouts that are told where none fits."""
_LOOKED_AT = 200_000
_ROWS = 200
_FEATURES = (".npy", ".npz", ".safetensors", ".parquet")
_CAPTIONS = ("captions.txt", "captions.csv", "Flickr8k.token.txt", "results_20130124.token")
_NO_DATA = ("readme", "license", "licence", "attribution", "params", "classes")


@dataclass(frozen=True)
class Layout:
    """One way to read a folder or file.

    Args:
        kind: of `dataset.kind`.
        dataset: the section `dataset` of params.yaml, without what has its default.
        views: name of each view -> its modality, in order; the array views of `dataset.arrays` too.
        recognised: what was recognised and why, a sentence each.
        unsure: what a person should look at, a sentence each.
        missing: what is missing for this layout; empty where it fits.
    """

    kind: DatasetKind
    dataset: dict[str, Any]
    views: dict[str, Modality]
    recognised: tuple[str, ...]
    unsure: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


@dataclass(frozen=True)
class Glance:
    """The names below a folder.

    Args:
        root: the folder.
        file: the one file that is meant, relative to the folder; "" where the folder is meant.
    """

    root: Path
    file: str = ""

    @cached_property
    def files(self) -> list[str]:
        """Paths relative to the folder, sorted; what is hidden is left out."""
        return [self.file] if self.file else walk(self.root, _LOOKED_AT)

    @cached_property
    def names(self) -> frozenset[str]:
        """The files, to look names up in."""
        return frozenset(self.files)

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that holds a file, at any depth."""
        direct = {name.rpartition("/")[0] for name in self.files} - {""}
        above = {parent.as_posix() for folder in direct for parent in PurePath(folder).parents}
        return frozenset(direct | above) - {"."}

    @cached_property
    def by_modality(self) -> dict[Modality, list[str]]:
        """The files that end like an item of a modality."""
        found: dict[Modality, list[str]] = {}
        for name in self.files:
            if names_a_file(name):
                found.setdefault(modality_of(name), []).append(name)
        return found

    def at_top(self, *endings: str) -> list[str]:
        """The files directly in the folder with one of these endings (lower case)."""
        return [name for name in self.files if "/" not in name and name.lower().endswith(endings)]


@dataclass
class _Look:
    """A layout while it is being looked for; `weight` orders those that fit, least first."""

    kind: DatasetKind
    weight: int
    dataset: dict[str, Any] = field(default_factory=dict)
    views: dict[str, Modality] = field(default_factory=lambda: {"image": "image", "text": "text"})
    recognised: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def needs(self, there: bool, found: str, missing: str) -> bool:
        """Note one thing that the layout needs: what was found, or what is missing."""
        (self.recognised if there else self.missing).append(found if there else missing)
        return there


def recognise(path: Path) -> list[Layout]:
    """The layouts that a folder or file has.

    Args:
        path: what a person calls the data: a folder, or one table.

    Returns:
        The layouts that fit, best first; where none does, the three nearest, each saying what is
        missing.

    Raises:
        DataError: there is no such path, or it is neither a folder nor a table.
    """
    path = path.expanduser()
    if not path.exists():
        raise DataError(f"{path}: no such folder or file; correct the path")
    if path.is_dir():
        glance = Glance(path)
    elif path.is_file():
        glance = Glance(path.parent, path.name)
    else:
        raise DataError(f"{path}: neither a folder nor a file; give the data set's folder")
    found = [look for looker in _LOOKERS for look in looker(glance)]
    fitting = sorted((look for look in found if not look.missing), key=lambda look: look.weight)
    nearest = sorted(
        (look for look in found if look.missing),
        key=lambda look: (-len(look.recognised), len(look.missing), -look.weight),
    )
    return [_layout(look, path) for look in fitting or nearest[:NEAREST]]


def _layout(look: _Look, path: Path) -> Layout:
    section = {"kind": look.kind, "path": str(path), **look.dataset}
    return Layout(
        look.kind,
        section,
        look.views,
        tuple(look.recognised),
        tuple(look.unsure),
        tuple(look.missing),
    )


def _table(glance: Glance) -> Iterator[_Look]:
    """Every table of the folder, the likeliest first."""
    tables = [
        name
        for name in glance.at_top(*TABLE_ENDINGS)
        if not PurePath(name).stem.lower().startswith(_NO_DATA) or name == glance.file
    ]
    if not tables:
        items = [f"{len(names):,} files of {kind}" for kind, names in glance.by_modality.items()]
        missing = [f"a table ({', '.join(TABLE_ENDINGS)}) that names a text for each file"]
        yield _Look("table", 50, recognised=items, missing=missing)
    tables.sort(key=lambda name: (PurePath(name).stem not in ("pairs", "metadata"), name))
    for place, name in enumerate(tables):
        look = _Look("table", 20 + place)
        if len(tables) > 1:
            look.dataset["table"] = name
            look.unsure.append(f"there are {len(tables)} tables: {', '.join(tables[:5])}")
        try:
            table = read_cells(glance.root / name, _ROWS)
            cells = {column: table.column(column) for column in table.columns}
        except DataError as error:
            look.missing.append(str(error))
            yield look
            continue
        columns = guess_columns(cells, glance.root)
        look.recognised += [f"{name} is a table with columns {', '.join(cells)}", *columns.why]
        look.unsure += columns.unsure
        look.missing += columns.missing
        look.views = columns.views
        if columns.mapping:
            look.dataset["columns"] = columns.mapping
        yield look


def _flickr(glance: Glance) -> Iterator[_Look]:
    look = _Look("flickr", 16)
    captions = next((name for name in _CAPTIONS if name in glance.names), None)
    look.needs(captions is not None, f"captions in {captions}", f"one of {', '.join(_CAPTIONS)}")
    _need_images(look, glance)
    lists = [name for name in glance.files if name.endswith("Images.txt") and "/" not in name]
    if lists:
        look.recognised.append(f"splits in {', '.join(lists)}")
    if captions and captions.startswith("captions"):
        head = _head(glance.root / captions)
        look.needs(
            "#" in head or "".join(head.split()).lower() == "image,caption",
            "a line of it is an image and a caption",
            f"{captions} begins with {head[:40]!r}, expected image,caption or name.jpg#0 and a tab",
        )
    yield look


def _need_images(look: _Look, glance: Glance) -> int:
    count = len(glance.by_modality.get("image", []))
    look.needs(count > 0, f"{count:,} images", "images")
    return count


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode("utf-8-sig", "replace").split("\n", 1)[0].strip()
    except OSError as error:
        return f"(unreadable: {error.strerror})"


def _imagefolder(glance: Glance) -> Iterator[_Look]:
    look = _Look("imagefolder", 40)
    images = [PurePath(name).parts for name in glance.by_modality.get("image", [])]
    look.needs(bool(images), f"{len(images):,} images", "images")
    split = bool(images) and all(part_of(parts[0], {}) for parts in images)
    depth = 2 if split else 1
    classes = {parts[depth - 1] for parts in images if len(parts) == depth + 1}
    if look.needs(
        len(classes) > 1,
        f"in {len(classes)} class folders, such as {min(classes, default='')}",
        "two class folders or more, as CLASS/IMAGE.jpg",
    ):
        other = sum(len(parts) != depth + 1 for parts in images)
        if other:
            look.unsure.append(f"{other:,} images lie elsewhere than in a class folder")
        if split:
            look.recognised.append(f"splits {', '.join(sorted({parts[0] for parts in images}))}")
        look.unsure.append('the text of a class is "a photo of a CLASS" (dataset.template)')
    yield look


def _imagenet(glance: Glance) -> Iterator[_Look]:
    look = _Look("imagenet", 5)
    names = ("synset_words.txt", "LOC_synset_mapping.txt", "imagenet_class_index.json")
    found = next((name for name in names if name in glance.names), None)
    look.needs(found is not None, f"names of classes in {found}", f"one of {', '.join(names)}")
    there = any(folder in glance.folders for folder in ("val", "ILSVRC/Data/CLS-LOC/val")) or any(
        "ILSVRC2012_val_" in name for name in glance.files[:1000]
    )
    look.needs(there, "validation images", "val/ with the validation images")
    yield look


def _karpathy(glance: Glance) -> Iterator[_Look]:
    look = _Look("karpathy", 5)
    files = [name for name in glance.at_top(".json") if name.startswith("dataset_")]
    look.needs(
        len(files) == 1,
        f"{files[:1]} lists images with sentences and splits",
        f"one split file such as dataset_flickr30k.json, there are {len(files)}",
    )
    _need_images(look, glance)
    yield look


def _coco(glance: Glance) -> Iterator[_Look]:
    look = _Look("coco", 5)
    files = [name for name in glance.files if name.startswith("annotations/captions_")]
    look.needs(bool(files), f"captions in {', '.join(files)}", "annotations/captions_val2017.json")
    parts = [PurePath(name).stem.removeprefix("captions_") for name in files]
    here = [part for part in parts if {part, f"images/{part}"} & glance.folders]
    look.needs(bool(here), f"images in {', '.join(here)}", "images in train2017/ or val2017/")
    if here and len(here) < len(parts):
        look.unsure.append(f"no images for {', '.join(sorted(set(parts) - set(here)))}")
    yield look


def _cosmos(glance: Glance) -> Iterator[_Look]:
    look = _Look("cosmos", 10)
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


def _fixed(glance: Glance) -> Iterator[_Look]:
    """Layouts that a few names tell."""
    spurge = _Look("leafy_spurge", 4)
    there = any(f"{top}train/present" in glance.folders for top in ("data/crop/", "crop/", ""))
    spurge.needs(there, "train/present/ and absent/", "data/crop/train/present/")
    yield spurge

    music = _Look("musiccaps", 4, views={"audio": "audio", "text": "text"})
    tables = [name for name in glance.at_top(".csv") if name.startswith("musiccaps")]
    music.needs(len(tables) == 1, f"captions in {tables[:1]}", "musiccaps-public.csv")
    clips = len(glance.by_modality.get("audio", []))
    music.needs(clips > 0, f"{clips:,} clips", "clips/YTID.wav")
    yield music

    scans = [name for name in glance.files if "velodyne" in name and name.endswith(".bin")]
    kitti = _Look("kitti", 5, views={"lidar": "lidar", "text": "text"})
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

    series = _Look("handwriting", 5, views={"series": "series", "text": "text"})
    archive = [name for name in glance.at_top(".ts") if "_TRAIN" in name or "_TEST" in name]
    series.needs(
        len(archive) >= 2 or "ujipenchars2.txt" in glance.names,
        f"series in {', '.join(archive) or 'ujipenchars2.txt'}",
        "NAME_TRAIN.ts and NAME_TEST.ts, or ujipenchars2.txt",
    )
    yield series


def _webdataset(glance: Glance) -> Iterator[_Look]:
    from csa.datasets.containers import tar_members

    look = _Look("webdataset", 8)
    shards = [name for name in glance.files if name.lower().endswith(".tar")]
    if not look.needs(bool(shards), f"{len(shards):,} tar shards", "uncompressed .tar shards"):
        yield look
        return
    try:
        members = tar_members(glance.root / shards[0], shards[0], 50)
    except DataError as error:
        look.missing.append(str(error))
        yield look
        return
    endings = {PurePath(member.name).name.partition(".")[2].lower() for member in members}
    media = sorted({modality_of(f"x.{end}") for end in endings if names_a_file(f"x.{end}")})
    text = endings & {"txt", "text", "caption"}
    look.recognised.append(f"members ending {', '.join(sorted(endings))}")
    look.needs(bool(media), f"items of modality {', '.join(media)}", "members such as 0.jpg")
    first: Modality = "image" if "image" in media or not media else media[0]
    look.views = {first: first, "text": "text"}
    if not text and "json" in endings:
        look.unsure.append(
            "texts are perhaps a field of the member json: set dataset.columns, "
            "such as text: json.caption"
        )
    look.needs(
        bool(text or "json" in endings), "texts", "members of texts, such as 0.txt or 0.json"
    )
    yield look


def _huggingface(glance: Glance) -> Iterator[_Look]:
    look = _Look("huggingface", 6)
    states = [name for name in glance.files if PurePath(name).name == "state.json"]
    if not look.needs(
        bool(states) and states[0].count("/") <= 1,
        f"a data set that save_to_disk wrote, {len(states)} parts",
        "dataset_info.json and state.json, as save_to_disk writes them",
    ):
        yield look
        return
    info = glance.root / PurePath(states[0]).parent / "dataset_info.json"
    try:
        features = json.loads(info.read_bytes()).get("features") or {}
        kinds = {name: _feature_kind(feature) for name, feature in features.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        look.missing.append(f"{info.name} cannot be read ({' '.join(str(error).split())[:80]})")
        yield look
        return
    media = [name for name, kind in kinds.items() if kind in _KIND_OF_FEATURE.values()]
    texts = [name for name, kind in kinds.items() if kind in ("text", "class")]
    texts.sort(key=lambda name: (name not in ("text", "caption", "captions"), kinds[name]))
    look.recognised.append(f"columns {', '.join(kinds)}")
    look.needs(bool(media), f"media in {media[:1]}", "a column of the feature Image or Audio")
    if look.needs(bool(texts), f"texts in {texts[:1]}", "a column of texts"):
        first = kinds[media[0]] if media else "image"
        look.views = {first: first, "text": "text"}
        mapping = {first: media[0]} if len(media) > 1 else {}
        mapping |= {"text": texts[0]} if "text" not in kinds else {}
        look.dataset |= {"columns": mapping} if mapping else {}
        if len(texts) > 1:
            look.unsure.append(f"the text is column {texts[0]}; others: {', '.join(texts[1:])}")
    yield look


_KIND_OF_FEATURE = {kind.feature: name for name, kind in MODALITIES.items() if kind.feature}
"""Hugging Face's name of a feature -> modality."""


def _feature_kind(feature: Any) -> str:
    """A modality with a feature of its own, class, text, or "" for what is none of these."""
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    if not isinstance(feature, dict):
        return ""
    if feature.get("_type") in ("Sequence", "List", "LargeList"):
        return _feature_kind(feature.get("feature"))
    kinds = {**_KIND_OF_FEATURE, "ClassLabel": "class"}
    text = "text" if feature.get("dtype") in ("string", "large_string") else ""
    return kinds.get(str(feature.get("_type")), text)


def _arrays(glance: Glance) -> Iterator[_Look]:
    look = _Look("arrays", 30)
    files = glance.at_top(*_FEATURES)
    if look.needs(
        len(files) == 2,
        f"two files of features, {' and '.join(files)}",
        f"two files of features ({', '.join(_FEATURES)}), there are {len(files)}",
    ):
        look.unsure.append("row i of one file is taken to belong to row i of the other")
        names = {name: view_name(PurePath(name).stem) for name in files}
        look.dataset["arrays"] = {view: name for name, view in names.items()}
        look.views = dict.fromkeys(names.values(), "array")
        columns = {
            name: f"{name}s.txt" if f"{name}s.txt" in glance.names else f"{name}.txt"
            for name in ("id", "group", "split", "label")
            if {f"{name}.txt", f"{name}s.txt"} & glance.names
        }
        if columns:
            look.dataset["columns"] = columns
            look.recognised.append(f"a line a row in {', '.join(columns.values())}")
    yield look


_LOOKERS: tuple[Callable[[Glance], Iterator[_Look]], ...] = (
    _table,
    _flickr,
    _imagefolder,
    _imagenet,
    _karpathy,
    _coco,
    _cosmos,
    _fixed,
    _webdataset,
    _huggingface,
    _arrays,
)
