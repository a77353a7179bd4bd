"""Readers `leafy_spurge`, `musiccaps` and `kitti`: files in folders of a fixed layout, with a
list beside them or not.
"""

import csv
import io
from pathlib import Path

from csa.datasets.rows import RawPair, Source, decode_text, view_of
from csa.errors import DataError
from csa.modalities import audio
from csa.modalities.image import SUFFIXES
from csa.params.data import DatasetParams
from csa.params.views import Modality, ViewParams

_SPURGE = {"present": "leafy spurge", "absent": "no leafy spurge"}
_CLIP_FOLDERS = ("clips", "audio", "wav", ".")
_SCANS = ("velodyne", "velodyne_points/data")
_CAMERAS = {"velodyne": "image_2", "velodyne_points/data": "image_02/data"}
_CAPTIONS = "captions.csv"


def read_leafy_spurge(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
    """Read the drone images of leafy spurge (Doherty et al. 2024; a data set repository of the
    Hugging Face hub).

    Layout: data/crop/{train,test}/{present,absent}/IMAGE, as `mpg-ranch/leafy_spurge` is
    downloaded; dataset.path is that folder, or a folder that holds train/ and test/ itself (such as
    its data/context). The text is `dataset.template` with "leafy spurge" or "no leafy spurge",
    which is the label too. The pair's id and group are the image's path.

    Raises:
        DataError: not such a folder.
    """
    image_view, text_view = (
        view_of(views, "image", "leafy_spurge"),
        view_of(views, "text", "leafy_spurge"),
    )
    if "{label}" not in params.template:
        raise DataError(
            f"dataset.template is {params.template!r}; it must hold {{label}}, the place of the "
            f"class's name"
        )
    root = next(
        (
            path / name
            for name in ("data/crop", "crop", ".")
            if (path / name / "train" / "present").is_dir()
        ),
        None,
    )
    if root is None:
        raise DataError(
            f"{path}: no leafy spurge images; expected data/crop/train/present/ and absent/ in "
            f"dataset.path"
        )
    rows = []
    for split in ("train", "test"):
        for name, label in _SPURGE.items():
            folder = root / split / name
            for image in sorted(folder.iterdir()) if folder.is_dir() else []:
                if image.suffix.lower() in SUFFIXES and not image.name.startswith("."):
                    value = image.relative_to(path).as_posix()
                    values = {
                        image_view: value,
                        text_view: params.template.replace("{label}", label),
                    }
                    rows.append(RawPair(value, value, values, value, split, label))
    return Source(rows)


def read_musiccaps(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
    """Read MusicCaps (Agostinelli et al. 2023): its table, and the clips that were cut from videos.

    Layout: musiccaps-public.csv (columns ytid, start_s, caption, is_audioset_eval), and clips
    called YTID.wav, YTID_START.wav or [YTID]-[START-END].wav (any audio ending) in clips/, audio/,
    wav/ or beside the table. Videos vanish, so rows without a clip are left out and counted. Clips
    of AudioSet's evaluation part are held out. The pair's id is YTID_START, its group the video.

    Raises:
        DataError: not such a folder, or no clip at all.
    """
    pair: tuple[Modality, Modality] = ("audio", "text")
    audio_view, text_view = (view_of(views, modality, "musiccaps", pair) for modality in pair)
    tables = sorted(path.glob("musiccaps*.csv"))
    if len(tables) != 1:
        raise DataError(
            f"{path}: one table musiccaps-public.csv is expected in dataset.path, found "
            f"{len(tables)}"
        )
    clips = {
        file.stem: file.relative_to(path).as_posix()
        for folder in reversed(_CLIP_FOLDERS)
        for file in (sorted((path / folder).iterdir()) if (path / folder).is_dir() else [])
        if file.suffix.lower() in audio.SUFFIXES
    }
    rows, missing = [], 0
    for number, row in enumerate(_table(tables[0], ("ytid", "start_s", "caption")), start=1):
        video, start = row["ytid"], row["start_s"]
        names = (
            f"{video}_{start}",
            f"[{video}]-[{start}-{row.get('end_s')}]",
            f"{video}-{start}",
            video,
        )
        clip = next((clips[name] for name in names if name in clips), None)
        if clip is None:
            missing += 1
            continue
        split = {"true": "test", "false": "train"}.get((row.get("is_audioset_eval") or "").lower())
        values = {audio_view: clip, text_view: row["caption"]}
        rows.append(
            RawPair(f"row {number} of {tables[0].name}", f"{video}_{start}", values, video, split)
        )
    if not rows:
        raise DataError(
            f"{path}: none of {missing} clips is there; expected for example clips/{video}.wav"
        )
    return Source(
        rows, (f"{missing} rows were left out: their clips are not there",) if missing else ()
    )


def read_kitti(params: DatasetParams, views: dict[str, ViewParams], path: Path) -> Source:
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
    wanted: dict[Modality, str] = {view.modality: name for name, view in views.items()}
    if len(wanted) != len(views) or not set(wanted) <= {"lidar", "image", "text"}:
        raise DataError(
            "dataset.kind kitti has scans, images and captions; use two views of modalities "
            "lidar, image or text"
        )
    frames = _kitti_frames(path)
    captions: dict[str, list[str]] = {}
    if "text" in wanted:
        if not (path / _CAPTIONS).is_file():
            raise DataError(
                f"{path}: no {_CAPTIONS}; a text view of KITTI needs one, with columns frame and "
                f"caption"
            )
        for row in _table(path / _CAPTIONS, ("frame", "caption")):
            captions.setdefault(row["frame"].strip("/"), []).append(row["caption"])
        unknown = sorted(captions.keys() - frames.keys())
        if unknown:
            raise DataError(
                f"{path / _CAPTIONS}: {len(unknown)} frames have no scan, such as {unknown[0]!r}; "
                f"correct the column frame"
            )
    rows = []
    for frame, (scan, image) in frames.items():
        files: dict[Modality, Path] = {"lidar": scan, "image": image}
        fixed = {
            name: files[kind].relative_to(path).as_posix()
            for kind, name in wanted.items()
            if kind != "text"
        }
        drive = frame.rpartition("/")[0]
        group = frame if drive == "training" else drive
        texts = captions.get(frame, []) if "text" in wanted else [""]
        for k, text in enumerate(texts):
            values = {**fixed, wanted["text"]: text} if "text" in wanted else fixed
            rows.append(RawPair(f"frame {frame}", f"{frame}#{k}", values, group))
    left_out = len(frames) - len(captions) if "text" in wanted else 0
    return Source(
        rows, (f"{left_out} scans were left out: they have no caption",) if left_out else ()
    )


def _kitti_frames(path: Path) -> dict[str, tuple[Path, Path]]:
    """Frame -> its scan and where its camera image lies, sorted."""
    frames = {}
    for below in _SCANS:
        for folder in sorted(found for found in path.glob(f"**/{below}") if found.is_dir()):
            drive = folder.parents[below.count("/")]
            for scan in sorted(folder.glob("*.bin")):
                frame = f"{drive.relative_to(path).as_posix()}/{scan.stem}".removeprefix("./")
                images = (
                    drive / _CAMERAS[below] / f"{scan.stem}{ending}" for ending in (".png", ".jpg")
                )
                frames[frame] = (
                    scan,
                    next(
                        (image for image in images if image.is_file()), drive / f"{scan.stem}.png"
                    ),
                )
    if not frames:
        raise DataError(
            f"{path}: no scans; expected training/velodyne/000000.bin, or "
            f"sequences/00/velodyne/000000.bin"
        )
    return frames


def _table(file: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a comma-separated table that has these columns."""
    reader = csv.DictReader(io.StringIO(decode_text(file), newline=""))
    missing = [name for name in columns if name not in (reader.fieldnames or [])]
    if missing:
        raise DataError(
            f"{file}: no column {missing[0]!r}; the columns are "
            f"{', '.join(reader.fieldnames or []) or '(none)'}"
        )
    return [{key: cell or "" for key, cell in row.items() if key is not None} for row in reader]
