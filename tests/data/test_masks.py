from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from blemish.data.masks import read_mask, resize_mask
from blemish.errors import ImageError
from blemish.regions import label

pytestmark = pytest.mark.core

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
SIZES = st.integers(1, 9)


def coverage(mask: NDArray[np.bool_], size: int) -> NDArray[np.int64]:
    """Covered area of each cell by drawing everything `size` times larger; a whole cell has the area of the mask."""
    height, width = mask.shape
    fine = np.kron(mask, np.ones((size, size), dtype=np.int64))
    return np.asarray(fine.reshape(size, height, size, width).sum(axis=(1, 3)))


@settings(deadline=None)
@given(mask=MASKS, size=SIZES)
def test_half_coverage_decides_and_only_saved_regions_come_on_top(mask: NDArray[np.bool_], size: int) -> None:
    resized = resize_mask(mask, size)

    half = 2 * coverage(mask, size) >= mask.size
    assert resized.shape == (size, size)
    assert resized.dtype == np.bool_
    assert (resized >= half).all()
    labels, count = label(mask)
    saved = []
    for number in range(1, count + 1):
        own = coverage(labels == number, size)
        assert (resized & (own > 0)).any()
        if not (half & (own > 0)).any():
            saved.append(tuple(np.argwhere(own == own.max())[0].tolist()))
    assert {tuple(cell) for cell in np.argwhere(resized & ~half).tolist()} == set(saved)


@settings(deadline=None)
@given(mask=MASKS)
def test_the_same_size_changes_nothing(mask: NDArray[np.bool_]) -> None:
    square = mask[: min(mask.shape), : min(mask.shape)]

    resized = resize_mask(square, len(square))

    assert np.array_equal(resized, square)
    assert resized is not square


@settings(deadline=None)
@given(mask=MASKS, factor=st.integers(1, 4))
def test_whole_enlargement_repeats_pixels(mask: NDArray[np.bool_], factor: int) -> None:
    square = mask[: min(mask.shape), : min(mask.shape)]

    assert np.array_equal(resize_mask(square, factor * len(square)), np.kron(square, np.ones((factor, factor), bool)))


@pytest.mark.parametrize(("shape", "size"), [((512, 512), 32), ((300, 700), 32), ((20, 30), 224)])
def test_a_single_pixel_never_vanishes(shape: tuple[int, int], size: int) -> None:
    for y, x in ((0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 3)):
        mask = np.zeros(shape, dtype=np.bool_)
        mask[y, x] = True

        resized = resize_mask(mask, size)

        rows, columns = np.nonzero(resized)
        assert len(rows) >= 1
        assert np.abs((rows + 0.5) / size - (y + 0.5) / shape[0]).max() <= 0.5 / size + 0.5 / shape[0]
        assert np.abs((columns + 0.5) / size - (x + 0.5) / shape[1]).max() <= 0.5 / size + 0.5 / shape[1]


DRAWN = np.zeros((10, 12), dtype=np.uint8)
DRAWN[2:4, 3:7] = 1
TRUE = DRAWN > 0


def with_alpha(alpha: Any) -> Image.Image:
    image = Image.fromarray(np.full((10, 12, 3), 255, dtype=np.uint8))
    image.putalpha(Image.fromarray((255 * np.asarray(alpha)).astype(np.uint8)))
    return image


def palette(colours: bytes) -> Image.Image:
    image = Image.fromarray(DRAWN).convert("P")
    image.putdata(DRAWN.ravel().tolist())
    image.putpalette(colours)
    return image


@pytest.mark.parametrize(
    ("name", "image"),
    [
        pytest.param("x.png", Image.fromarray(DRAWN), id="one is enough"),
        pytest.param("x.png", Image.fromarray(255 * DRAWN), id="255"),
        pytest.param("x.png", Image.fromarray(255 * DRAWN).convert("1"), id="1 bit"),
        pytest.param("x.png", Image.fromarray(DRAWN.astype(np.uint16) * 256), id="16 bit"),
        pytest.param("x.png", Image.fromarray(np.dstack([0 * DRAWN, 0 * DRAWN, DRAWN])), id="blue"),
        pytest.param("x.png", with_alpha(TRUE), id="drawn on a transparent layer"),
        pytest.param("x.png", palette(bytes([0, 0, 0, 255, 0, 0])), id="palette"),
        pytest.param("x.png", palette(bytes([255, 255, 255, 0, 0, 0])), id="palette of other colours"),
        pytest.param("x.bmp", Image.fromarray(255 * DRAWN), id="BMP"),
        pytest.param("x.jpg", Image.fromarray(255 * DRAWN), id="JPEG with smeared edges"),
    ],
)
def test_read_mask(tmp_path: Path, name: str, image: Image.Image) -> None:
    image.save(tmp_path / name)

    mask = read_mask(tmp_path / name)

    assert mask.dtype == np.bool_
    assert np.array_equal(mask, TRUE)


def test_a_mask_is_turned_by_its_own_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(255 * DRAWN).save(tmp_path / "x.png", exif=exif)

    assert np.array_equal(read_mask(tmp_path / "x.png"), np.rot90(TRUE, -1))


def test_a_bad_mask_is_named(tmp_path: Path) -> None:
    (tmp_path / "x_mask.png").write_bytes(b"no mask")

    with pytest.raises(ImageError, match=r"x_mask\.png is not an image"):
        read_mask(tmp_path / "x_mask.png")
