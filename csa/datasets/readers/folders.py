"""Readers `leafy_spurge`, `musiccaps` and `kitti`: files in folders of a fixed layout, with a
list beside them or not.
"""

from pathlib import Path, PurePath

from csa.datasets.reading import Reading
from csa.datasets.rows import ItemError, LeftOut, RawPair, view_of
from csa.datasets.tables import Table, read_cells
from csa.errors import DataError
from csa.modalities import audio
from csa.modalities.image import SUFFIXES
from csa.params.views import Modality

_SPURGE = {"present": "leafy spurge", "absent": "no leafy spurge"}
_CLIP_FOLDERS = ("clips", "audio", "wav", ".")
_SCANS = ("velodyne", "velodyne_points/data")
_CAMERAS = {"velodyne": "image_2", "velodyne_points/data": "image_02/data"}
_CAPTIONS = "captions.csv"


def read_leafy_spurge(reading: Reading) -> None:
    """Read the drone images of leafy spurge (Doherty et al. 2024; a data set repository of the
    Hugging Face hub).

    Layout: data/crop/{train,test}/{present,absent}/IMAGE, as `mpg-ranch/leafy_spurge` is
    downloaded; dataset.path is that folder, or a folder that holds train/ and test/ itself (such as
    its data/context). The text is `dataset.template` with "leafy spurge" or "no leafy spurge",
    which is the label too. The pair's id and group are the image's path.

    Raises:
        DataError: not such a folder.
    """
    views, template = reading.views, reading.params.template
    image_view, text_view = (view_of(views, kind, "leafy_spurge") for kind in ("image", "text"))
    tops = ("data/crop/", "crop/", "")
    top = next((top for top in tops if reading.below(f"{top}train/present")), None)
    if top is None:
        raise DataError(
            f"{reading.path}: no leafy spurge images; expected data/crop/train/present/ and "
            f"absent/ in dataset.path"
        )
    for split in ("train", "test"):
        for name, label in _SPURGE.items():

            def pair(image: str, split: str, label: str = label) -> list[RawPair]:
                text = template.replace("{label}", label)
                return [
                    RawPair(image, image, {image_view: image, text_view: text}, image, split, label)
                ]

            images = reading.below(f"{top}{split}/{name}")
            found = (image for image in images if PurePath(image).suffix.lower() in SUFFIXES)
            reading.take("images", ((image, split) for image in found), pair)


def read_musiccaps(reading: Reading) -> None:
    """Read MusicCaps (Agostinelli et al. 2023): its table, and the clips that were cut from videos.

    Layout: musiccaps-public.csv (columns ytid, start_s, caption, is_audioset_eval), and clips
    called YTID.wav, YTID_START.wav or [YTID]-[START-END].wav (any audio ending) in clips/, audio/,
    wav/ or beside the table. Videos vanish, so rows without a clip are left out and counted. Clips
    of AudioSet's evaluation part are held out. The pair's id is YTID_START, its group the video.

    Raises:
        DataError: not such a folder, or no clip at all.
    """
    kinds: tuple[Modality, Modality] = ("audio", "text")
    audio_view, text_view = (
        view_of(reading.views, modality, "musiccaps", kinds) for modality in kinds
    )
    tables = [
        name for name in reading.files if name.startswith("musiccaps") and name.endswith(".csv")
    ]
    if len(tables) != 1:
        raise DataError(
            f"{reading.path}: one table musiccaps-public.csv is expected in dataset.path, found "
            f"{len(tables)}"
        )
    clips = _clips(reading)
    table = _table(reading, tables[0], ("ytid", "start_s", "caption"))
    wanted = ("ytid", "start_s", "caption", "end_s", "is_audioset_eval")
    cells = {name: table.column(name) for name in wanted if name in table.columns}
    reading.use_columns(table.name, cells, table.columns)
    without: list[str] = []

    def pair(place: str, row: int) -> list[RawPair] | LeftOut:
        text = {name: table.text(name, row, column) for name, column in cells.items()}
        video, start, end = text["ytid"], text["start_s"], text.get("end_s")
        names = (f"{video}_{start}", f"[{video}]-[{start}-{end}]", f"{video}-{start}", f"{video}")
        clip = next((clips[name] for name in names if name in clips), None)
        if clip is None:
            without.append(place)
            return LeftOut("whose clips are not there")
        part = {"true": "test", "false": "train"}.get((text.get("is_audioset_eval") or "").lower())
        values = {audio_view: clip, text_view: text["caption"]}
        return [RawPair(place, f"{video}_{start}", values, video, part)]

    places = ((f"row {i + 1} of {table.name}", i) for i in range(table.height))
    reading.take("rows", places, pair)
    if not reading.rows and not reading.aside:
        raise DataError(
            f"{reading.path}: none of {len(without)} clips is there; expected for example "
            f"clips/{cells['ytid'][0] if table.height else 'YTID'}.wav"
        )
    if without:
        reading.notes.append(f"{len(without)} rows were left out: their clips are not there")


def _clips(reading: Reading) -> dict[str, str]:
    """Stem -> path of every clip; the likeliest folder counts where two have one of a name."""
    found = {}
    for endings in (audio.SUFFIXES, audio.READ):  # a clip that is decoded counts before others
        for folder in reversed(_CLIP_FOLDERS):
            for name in reading.below(folder):
                top = PurePath(name).parent.as_posix()
                if top == folder and PurePath(name).suffix.lower() in endings:
                    found[PurePath(name).stem] = name
    return found


