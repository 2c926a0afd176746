"""The painter: what changes, by how much, and where."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from blemish.data.priors.names import APPEARANCES, SHAPE_NAMES
from blemish.errors import SynthesisError
from blemish.procedural.seeding import generator
from blemish.procedural.textures import texture
from blemish.synthesis.painter import PAINTS, VISIBLE, margin, paint
from blemish.synthesis.painter.paint import change
from blemish.synthesis.shapes import SHAPES

SIZE = 96
Pixels = NDArray[np.uint8]


def image_of(kind: str, seed: int = 0, size: int = SIZE) -> Pixels:
    flat = {"black": 0, "white": 255, "middle": 127}
    if kind in flat:
        return np.full((size, size, 3), flat[kind], dtype=np.uint8)
    picture = texture(size, generator(seed, "painter"))
    if kind == "two-toned":
        return np.where(picture[:, :, :1] > np.median(picture), 255, 0).astype(np.uint8).repeat(3, axis=2)
    return picture if kind == "colour" else picture[:, :, :1].repeat(3, axis=2)


KINDS = ("black", "white", "middle", "two-toned", "colour", "grey")


def test_there_is_paint_for_every_appearance_that_a_priors_file_may_name() -> None:
    assert tuple(PAINTS) == tuple(APPEARANCES)


@settings(max_examples=150)
@given(
    appearance=st.sampled_from(tuple(PAINTS)),
    kind=st.sampled_from(KINDS),
    shape=st.sampled_from(SHAPE_NAMES),
    seed=st.integers(0, 10**6),
    size=st.sampled_from([32, 64, 96]),
)
def test_it_shows_and_keeps_to_its_mask(appearance: str, kind: str, shape: str, seed: int, size: int) -> None:
    image = image_of(kind, seed, size)
    mask = SHAPES[shape](size, np.ones((size, size), np.bool_), generator(seed, "mask"))
    before = image.copy()

    painted = paint(image, mask, appearance, generator(seed, "paint"))

    assert (image == before).all()
    assert painted.shape == image.shape
    assert painted.dtype == np.uint8
    assert change(image, painted, mask) >= VISIBLE
    if not mask.all():
        changed = (painted != image).any(axis=2)
        assert distance_transform_edt(~mask)[changed].max() <= margin(size)
    if kind != "colour":
        assert (painted == painted[:, :, :1]).all(), "grey stays grey"
    assert (painted == paint(image, mask, appearance, generator(seed, "paint"))).all()


@pytest.fixture
def blot() -> NDArray[np.bool_]:
    axis = np.arange(SIZE) - SIZE / 2
    return np.asarray(np.hypot(axis[:, None], axis[None, :]) < 14)


def test_what_it_looks_like(blot: NDArray[np.bool_]) -> None:
    image = image_of("middle")
    thin = np.zeros((SIZE, SIZE), dtype=np.bool_)
    thin[40:43, 10:80] = True
    for seed in range(6):
        rng = generator(seed, "look")
        assert paint(image, thin, "dark-stroke", rng)[thin].mean() < 110
        assert paint(image, thin, "bright-stroke", rng)[thin].mean() > 140
        assert paint(image, blot, "hole", rng)[blot].mean() < 90


def test_a_missing_part_shows_the_background(blot: NDArray[np.bool_]) -> None:
    image = generator(0, "rough").integers(60, 150, (SIZE, SIZE, 3), dtype=np.uint8)
    product = np.zeros((SIZE, SIZE), dtype=np.bool_)
    product[30:70, 10:90] = True
    image[~product] = (210, 220, 230)
    mask = blot & product

    painted = paint(image, mask, "missing", generator(0, "gone"), product=product)

    inner = distance_transform_edt(mask) > 3
    assert np.abs(painted[inner].astype(int) - (210, 220, 230)).max() <= 6
    without = paint(image, mask, "missing", generator(0, "gone"))
    assert without[inner].mean() < 150, "without a background it is a shaded hollow"


@pytest.mark.parametrize("appearance", ["missing", "hole", "misprint"])
def test_two_tones_stay_two(blot: NDArray[np.bool_], appearance: str) -> None:
    image = image_of("black")
    image[:, 50:] = 255
    mask = blot & (image[:, :, 0] == 0)
    painted = paint(image, mask, appearance, generator(0, "gone"))
    assert painted[distance_transform_edt(mask) > 3].min() == 255


def test_displaced_texture_is_texture_of_the_image(blot: NDArray[np.bool_]) -> None:
    image = image_of("two-toned")
    painted = paint(image, blot, "displacement", generator(1, "moved"))
    inner = distance_transform_edt(blot) > 3
    assert np.isin(painted[inner], (0, 255)).mean() > 0.3
    assert (painted[blot] != image[blot]).any()


@pytest.mark.parametrize(
    ("mask", "appearance", "words"),
    [
        (np.zeros((SIZE, SIZE), np.bool_), "hole", "mask to paint is empty"),
        (np.ones((SIZE, SIZE), np.bool_), "hol", "no appearance 'hol'"),
    ],
)
def test_what_cannot_be_painted(mask: NDArray[np.bool_], appearance: str, words: str) -> None:
    with pytest.raises(SynthesisError, match=words) as caught:
        paint(image_of("middle"), mask, appearance, generator(0, "x"))
    assert caught.value.remedy
