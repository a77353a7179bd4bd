"""Lidar: scans by a small ray caster in KITTI's file format, projections against points worked
out by hand, and a whole fit.
"""

import io

import numpy as np
import pytest
import tiny_models
import torch

from csa import CSA
from csa.datasets.ingest import ingest
from csa.datasets.items import item_loader
from csa.encoders.registry import load_encoder
from csa.errors import DataError, ParamsError
from csa.modalities.lidar import Sensor, bird_view, decode_scan, project, range_image
from csa.params.schema import Params
from csa.params.views import LidarParams, ViewParams

SENSOR_HEIGHT = 1.73


def cast(boxes, beams=32, steps=256, far=60.0):
    """What a turning sensor above flat ground sees of boxes (x, y, width, height): points (n,
    4), nearest hit of every ray.
    """
    azimuth = np.linspace(-np.pi, np.pi, steps, endpoint=False) + np.pi / steps
    elevation = np.radians(np.linspace(1.5, -24.0, beams))
    a, e = (grid.ravel() for grid in np.meshgrid(azimuth, elevation))
    rays = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = -SENSOR_HEIGHT / rays[:, 2]
        distance, reflectance = np.where(ground > 0, ground, np.inf), np.full(len(rays), 0.2)
        for x, y, width, height in boxes:
            low = np.array([x - width / 2, y - width / 2, -SENSOR_HEIGHT])
            high = low + np.array([width, width, height])
            near, away = np.sort(np.stack([low / rays, high / rays]), axis=0)
            enter, leave = near.max(axis=1), away.min(axis=1)
            hit = (enter <= leave) & (enter > 0) & (enter < distance)
            distance[hit], reflectance[hit] = enter[hit], 0.9
    seen = distance < far
    return np.column_stack([rays[seen] * distance[seen, None], reflectance[seen]]).astype("<f4")


def decoded(content):
    return decode_scan(io.BytesIO(content), "000000.bin")


def test_a_scan_comes_back():
    scan = cast([(10, 0, 4, 3)])
    np.testing.assert_array_equal(decoded(scan.tobytes()), scan)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "a scan of 0 points"),
        (cast([]).tobytes()[:-3], "cannot be divided into points"),
        (cast([]).tobytes()[: 16 * 5], "a scan of 5 points"),
        (np.full((20, 4), np.nan, "<f4").tobytes(), "20 of 20 points hold NaN"),
        (np.zeros((20, 4), "<f4").tobytes(), "no point is farther than 0 m"),
        (b"12.50 3.25 1.75\n" * 20, "the file is perhaps text or whole numbers"),
        (np.arange(80, dtype="<i4").tobytes(), "the file is perhaps text or whole numbers"),
        ((cast([]) * [1e-3, 1e-3, 1e-3, 1]).astype("<f4").tobytes(), "or in kilometres"),
    ],
)
def test_what_is_no_scan_is_one_clear_line(content, words):
    with pytest.raises(DataError, match=words):
        decoded(content)


def cell_of_range(point):
    """(row, column) of the one lit cell in the unfolded panorama."""
    image = range_image(np.array([point], dtype=np.float32))
    assert image.shape == (256, 256, 3)
    panorama = np.concatenate(np.split(image, 4), axis=1)
    (row,), (column,) = np.nonzero(panorama.any(axis=2))
    return int(row), int(column), panorama[row, column].tolist()


def test_points_fall_where_the_range_projection_says():
    # Straight ahead and level: column (1 - 0) / 2 * 1024, row 2 / 26.9 * 64 = 4.76; 20 m of 80,
    # height (0 + 2) / 4.
    assert cell_of_range([20, 0, 0, 0.5]) == (4, 512, [round(0.75 * 255), 128, 128])
    # To the left, a quarter turn: (1 - 0.5) / 2 * 1024.
    assert cell_of_range([0, 20, 0, 0])[:2] == (4, 256)
    assert cell_of_range([0, -20, 0, 0])[:2] == (4, 768)
    assert cell_of_range([-20, 1e-6, 0, 0])[:2] == (4, 0)
    # 10 degrees down: row 12 / 26.9 * 64 = 28.55.
    assert cell_of_range([20, 0, -20 * np.tan(np.radians(10)), 0])[0] == 28


def test_range_image_leaves_out_what_the_sensor_cannot_see_and_keeps_the_nearest():
    out = np.array([[0, 0, 0, 1], [100, 0, 0, 1], [10, 0, 5, 1], [10, 0, -9, 1]], dtype=np.float32)
    assert not range_image(out).any()
    near, far = [10, 0, 0, 0.2], [40, 0, 0, 0.9]
    for order in ([near, far], [far, near]):
        image = range_image(np.array(order, dtype=np.float32))
        assert image.reshape(-1, 3)[image.any(axis=2).ravel()].tolist() == [
            [round(0.875 * 255), 128, 51]
        ]


def test_another_sensor_has_other_beams():
    sensor = Sensor(fov_up=15.0, fov_down=-15.0, rows=16, columns=512, max_range=30.0)
    image = range_image(cast([]), sensor)
    assert image.shape == (64, 128, 3)


