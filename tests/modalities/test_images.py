"""Opening images: every mode to RGB, every damage to one clear error."""

import io
import random
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from csa.errors import DataError
from csa.modalities.image import NO_LOOK, decode_image, look_of, open_image

LIMIT = 1_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF", "PPM")


def noise(height=40, width=50, seed=0):
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    )


def encoded(fmt, image=None, **options):
    buffer = io.BytesIO()
    (image or noise()).save(buffer, fmt, **options)
    return buffer.getvalue()


def stored(tmp_path, content, name="picture.png"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def opened(tmp_path, fmt, image, **options):
    return np.asarray(open_image(stored(tmp_path, encoded(fmt, image, **options)), LIMIT))


def png_header(width, height):
    """A PNG that claims to be of this size and holds next to nothing."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", size)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_opens_as_rgb_whatever_the_name(tmp_path, fmt):
    image = open_image(stored(tmp_path, encoded(fmt), "name.without.meaning"), LIMIT)
    assert (image.mode, image.size) == ("RGB", (50, 40))


def test_lossless_colours_are_kept(tmp_path):
    np.testing.assert_array_equal(opened(tmp_path, "PNG", noise()), np.asarray(noise()))


def test_transparency_is_white(tmp_path):
    rgba = np.zeros((2, 2, 4), dtype=np.uint8)
    rgba[0, 0] = (255, 0, 0, 255)
    rgba[1, 1] = (0, 0, 0, 128)
    seen = opened(tmp_path, "PNG", Image.fromarray(rgba))
    assert seen[0, 0].tolist() == [255, 0, 0]
    assert seen[0, 1].tolist() == [255, 255, 255]
    assert abs(int(seen[1, 1, 0]) - 127) <= 1


def test_transparent_palette_and_grey_are_white(tmp_path):
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 0, 0, 255])
    assert (opened(tmp_path, "PNG", palette, transparency=1) == 255).all()
    assert opened(tmp_path, "PNG", palette)[0, 0].tolist() == [0, 0, 255]
    assert (opened(tmp_path, "PNG", Image.new("LA", (4, 4), (0, 0))) == 255).all()


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (30, 10), "white")
    image.paste("black", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be seen turned by 90 degrees clockwise
    seen = opened(tmp_path, "PNG", image, exif=exif)
    assert seen.shape == (30, 10, 3)
    assert seen[2, 5].tolist() == [0, 0, 0]
    assert seen[27, 5].tolist() == [255, 255, 255]


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for fmt in ("GIF", "WEBP", "PNG"):
        seen = opened(tmp_path, fmt, frames[0], save_all=True, append_images=frames[1:])
        assert seen[4, 4, 0] > 200 > 50 > seen[4, 4, 2], fmt


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    ramp = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    assert opened(tmp_path, "PNG", ramp)[0, :, 0].tolist() == [0, 128, 255]
    assert opened(tmp_path, "TIFF", ramp)[0, :, 1].tolist() == [0, 128, 255]


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floating_point_grey_is_scaled(tmp_path, white):
    ramp = Image.fromarray(np.array([[0, 0.5, 1, np.nan]], dtype=np.float32) * np.float32(white))
    assert opened(tmp_path, "TIFF", ramp)[0, :, 2].tolist() == [0, 128, 255, 0]


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "P", "YCbCr"])
def test_other_modes_become_rgb(tmp_path, mode):
    image = Image.new("RGB", (16, 16), "white").convert(mode)
    found = opened(tmp_path, "TIFF", image, compression="tiff_lzw")
    assert found.shape == (16, 16, 3) and found.min() > 250


def test_a_bomb_is_refused_by_its_header(tmp_path):
    path = stored(tmp_path, png_header(60_000, 60_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(
            DataError,
            match=r"60000 x 60000 = 3,600,000,000 pixels.*max_image_pixels \(50,000,000\)",
        ):
            open_image(path, 50_000_000)


def test_the_limit_is_ours_and_pillows_stays_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = stored(tmp_path, encoded("PNG"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(path, 2000).size == (50, 40)
        with pytest.raises(DataError, match="2,000 pixels"):
            open_image(path, 1999)
    assert Image.MAX_IMAGE_PIXELS == 100
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_truncated(tmp_path, fmt, kept):
    content = encoded(fmt)
    path = stored(tmp_path, content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=r"picture\.png.*(truncated or damaged|not an image)"):
        open_image(path, LIMIT)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello", r"not an image .* \(5 bytes\)"),
        (b"%!PS-Adobe-3.0", "not an image"),
    ],
)
def test_not_an_image(tmp_path, content, reason):
    with pytest.raises(DataError, match=reason):
        open_image(stored(tmp_path, content), LIMIT)


def test_missing_or_a_folder(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(DataError, match="no such image file"):
            open_image(path, LIMIT)


def test_random_damage_ends_in_an_image_or_one_line(tmp_path):
    dice = random.Random(0)
    refused = 0
    for fmt in FORMATS:
        sound = encoded(fmt)
        for _ in range(60):
            content = bytearray(sound)
            for _ in range(3):
                content[dice.randrange(min(len(content), 300))] = dice.randrange(256)
            path = stored(tmp_path, bytes(content))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    assert open_image(path, LIMIT).mode == "RGB"
            except DataError as error:
                refused += 1
                assert "\n" not in str(error)
    assert refused > 100


def test_an_open_file_is_decoded_and_named_as_given():
    content = encoded("PNG")
    np.testing.assert_array_equal(
        np.asarray(decode_image(io.BytesIO(content), "a/b.png", LIMIT)), np.asarray(noise())
    )
    with pytest.raises(DataError, match=r"^a/b.png: "):
        decode_image(io.BytesIO(content[:500]), "a/b.png", LIMIT)


def painted(seed):
    """A picture with large shapes and fine grain, as photos have."""
    rng = np.random.default_rng(seed)
    large = Image.fromarray(rng.integers(0, 255, (6, 8, 3), "u1")).resize((400, 300), 3)
    grain = rng.normal(0, 6, (300, 400, 3))
    return Image.fromarray((np.asarray(large) + grain).clip(0, 255).astype("u1"))


def again(picture, quality, size=1.0, light=1.0):
    buffer = io.BytesIO()
    small = picture.resize((int(picture.width * size), int(picture.height * size)))
    small.point(lambda value: min(255, value * light)).save(buffer, "JPEG", quality=quality)
    return decode_image(io.BytesIO(buffer.getvalue()), "again.jpg", 10**6)


@pytest.mark.parametrize("how", [(90,), (30,), (75, 0.5), (75, 0.34), (75, 1.0, 1.1)])
def test_a_picture_saved_again_looks_as_before(how):
    looks = [look_of(painted(seed)) for seed in range(8)]
    for seed, look in enumerate(looks):
        found = np.abs(np.stack(looks) - look_of(again(painted(seed), *how))).max(axis=1)
        assert found[seed] < 0.5 and np.delete(found, seed).min() > 2
        assert look.shape == NO_LOOK.shape


def test_a_picture_of_one_colour_looks_like_nothing():
    assert not look_of(Image.new("RGB", (50, 40), "teal")).any()


def test_threads_agree(tmp_path):
    paths = [stored(tmp_path, encoded("PNG", noise(seed=i)), f"{i}.png") for i in range(40)]
    before = Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda path: open_image(path, LIMIT), paths * 5))
    assert all(
        np.array_equal(np.asarray(image), np.asarray(noise(seed=i % 40)))
        for i, image in enumerate(images)
    )
    assert before == Image.MAX_IMAGE_PIXELS
