from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from blemish.data import decode
from blemish.data.decode import bit_depth, image_size, intensity_range, load_square, read_image, square
from blemish.errors import ImageError

pytestmark = pytest.mark.core

GREY = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))  # 16 × 24
COLOUR = np.dstack([GREY, GREY.max() - GREY, np.full_like(GREY, 40)])


def rgb(values: Any) -> Image.Image:
    return Image.fromarray(np.asarray(values, dtype=np.uint8))


def tinted(alpha: int) -> Image.Image:
    image = rgb(COLOUR)
    image.putalpha(alpha)
    return image


@pytest.mark.parametrize(
    ("name", "image", "options", "expected", "tolerance"),
    [
        pytest.param("x.png", rgb(COLOUR), {}, COLOUR, 0, id="RGB"),
        pytest.param("x.bmp", rgb(COLOUR), {}, COLOUR, 0, id="BMP"),
        pytest.param("x.ppm", rgb(COLOUR), {}, COLOUR, 0, id="PPM"),
        pytest.param("x.webp", rgb(COLOUR), {"lossless": True}, COLOUR, 0, id="WebP"),
        pytest.param("x.png", rgb(GREY), {}, GREY, 0, id="grey"),
        pytest.param("x.pgm", rgb(GREY), {}, GREY, 0, id="PGM"),
        pytest.param("x.jpg", rgb(GREY), {"quality": 100}, GREY, 3, id="grey JPEG"),
        pytest.param("x.jpg", rgb(COLOUR).convert("CMYK"), {"quality": 100}, COLOUR, 12, id="CMYK JPEG"),
        pytest.param("x.tif", rgb(COLOUR).convert("CMYK"), {}, COLOUR, 1, id="CMYK TIFF"),
        pytest.param(
            "x.png", rgb(GREY > 99).point(lambda v: 255 * v).convert("1"), {}, 255 * (GREY > 99), 0, id="1 bit"
        ),
        pytest.param("x.png", rgb(GREY).convert("P"), {}, GREY, 0, id="palette"),
        pytest.param("x.png", tinted(255), {}, COLOUR, 0, id="opaque RGBA"),
        pytest.param("x.png", tinted(0), {}, np.full_like(COLOUR, 255), 0, id="transparent RGBA becomes white"),
        pytest.param("x.png", tinted(128), {}, 127 + COLOUR / 2, 2, id="half transparent"),
        pytest.param("x.png", tinted(0).convert("LA"), {}, np.full_like(GREY, 255), 0, id="transparent grey"),
        pytest.param(
            "x.png",
            rgb(GREY).convert("P"),
            {"transparency": bytes([0] * 256)},
            np.full_like(GREY, 255),
            0,
            id="transparent palette",
        ),
        pytest.param("x.png", Image.fromarray(GREY.astype(np.uint16) * 257), {}, GREY, 0, id="16-bit PNG"),
        pytest.param("x.tif", Image.fromarray(GREY.astype(np.uint16) * 257), {}, GREY, 0, id="16-bit TIFF"),
        pytest.param("x.tif", Image.fromarray(GREY.astype(np.int32) * 257), {}, GREY, 0, id="32-bit TIFF"),
        pytest.param("x.tif", Image.fromarray(GREY.astype(np.float32) / 255), {}, GREY, 0, id="float TIFF"),
        pytest.param("x.png", rgb(COLOUR), {"format": "BMP"}, COLOUR, 0, id="a wrong suffix does not matter"),
    ],
)
def test_modes(tmp_path: Path, name: str, image: Image.Image, options: Any, expected: Any, tolerance: int) -> None:
    image.save(tmp_path / name, **options)

    pixels = read_image(tmp_path / name)
    small = load_square(tmp_path / name, 8)

    assert pixels.dtype == small.dtype == np.uint8
    assert pixels.shape == (16, 24, 3)
    assert small.shape == (8, 8, 3)
    assert pixels.flags.writeable
    assert small.flags.writeable
    expected = np.asarray(expected) if np.ndim(expected) == 3 else np.dstack([expected] * 3)
    assert np.abs(pixels.astype(float) - expected).max() <= tolerance
    assert np.array_equal(small, square(pixels, 8))
    assert image_size(tmp_path / name) == (24, 16)
    content = (tmp_path / name).read_bytes()
    assert np.array_equal(read_image(content), pixels)
    assert np.array_equal(load_square(content, 8), small)
    assert image_size(content) == (24, 16)


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif", "x.webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, name: str, orientation: int) -> None:
    corners = np.zeros((16, 24), dtype=np.uint8)
    corners[:8, :12], corners[:8, 12:], corners[8:, :12] = 60, 120, 180
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgb(np.dstack([corners] * 3)).save(tmp_path / name, exif=exif, quality=100)
    # the EXIF standard: where row 0 and column 0 of the stored image are shown
    turned = {
        1: corners,
        2: corners[:, ::-1],
        3: corners[::-1, ::-1],
        4: corners[::-1],
        5: corners.T,
        6: np.rot90(corners, -1),
        7: corners[::-1, ::-1].T,
        8: np.rot90(corners),
    }[orientation]

    pixels = read_image(tmp_path / name)

    assert pixels.shape[:2] == turned.shape
    assert np.abs(pixels[..., 0].astype(int) - turned).max() < 30
    assert image_size(tmp_path / name) == turned.shape[::-1]
    assert np.abs(load_square(tmp_path / name, 8).astype(int) - square(pixels, 8)).max() <= 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_matter(tmp_path: Path) -> None:
    rgb(COLOUR).save(tmp_path / "x.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", quality=100)

    assert read_image(tmp_path / "x.jpg").shape == (16, 24, 3)