def read_kitti(reading: Reading) -> None:
    """Read KITTI's lidar scans with what belongs to each: the camera image, a caption, or both
    views of these.

    Layouts: training/velodyne/FRAME.bin with training/image_2/FRAME.png (objects),
    sequences/NN/velodyne/ with image_2/ (odometry), or DATE/DRIVE_sync/velodyne_points/data/ with
    image_02/data/ (raw). Captions are no part of KITTI: captions.csv in dataset.path has columns
    frame (the scan's path without its ending, such as training/000123, sequences/00/000123 or
    DATE/DRIVE/0000000005) and caption; a frame may have several. Views are any two of lidar, image
    and text.

    Frames of a drive overlap, so a sequence or drive is one group; frames of the objects layout are
    groups of their own.

    Raises:
        DataError: not such a folder, or a view it has nothing for.
    """
    views = reading.views
    wanted: dict[Modality, str] = {view.modality: name for name, view in views.items()}
    if len(wanted) != len(views) or not set(wanted) <= {"lidar", "image", "text"}:
        raise DataError(
            "dataset.kind kitti has scans, images and captions; use two views of modalities "
            "lidar, image or text"
        )
    frames = _kitti_frames(reading)
    if "text" in wanted:
        _captioned_frames(reading, frames, wanted)
        return

    def pair(place: str, frame: str) -> list[RawPair]:
        return [RawPair(place, f"{frame}#0", _files_of(frames[frame], wanted), _drive(frame))]

    reading.take("frames", ((f"frame {frame}", frame) for frame in frames), pair)


def _captioned_frames(
    reading: Reading, frames: dict[str, tuple[str, str]], wanted: dict[Modality, str]
) -> None:
    if _CAPTIONS not in reading.names:
        raise DataError(
            f"{reading.path}: no {_CAPTIONS}; a text view of KITTI needs one, with columns frame "
            f"and caption"
        )
    table = _table(reading, _CAPTIONS, ("frame", "caption"))
    reading.use_columns(table.name, ("frame", "caption"), table.columns)
    cells = {name: table.column(name) for name in ("frame", "caption")}
    counts: dict[str, int] = {}
    unknown: list[str] = []

    def pair(place: str, row: int) -> list[RawPair]:
        named, caption = (table.text(name, row, cells[name]) for name in ("frame", "caption"))
        frame = (named or "").strip("/")
        if frame not in frames:
            unknown.append(frame)
            raise ItemError(f"frame {frame!r} has no scan; correct the column frame")
        k = counts[frame] = counts.get(frame, -1) + 1
        values = {**_files_of(frames[frame], wanted), wanted["text"]: caption}
        return [RawPair(f"frame {frame}", f"{frame}#{k}", values, _drive(frame))]

    places = ((f"row {i + 1} of {_CAPTIONS}", i) for i in range(table.height))
    reading.take("captions", places, pair)
    if unknown and not reading.rows:
        raise DataError(
            f"{_CAPTIONS}: {len(unknown)} frames have no scan, such as {unknown[0]!r}; "
            f"correct the column frame"
        )
    order = {frame: i for i, frame in enumerate(frames)}
    reading.rows.sort(key=lambda row: order[(row.pair_id or "").rpartition("#")[0]])
    left_out = len(frames) - len(counts)
    if left_out:
        reading.notes.append(f"{left_out} scans were left out: they have no caption")
        reading.pass_over(
            "scans without a caption",
            (frames[frame][0] for frame in frames if frame not in counts),
        )


def _drive(frame: str) -> str:
    """The group of a frame: its drive, or itself in the objects layout."""
    drive = frame.rpartition("/")[0]
    return frame if drive == "training" else drive


def _files_of(files: tuple[str, str], wanted: dict[Modality, str]) -> dict[str, str | None]:
    kinds: dict[Modality, str] = {"lidar": files[0], "image": files[1]}
    return {name: kinds[kind] for kind, name in wanted.items() if kind in kinds}


def _kitti_frames(reading: Reading) -> dict[str, tuple[str, str]]:
    """Frame -> its scan and where its camera image lies, sorted."""
    frames = {}
    for below in _SCANS:
        for name in reading.files:
            folder, _, last = name.rpartition("/")
            if not last.endswith(".bin") or not f"/{folder}".endswith(f"/{below}"):
                continue
            drive, stem = folder.removesuffix(below).rstrip("/"), Path(last).stem
            above = f"{drive}/" if drive else ""
            images = [f"{above}{_CAMERAS[below]}/{stem}{ending}" for ending in (".png", ".jpg")]
            frames[f"{above}{stem}"] = (
                name,
                next((image for image in images if image in reading.names), images[0]),
            )
    if not frames:
        raise DataError(
            f"{reading.path}: no scans; expected training/velodyne/000000.bin, or "
            f"sequences/00/velodyne/000000.bin"
        )
    return frames


def _table(reading: Reading, name: str, columns: tuple[str, ...]) -> Table:
    """A table that has these columns."""
    table = read_cells(reading.open(name))
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise DataError(
            f"{name}: no column {missing[0]!r}; the columns are "
            f"{', '.join(table.columns) or '(none)'}"
        )
    return table
