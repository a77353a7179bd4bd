"""Lidar scans: reading KITTI's Velodyne files, and the projections that turn a scan into an image.

Coordinates are the sensor's: x forward, y left, z up, in metres.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from csa.errors import DataError
from csa.modalities.base import Kind

if TYPE_CHECKING:
    from PIL.Image import Image

Scan: TypeAlias = NDArray[np.float32]
"""Points (n, 4): x, y, z, reflectance."""
Projection = Literal["range", "bird"]

SUFFIXES = frozenset({".bin"})
MIN_POINTS = 16
_POINT_BYTES = 16
MAX_METRES = 1000
_FAR = 500
MIN_METRES = 0.1
_AT_SENSOR = 1.0
_MOST_AT_SENSOR = 0.25

SECTORS = 4
BIRD_CELLS = 256
LOW, HIGH = -2.0, 2.0
"""Heights, in metres from the sensor, that are black and white."""


class Lidar(Kind):
    """A scan: points (n, 4), which image encoders see as a projection."""

    name, plural, seen_as = "lidar", "scans", "image"
    suffixes = SUFFIXES

    def decode(self, file: BinaryIO, name: str, max_pixels: int) -> Scan:
        """See `Kind.decode`."""
        return decode_scan(file, name)

    def holds(self, item: Any, name: str) -> bool:
        """See `Kind.holds`; a series is an array of two axes as well."""
        return isinstance(item, np.ndarray) and item.ndim == 2 and PurePath(name).suffix in SUFFIXES

    def preview(self, item: Any, name: str) -> "Image":
        """See `Kind.preview`; the scan as the sensor saw it."""
        return project(item, "range")

    def scale(self, item: Any) -> tuple[str, float] | None:
        """See `Kind.scale`; what is odd about it (`dark`, `near`), and its farthest point in
        metres.
        """
        odd = {"dark": not item[:, 3].any(), "near": _at_sensor(item) > _MOST_AT_SENSOR}
        words = " ".join(word for word, is_so in odd.items() if is_so)
        return words, float(np.abs(item[:, :3]).max())

    def scale_notes(self, view: str, scales: Sequence[tuple[str, float]]) -> list[str]:
        """See `Kind.scale_notes`; scans without reflectance, in another unit than metres, or with
        other values than four a point.
        """
        dark = sum("dark" in words for words, _ in scales)
        near = sum("near" in words for words, _ in scales)
        far = [metres for _, metres in scales if metres > _FAR]
        said = [
            (dark, "have no reflectance"),
            (len(far), f"have points up to {max(far, default=0):,.0f} m away; are they in metres?"),
            (
                near,
                f"have more than {_MOST_AT_SENSOR:.0%} of their points within {_AT_SENSOR:g} m of "
                f"the sensor; a file does not say how many values a point has, so is each x, y, z "
                f"in metres and reflectance?",
            ),
        ]
        return [
            f"{count} of {len(scales)} scans of view {view!r} {words}"
            for count, words in said
            if count
        ]


def decode_scan(file: BinaryIO, name: str) -> Scan:
    """Read a KITTI Velodyne file: float32 little-endian x, y, z, reflectance, point after point.

    Args:
        file: open.
        name: what errors call it.

    Returns:
        Points, shape (n, 4): x, y, z in metres, and reflectance from 0 to 1.

    Raises:
        DataError: the size is no multiple of 16 bytes, fewer than 16 points, NaN or infinity in a
            point, a reflectance outside 0 to 1, a coordinate beyond 1000 m, or none beyond 0.1 m.
    """
    content = file.read()
    if len(content) % _POINT_BYTES:
        raise DataError(
            f"{name}: {len(content):,} bytes cannot be divided into points of {_POINT_BYTES}; "
            "fetch it again, or write float32 x, y, z, reflectance"
        )
    scan = np.frombuffer(content, dtype="<f4").reshape(-1, 4)
    if len(scan) < MIN_POINTS:
        raise DataError(
            f"{name}: a scan of {len(scan)} points; at least {MIN_POINTS} are needed, so drop its "
            f"row"
        )
    wrong = int(np.count_nonzero(~np.isfinite(scan).all(axis=1)))
    if wrong:
        raise DataError(
            f"{name}: {wrong} of {len(scan)} points hold NaN or infinity; does the file hold "
            f"something else than float32 x, y, z, reflectance?"
        )
    _check_plausible(scan, name)
    return scan


def _check_plausible(scan: Scan, name: str) -> None:
    low, high = float(scan[:, 3].min()), float(scan[:, 3].max())
    farthest = float(np.abs(scan[:, :3]).max())
    if low < 0 or high > 1 or farthest > MAX_METRES:
        raise DataError(
            f"{name}: reflectance from {low:g} to {high:g} and points up to {farthest:,.0f} m "
            f"away; expected [0, 1] and at most {MAX_METRES:,} m. Does a point have other "
            f"values than x, y, z, reflectance (nuScenes has five), or a reflectance up to 255? "
            f"Write float32 x, y, z and reflectance / 255"
        )
    if farthest < MIN_METRES:
        raise DataError(
            f"{name}: no point is farther than {farthest:.2g} m from the sensor; the file is "
            f"perhaps text or whole numbers, or in kilometres. Write float32 x, y, z in metres and "
            f"reflectance"
        )


def _at_sensor(scan: Scan) -> float:
    """The share of points next to the sensor; those at its place are returns that it missed."""
    farthest = np.abs(scan[:, :3]).max(axis=1)
    near = int(np.count_nonzero((farthest > 0) & (farthest <= _AT_SENSOR)))
    return near / max(int(np.count_nonzero(farthest)), 1)


@dataclass(frozen=True)
class Sensor:
    """A turning lidar sensor; the defaults are those of KITTI's Velodyne HDL-64E.

    Attributes:
        fov_up: elevation of the highest beam, in degrees.
        fov_down: elevation of the lowest beam, in degrees.
        rows: beams.
        columns: steps of a turn, a multiple of 4.
        max_range: points farther away are left out, in metres.
    """

    fov_up: float = 2.0
    fov_down: float = -24.9
    rows: int = 64
    columns: int = 1024
    max_range: float = 80.0


_VELODYNE = Sensor()


def range_image(scan: Scan, sensor: Sensor = _VELODYNE) -> NDArray[np.uint8]:
    """The scan as the sensor saw it, folded so that a square encoder sees all of it.

    A point at azimuth a = atan2(y, x) and elevation e falls in column (1 - a / pi) / 2 * columns
    and row (fov_up - e) / (fov_up - fov_down) * rows; points outside the field of view are left
    out, and the nearest of a cell counts. Columns run from behind over the left, the front (the
    middle column) and the right to behind. The panorama is cut into four sectors of columns, laid
    below each other.

    Red is 1 - range / max_range, green is height (z from -2 to 2 m), blue is reflectance (0 to 1);
    a cell without a point is black.

    Args:
        scan: points (n, 4).
        sensor: what saw them.

    Returns:
        Shape (4 * rows, columns / 4, 3).

    Source: the spherical projection of Milioto et al., RangeNet++ (IROS 2019).
    """
    rows, columns = sensor.rows, sensor.columns
    distance = np.linalg.norm(scan[:, :3].astype(np.float64), axis=1)
    seen = (distance > 0) & (distance <= sensor.max_range)
    x, y, z, reflectance = (column[seen].astype(np.float64) for column in scan.T)
    distance = distance[seen]
    elevation = np.degrees(np.arcsin(z / distance))
    row = np.floor((sensor.fov_up - elevation) / (sensor.fov_up - sensor.fov_down) * rows).astype(
        int
    )
    column = np.floor((1 - np.arctan2(y, x) / np.pi) / 2 * columns).astype(int) % columns
    inside = (row >= 0) & (row < rows)
    far_first = np.argsort(-distance[inside], kind="stable")  # so that the nearest is written last
    cells = (row[inside][far_first], column[inside][far_first])
    panorama = np.zeros((rows, columns, 3))
    values = np.stack([1 - distance / sensor.max_range, _height(z), reflectance], axis=1)
    panorama[cells] = values[inside][far_first]
    return _as_bytes(np.concatenate(np.split(panorama, SECTORS, axis=1)))


def bird_view(scan: Scan, extent: float = 40.0) -> NDArray[np.uint8]:
    """The scan from above: a square around the sensor in 256 x 256 cells, forward is up.

    A point at (x, y) falls in row (extent - x) / (2 extent) * 256 and column (extent - y) / (2
    extent) * 256. Red is the greatest height in the cell (z from -2 to 2 m), green its greatest
    reflectance (0 to 1), blue its density min(1, log(1 + points) / log 64).

    Args:
        scan: points (n, 4).
        extent: half the square's side, in metres.

    Returns:
        Shape (256, 256, 3).

    Source: the channels of Chen et al., MV3D (CVPR 2017).
    """
    x, y, z, reflectance = (column.astype(np.float64) for column in scan.T)
    cell = 2 * extent / BIRD_CELLS
    row, column = (np.floor((extent - axis) / cell).astype(int) for axis in (x, y))
    inside = (row >= 0) & (row < BIRD_CELLS) & (column >= 0) & (column < BIRD_CELLS)
    cells = row[inside] * BIRD_CELLS + column[inside]
    channels = np.zeros((3, BIRD_CELLS * BIRD_CELLS))
    np.maximum.at(channels[0], cells, _height(z[inside]))
    np.maximum.at(channels[1], cells, reflectance[inside])
    counts = np.bincount(cells, minlength=BIRD_CELLS * BIRD_CELLS)
    channels[2] = np.minimum(1, np.log1p(counts) / np.log(64))
    return _as_bytes(channels.T.reshape(BIRD_CELLS, BIRD_CELLS, 3))


def project(
    scan: Scan, projection: Projection, extent: float = 40.0, sensor: Sensor = _VELODYNE
) -> "Image":
    """The scan as an RGB image; see `range_image` and `bird_view`.

    Args:
        scan: points (n, 4).
        projection: range, as the sensor saw it; or bird, from above.
        extent: of the bird's view: half the square's side, in metres.
        sensor: of the range image: what saw the points.

    Returns:
        A picture.
    """
    from PIL import Image

    return Image.fromarray(
        range_image(scan, sensor) if projection == "range" else bird_view(scan, extent)
    )


def _height(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return (z - LOW) / (HIGH - LOW)


def _as_bytes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