def png_header(width: int, height: int) -> bytes:
    """A PNG of any size in a few bytes: its pixels are missing."""
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + body
    header = struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 100) + b"IDAT"


def saved(image: Image.Image, name: str, keep: float = 1.0, **options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        image.save(folder / name, **options)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(keep * len(content))])
        return folder / name

    return make


def written(content: bytes, name: str = "x.png") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


NOISE = rgb(np.random.default_rng(0).integers(0, 256, (64, 64, 3)))
NAN = np.full((16, 16), np.nan, dtype=np.float32)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda folder: folder / "nowhere.png", "There is no file", id="missing"),
        pytest.param(lambda folder: folder, "cannot be read", id="a folder"),
        pytest.param(written(b""), "is empty", id="empty"),
        pytest.param(written(b"not an image at all"), "is not an image", id="text"),
        pytest.param(written(b"GIF89a" + b"\0" * 50, "x.gif"), "is not an image", id="another format"),
        pytest.param(written(b"\x89PNG\r\n\x1a\n"), "damaged or cut off", id="signature only"),
        pytest.param(written(b"\xff\xd8\xff\xe0" + b"\0" * 40, "x.jpg"), "damaged or cut off", id="JPEG of zeros"),
        pytest.param(written(b"II*\0\x08\0\0\0\xff\xff", "x.tif"), "damaged or cut off", id="TIFF directory cut"),
        pytest.param(written(b"P6 99", "x.ppm"), "damaged or cut off", id="PPM header cut"),
        pytest.param(written(b"BM" + b"\xff" * 60, "x.bmp"), "damaged or cut off", id="BMP of ones"),
        pytest.param(written(b"RIFF\x20\0\0\0WEBPVP8 " + b"\0" * 20, "x.webp"), "damaged", id="WebP of zeros"),
        pytest.param(saved(NOISE, "x.png", 0.5), "damaged or cut off", id="half a PNG"),
        pytest.param(saved(NOISE, "x.jpg", 0.5), "damaged or cut off", id="half a JPEG"),
        pytest.param(saved(NOISE, "x.bmp", 0.5), "damaged or cut off", id="half a BMP"),
        pytest.param(saved(NOISE, "x.tif", 0.5), "damaged or cut off", id="half a TIFF"),
        pytest.param(saved(NOISE, "x.webp", 0.5), "damaged or cut off", id="half a WebP"),
        pytest.param(saved(NOISE, "x.ppm", 0.5), "damaged or cut off", id="half a PPM"),
        pytest.param(saved(NOISE.crop((0, 0, 1, 1)), "x.png"), "1 × 1 pixels, less than 8", id="one pixel"),
        pytest.param(saved(NOISE.crop((0, 0, 64, 7)), "x.png"), "64 × 7 pixels, less than 8", id="a strip"),
        pytest.param(written(png_header(20_000, 10_001)), "more than the 200 million", id="bomb"),
        pytest.param(written(png_header(2**31 - 1, 2**31 - 1)), "more than the 200 million", id="huge bomb"),
        pytest.param(saved(Image.fromarray(NAN), "x.tif"), "not finite", id="not a number"),
    ],
)
@pytest.mark.parametrize("read", [read_image, lambda path: load_square(path, 8)], ids=["read_image", "load_square"])
def test_bad_files(tmp_path: Path, make: Callable[[Path], Path], words: str, read: Callable[[Path], Any]) -> None:
    path = make(tmp_path)

    with pytest.raises(ImageError) as caught:
        read(path)

    assert str(path) in caught.value.message
    assert words in caught.value.message
    assert caught.value.remedy
    if path.is_file():
        with pytest.raises(ImageError) as caught:
            read(path.read_bytes())
        assert caught.value.message.startswith("The image ")
        assert words in caught.value.message


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1), noise=st.binary(min_size=1, max_size=8), keep=st.floats(0.3, 1))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp", "pgm"])
def test_any_damage_is_read_or_refused_politely(
    tmp_path: Path, suffix: str, position: float, noise: bytes, keep: float
) -> None:
    path = tmp_path / f"x.{suffix}"
    rgb(GREY).save(path)
    content = bytearray(path.read_bytes())
    start = int(position * len(content))
    content[start : start + len(noise)] = noise
    path.write_bytes(content[: max(1, int(keep * len(content)))])

    shape, message = None, ""
    try:
        shape = read_image(path).shape
    except ImageError as error:
        message = error.message

    assert str(path) in message or (shape is not None and len(shape) == 3)


