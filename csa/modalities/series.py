"""Time series of strangers: readings of one or more channels over time, and pen strokes as such."""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from csa.errors import DataError
from csa.modalities.base import Kind
from csa.modalities.drawing import line_plot

if TYPE_CHECKING:
    from PIL.Image import Image

Series: TypeAlias = NDArray[np.float32]
"""Shape (time, channels)."""

SUFFIXES = frozenset({".npy", ".csv", ".inkml"})
_NPY = b"\x93NUMPY"
MIN_STEPS = 4
_MOST = 0.9
MAX_VALUES = 50_000_000


class TimeSeries(Kind):
    """Readings over time, shape (time, channels)."""

    name, plural = "series", "series"
    suffixes = SUFFIXES

    def decode(self, file: BinaryIO, name: str, max_pixels: int) -> Series:
        """See `Kind.decode`."""
        return decode_series(file, name)

    def holds(self, item: Any, name: str) -> bool:
        """See `Kind.holds`."""
        return isinstance(item, np.ndarray) and item.ndim == 2

    def preview(self, item: Any, name: str) -> "Image":
        """See `Kind.preview`; its channels as lines."""
        return line_plot(item, name)

    def scale(self, item: Any) -> tuple[str, float] | None:
        """See `Kind.scale`; whether its first of several channels goes up in equal steps."""
        steps = np.diff(item[:, 0])
        even = item.shape[1] > 1 and len(steps) > MIN_STEPS and steps[0] != 0
        return "counts" if even and np.allclose(steps, steps[0], rtol=1e-3) else "varies", 0.0

    def scale_notes(self, view: str, scales: Sequence[tuple[str, float]]) -> list[str]:
        """See `Kind.scale_notes`; a channel that is perhaps the time or an index."""
        counting = sum(word == "counts" for word, _ in scales)
        if not counting or counting < _MOST * len(scales):
            return []
        return [
            f"channel 0 of {counting} of {len(scales)} series of view {view!r} goes up in equal "
            f"steps, as a time or an index does; leave it out of the files if it is one"
        ]


def decode_series(file: BinaryIO, name: str) -> Series:
    """Read one series; the ending of `name` says how.

    .npy: shape (time,) or (time, channels). .csv: one line a step, one column a channel, with or
    without a header. .inkml: W3C ink, x, y and 1 where the pen is down (0 at the last point of a
    stroke). .ts!ROW: one case of a UEA/UCR archive file. .txt!ROW: one character of a UJI pen
    characters file, as ink.

    Args:
        file: open and seekable.
        name: what errors call it; its ending says how the file is read.

    Returns:
        Readings, shape (time, channels), float32.

    Raises:
        DataError: another kind, damaged, fewer than 4 steps, more than 50 million values, NaN or
            infinity, or constant in every channel.
    """
    suffix = PurePath(
        name.rpartition("!")[0] if re.search(r"\.(ts|txt)![^!]+$", name) else name
    ).suffix.lower()
    read = _READERS.get(suffix)
    if read is None:
        raise DataError(
            f"{name}: a series cannot be read from {suffix or 'no'} files; use "
            f"{', '.join(_READERS)}"
        )
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold is counted below
            series = read(file)
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        raise DataError(
            f"{name}: the series cannot be read ({' '.join(str(error).split())[:120]}); write it "
            f"again"
        ) from None
    if series.ndim != 2 or series.shape[1] == 0 or series.size > MAX_VALUES:
        raise DataError(f"{name}: a series of shape {series.shape}; expected (time, channels)")
    if len(series) < MIN_STEPS:
        raise DataError(
            f"{name}: a series of {len(series)} steps; at least {MIN_STEPS} are needed, so drop "
            f"its row"
        )
    wrong = int(np.count_nonzero(~np.isfinite(series)))
    if wrong:
        raise DataError(
            f"{name}: {wrong} of {series.size} values are NaN, infinite or beyond float32; fill "
            f"them in, or drop its row"
        )
    if (series == series[0]).all():
        raise DataError(f"{name}: every channel is constant over {len(series)} steps; drop its row")
    return series