def test_points_fall_where_the_bird_projection_says():
    # x = 10 m ahead: row (40 - 10) / 80 * 256 = 96; y = 5 m left: column (40 - 5) / 80 * 256 = 112.
    points = [[10, 5, 1, 0.25], [10.1, 4.9, -1, 0.75], [50, 0, 0, 1]]
    image = bird_view(np.array(points, dtype=np.float32))
    rows, columns = np.nonzero(image.any(axis=2))
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {(96, 112), (95, 112)}
    assert image[96, 112].tolist() == [
        round(0.75 * 255),
        round(0.25 * 255),
        round(np.log(2) / np.log(64) * 255),
    ]


def test_two_points_of_a_cell_give_the_greatest_height_and_reflectance():
    image = bird_view(np.array([[10.1, 4.9, 1, 0.25], [10.15, 4.85, -1, 0.75]], dtype=np.float32))
    assert image[95, 112].tolist() == [191, 191, round(np.log(3) / np.log(64) * 255)]


SIDES = {"ahead": (1, 0), "behind": (-1, 0), "on the left": (0, 1), "on the right": (0, -1)}


@pytest.fixture
def streets(tmp_path):
    """160 scans of a street with one box, and a sentence that says where it stands and how tall
    it is.
    """
    rng = np.random.default_rng(0)
    rows = ["frame,caption"]
    (tmp_path / "training" / "velodyne").mkdir(parents=True)
    for i in range(160):
        side = list(SIDES)[i % 4]
        size, height = ("truck", 3.5) if i // 4 % 2 else ("car", 1.5)
        distance = rng.uniform(6, 14)
        x, y = (distance * axis + rng.uniform(-1, 1) for axis in SIDES[side])
        clutter = [(*rng.uniform(18, 40, 2) * rng.choice([-1, 1], 2), 2, 2) for _ in range(3)]
        (tmp_path / "training" / "velodyne" / f"{i:06d}.bin").write_bytes(
            cast([(x, y, 3, height), *clutter]).tobytes()
        )
        rows.append(f"training/{i:06d},a {size} {side}")
    (tmp_path / "captions.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.mark.parametrize("projection", ["range", "bird"])
def test_a_scan_is_matched_with_its_sentence(streets, projection):
    params = Params.from_mapping(
        {
            "dataset": {"kind": "kitti", "path": str(streets)},
            "views": {
                "lidar": {
                    "modality": "lidar",
                    "encoder": "efficientnet-lite0",
                    "lidar": {"projection": projection},
                },
                "text": {"modality": "text", "encoder": "minilm-l6-v2"},
            },
        }
    )
    pairs = ingest(params, streets, progress=False).pairs
    load = item_loader(params.views["lidar"], streets, 1)
    X = load_encoder(params.views["lidar"]).encode([load(value) for value in pairs["lidar"]])
    texts, row = np.unique(pairs["text"].to_numpy(), return_inverse=True)
    T = load_encoder(params.views["text"]).encode(texts.tolist())
    train = pairs["split"].to_numpy() == "train"
    model = CSA(shrinkage=(0.3, 0.1), score="canonical", n_components=7).fit(
        X[train], T[row[train]]
    )
    right = model.similarity(X[~train], T).argmax(axis=1) == row[~train]
    assert right.mean() > 0.6  # of 8 sentences: 0.125 by chance


def test_a_lidar_encoder_is_the_image_encoder_on_the_projection(tmp_path):
    torch.manual_seed(0)
    tiny_models.vit(tmp_path)
    scans = [decoded(cast([(10, k, 4, 3)]).tobytes()) for k in range(3)]
    settings = {"encoder": str(tmp_path), "batch_size": 2}
    image = load_encoder(ViewParams(modality="image", **settings))
    for projection in ("range", "bird"):
        view = ViewParams(modality="lidar", lidar=LidarParams(projection=projection), **settings)
        lidar = load_encoder(view)
        np.testing.assert_array_equal(
            lidar.encode(scans), image.encode([project(scan, projection) for scan in scans])
        )
        np.testing.assert_array_equal(lidar.encode(scans[1:2])[0], lidar.encode(scans)[1])
        assert lidar.fingerprint != image.fingerprint


def test_the_fingerprint_covers_what_the_projection_uses_and_no_more():
    def fingerprint(**lidar):
        view = ViewParams(
            modality="lidar", encoder="efficientnet-lite0", lidar=LidarParams(**lidar)
        )
        return load_encoder(view).fingerprint

    assert fingerprint() == fingerprint(extent=20.0)
    assert (
        len(
            {
                fingerprint(),
                fingerprint(rows=32),
                fingerprint(projection="bird"),
                fingerprint(projection="bird", extent=20.0),
            }
        )
        == 4
    )


def test_lidar_settings_are_checked():
    with pytest.raises(ParamsError, match="fov_up must be above fov_down"):
        views = {
            "a": {"modality": "lidar", "encoder": "efficientnet-lite0", "lidar": {"fov_up": -30.0}}
        }
        Params.from_mapping({"views": views})
    with pytest.raises(ParamsError, match="for modality: lidar alone"):
        Params.from_mapping(
            {"views": {"a": {"modality": "image", "encoder": "efficientnet-lite0", "lidar": {}}}}
        )