def test_an_image_larger_than_pillow_allows_is_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    NOISE.save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 16)

    assert read_image(tmp_path / "x.png").shape == (64, 64, 3)
    with pytest.raises(ImageError, match=r"more than the 0\.001 million allowed"):
        read_image(tmp_path / "x.png", max_pixels=1000)


def test_a_decoder_that_runs_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    NOISE.save(tmp_path / "x.png")

    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(decode, "_eight_bit", fail)
    with pytest.raises(ImageError, match="not enough memory to read"):
        read_image(tmp_path / "x.png")


def deep(values: Any, dtype: Any = np.uint16) -> Image.Image:
    return Image.fromarray(np.broadcast_to(np.asarray(values, dtype=dtype), (8, 8)).copy())


@pytest.mark.parametrize(
    ("image", "scale", "expected"),
    [
        (deep([1000, 2000] * 4), (1000, 2000), [0, 255]),
        (deep([1000, 1500] * 4), (1000, 2000), [0, 128]),
        (deep([0, 9000] * 4), (1000, 2000), [0, 255]),
        (deep([0, 65535] * 4), None, [0, 255]),
        (deep([7, 7] * 4), (7, 7), [0, 0]),
        (deep([-5, 5] * 4, np.int32), (-5, 5), [0, 255]),
        (deep([-1, 3] * 4, np.float32), (-1, 3), [0, 255]),
        (rgb(np.full((8, 8), 9)), (0, 1), [9, 9]),
    ],
)
def test_deep_images_are_scaled_by_the_given_range(tmp_path: Path, image: Any, scale: Any, expected: Any) -> None:
    image.save(tmp_path / "x.tif")

    assert read_image(tmp_path / "x.tif", intensity_range=scale)[0, :2, 0].tolist() == expected
    assert load_square(tmp_path / "x.tif", 8, scale)[0, :2, 0].tolist() == expected


@pytest.mark.parametrize(
    ("images", "expected", "depths"),
    [
        ([rgb(np.full((8, 8), 9))], None, [8]),
        ([deep([1000, 2000] * 4)], (900, 2100), [16]),
        ([deep([1000, 1500] * 4), deep([1200, 2000] * 4), rgb(np.full((8, 8), 9))], (900, 2100), [16, 16, 8]),
        ([deep([0, 65535] * 4)], (0, 65535), [16]),
        ([deep([5, 5] * 4)], (5, 6), [16]),
        ([deep([-100, 100] * 4, np.int32)], (-100, 120), [32]),
        ([deep([0.0, 1.0] * 4, np.float32)], (-1, 2), [32]),
    ],
)
def test_range_of_deep_images(tmp_path: Path, images: Any, expected: Any, depths: list[int]) -> None:
    paths = [tmp_path / f"{index}.tif" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        image.save(path)

    assert intensity_range([*paths, tmp_path / "nowhere.tif"]) == expected
    assert [bit_depth(path) for path in paths] == depths


@pytest.mark.parametrize("quality", [80, 95])
def test_a_large_jpeg_decoded_small_is_close_to_the_whole(tmp_path: Path, quality: int) -> None:
    y, x = np.mgrid[:900, :1300]
    waves = 127 + 60 * np.sin(x / 40) + 60 * np.cos(y / 25 + x / 200)
    rgb(np.dstack([waves, waves[::-1], waves[:, ::-1]])).save(tmp_path / "x.jpg", quality=quality)

    small = load_square(tmp_path / "x.jpg", 64)

    difference = np.abs(small.astype(int) - square(read_image(tmp_path / "x.jpg"), 64))
    assert difference.max() <= 6
    assert difference.mean() < 1
    assert np.array_equal(small, load_square(tmp_path / "x.jpg", 64))


@pytest.mark.parametrize("pixels", [np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8), np.float32), np.zeros(8, np.uint8)])
def test_square_refuses_other_arrays(pixels: Any) -> None:
    with pytest.raises(ImageError, match="must be uint8"):
        square(pixels, 4)


def test_square_takes_grey() -> None:
    assert np.array_equal(square(GREY, 8), square(np.dstack([GREY] * 3), 8))