def _read_npy(file: BinaryIO) -> Series:
    if file.read(len(_NPY)) != _NPY:  # NumPy's own words advise to load it as a pickle
        raise ValueError("it does not begin as a NumPy file; save it with numpy.save")
    file.seek(0)
    array = np.load(file, allow_pickle=False)
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise ValueError(f"values are of type {array.dtype}, expected real numbers")
    return np.ascontiguousarray(array[:, None] if array.ndim == 1 else array, dtype=np.float32)


def _read_csv(file: BinaryIO) -> Series:
    lines = [line for line in file.read().decode("utf-8-sig").splitlines() if line.strip()]
    try:
        list(map(float, lines[0].split(",") if lines else []))
    except ValueError:
        lines = lines[1:]  # a header
    return (
        np.loadtxt(lines, delimiter=",", ndmin=2, dtype=np.float32)
        if lines
        else np.zeros((0, 1), np.float32)
    )


def _read_inkml(file: BinaryIO) -> Series:
    from xml.etree import ElementTree

    content = file.read()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError("it declares entities, which InkML does not need")
    root = ElementTree.fromstring(content)
    traces = [
        element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == "trace"
    ]
    return _ink(
        [
            [[float(cell) for cell in point.split()[:2]] for point in trace.split(",")]
            for trace in traces
        ]
    )


def _read_ts(file: BinaryIO) -> Series:
    """One line of a .ts file: channels apart by colons, values by commas, the class last."""
    channels = file.read().decode("utf-8").strip().split(":")[:-1]
    lengths = {channel.count(",") for channel in channels}
    if len(lengths) > 1:
        raise ValueError(
            f"its channels have {sorted(n + 1 for n in lengths)} values, expected one length"
        )
    return np.array(
        [[float(cell) for cell in channel.split(",")] for channel in channels], dtype=np.float32
    ).T


def _read_uji(file: BinaryIO) -> Series:
    """One character of ujipenchars2.txt: POINTS n # x y x y ... for each stroke."""
    strokes = []
    for line in file.read().decode("latin-1").splitlines():
        words = line.split()
        if words[:1] == ["POINTS"]:
            values = [float(word) for word in words[3:]]
            if len(values) != 2 * int(words[1]):
                raise ValueError(f"a stroke says {words[1]} points but has {len(values)} numbers")
            strokes.append([values[i : i + 2] for i in range(0, len(values), 2)])
    return _ink(strokes)


def _ink(strokes: list[list[list[float]]]) -> Series:
    """x, y and pen of all strokes, one after the other."""
    points = [
        [*point, float(k < len(stroke) - 1)] for stroke in strokes for k, point in enumerate(stroke)
    ]
    return np.array(points, dtype=np.float32).reshape(len(points), -1)


_READERS: dict[str, Callable[[BinaryIO], Series]] = {
    ".npy": _read_npy,
    ".csv": _read_csv,
    ".inkml": _read_inkml,
    ".ts": _read_ts,
    ".txt": _read_uji,
}


def split_records(content: bytes, suffix: str) -> list[bytes]:
    """All records of a .ts file (lines after @data) or of a pen characters file (from WORD to
    the next).

    Args:
        content: the whole file.
        suffix: .ts; any other is read as a pen characters file.

    Returns:
        The bytes of each record, in order.
    """
    if suffix == ".ts":
        lines = [line.strip() for line in content.splitlines()]
        start = next(
            (i + 1 for i, line in enumerate(lines) if line.lower() == b"@data"), len(lines)
        )
        return [line for line in lines[start:] if line and not line.startswith((b"#", b"%"))]
    parts = re.split(rb"^(?=WORD )", content, flags=re.MULTILINE)
    return [part for part in parts if part.startswith(b"WORD ")]
