"""CutPasteByMask: a defect moves with its mask, and nothing else changes but a soft edge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from blemish.errors import SynthesisError
from blemish.procedural.seeding import generator
from blemish.synthesis import transplant as module
from blemish.synthesis.blending import BLENDINGS, feather, paste, poisson
from blemish.synthesis.transplant import Donor, transplant

SIZE = 48
EDGE = 6  # four standard deviations of the soft edge
EVERYWHERE = np.ones((SIZE, SIZE), np.bool_)
Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def texture(seed: int, *, grey: bool = False) -> Pixels:
    pixels = np.random.default_rng(seed).integers(60, 120, (SIZE, SIZE, 3)).astype(np.uint8)
    return np.repeat(pixels[..., :1], 3, axis=2) if grey else pixels


def donor(*boxes: tuple[int, int, int, int], bound: bool = False, grey: bool = False) -> Donor:
    """White defects in boxes: top, left, bottom, right."""
    image, mask = texture(1, grey=grey), np.zeros((SIZE, SIZE), np.bool_)
    for top, left, bottom, right in boxes or ((20, 10, 28, 30),):
        mask[top:bottom, left:right] = True
    image[mask] = 250
    return Donor(image, mask, np.ones_like(mask), "x.png", bound)


@st.composite
def masks(draw: Any) -> Mask:
    """One to three boxes, some a single pixel or at the border."""
    mask = np.zeros((SIZE, SIZE), np.bool_)
    for _ in range(draw(st.integers(1, 3))):
        top, left = draw(st.integers(0, SIZE - 1)), draw(st.integers(0, SIZE - 1))
        mask[top : top + draw(st.integers(1, SIZE)), left : left + draw(st.integers(1, SIZE))] = True
    return mask


def near(mask: Mask) -> Mask:
    return np.asarray(ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=EDGE))


@settings(max_examples=60)
@given(masks(), masks(), st.sampled_from(sorted(BLENDINGS)), st.booleans(), st.integers(0, 10**6), st.booleans())
def test_only_the_mask_and_its_soft_edge_change(
    mask: Mask, foreground: Mask, blending: str, bound: bool, seed: int, grey: bool
) -> None:
    base, image = texture(0, grey=grey), texture(1, grey=grey)
    image[mask] = 250
    untouched = base.copy()
    one = Donor(image, mask, np.ones_like(mask), "x.png", bound)
    result, placed, name = transplant(base, one, foreground, generator(seed, "test"), blendings=[blending])
    np.testing.assert_array_equal(base, untouched)
    assert (result.dtype, result.shape) == (np.uint8, base.shape)
    assert (placed.dtype, placed.shape) == (np.bool_, (SIZE, SIZE))
    assert placed.any()
    assert name == blending
    reach = near(placed) if blending == "feather" or mask.all() else placed
    np.testing.assert_array_equal(result[~reach], base[~reach])
    if grey:
        assert (result == result[..., :1]).all()
    again = transplant(base, one, foreground, generator(seed, "test"), blendings=[blending])
    np.testing.assert_array_equal(again[0], result)
    np.testing.assert_array_equal(again[1], placed)


@pytest.mark.parametrize("seed", range(8))
def test_a_paste_carries_the_defect_itself(seed: int) -> None:
    base = texture(0)
    result, mask, _ = transplant(base, donor(), EVERYWHERE, generator(seed, "test"))
    assert result[mask].mean() > 200
    assert result[mask].min() > base.max()
    assert 20 < mask.sum() < 8 * 160


@pytest.mark.parametrize("seed", range(8))
def test_it_lies_in_the_foreground(seed: int) -> None:
    foreground = np.zeros((SIZE, SIZE), np.bool_)
    foreground[:, 24:] = True
    _, mask, _ = transplant(texture(0), donor((4, 4, 10, 10)), foreground, generator(seed, "test"))
    assert (mask & foreground).sum() >= 0.5 * mask.sum()


@pytest.mark.parametrize("seed", range(5))
def test_a_defect_of_its_own_place_stays_there_unturned(seed: int) -> None:
    one = donor((20, 10, 24, 30), bound=True)
    _, mask, _ = transplant(texture(0), one, ~EVERYWHERE, generator(seed, "test"))
    rows, columns = np.nonzero(mask)
    assert (np.ptp(rows), np.ptp(columns)) == (3, 19)
    assert abs(rows.mean() - 21.5) < 6
    assert abs(columns.mean() - 19.5) < 6


def test_others_may_stay_at_theirs() -> None:
    one = donor((2, 2, 8, 8))
    for seed in range(6):
        _, mask, _ = transplant(texture(0), one, EVERYWHERE, generator(seed, "test"), own_place=1.0)
        rows, columns = np.nonzero(mask)
        assert max(rows.mean(), columns.mean()) < 14


def test_one_region_is_cut_and_too_small_ones_are_left_out() -> None:
    one = donor((5, 5, 6, 6), (20, 10, 28, 18), (36, 36, 44, 44), bound=True)
    areas = set()
    for seed in range(12):
        _, mask, _ = transplant(texture(0), one, EVERYWHERE, generator(seed, "test"))
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
        areas.add(int(mask.sum()))
    assert areas == {64}


def test_defects_of_other_categories_do_not_colour_the_surroundings() -> None:
    """The donor's neighbourhood is half covered by another, black defect; brightness is matched without it."""
    one = donor((20, 20, 26, 26), bound=True)
    image, known = one.image.copy(), one.known.copy()
    image[:, 28:], known[:, 28:] = 0, False
    clean, _, _ = transplant(texture(0), one, EVERYWHERE, generator(0, "test"), blendings=["feather"])
    told, mask, _ = transplant(
        texture(0),
        Donor(image, one.mask, known, "x.png", True),
        EVERYWHERE,
        generator(0, "test"),
        blendings=["feather"],
    )
    fooled, _, _ = transplant(
        texture(0),
        Donor(image, one.mask, one.known, "x.png", True),
        EVERYWHERE,
        generator(0, "test"),
        blendings=["feather"],
    )
    core = ndimage.binary_erosion(mask, iterations=2)
    assert abs(told[core].mean() - clean[core].mean()) < 4
    assert abs(fooled[core].mean() - clean[core].mean()) >= abs(told[core].mean() - clean[core].mean())


def test_tries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask that vanishes whenever it is turned."""
    tries = 0

    def vanishing(cutting: Any, *_: Any) -> Any:
        nonlocal tries
        tries += 1
        return module._Cutting(cutting.pixels, np.zeros_like(cutting.mask), cutting.known, cutting.centre)

    monkeypatch.setattr(module, "_turned", vanishing)
    with pytest.raises(SynthesisError, match=r"x\.png") as caught:
        transplant(texture(0), donor(), EVERYWHERE, generator(0, "test"))
    assert tries == module._TRIES
    assert caught.value.remedy


def squares(inside: int, around: int, side: int = 24) -> tuple[Pixels, Mask]:
    patch = np.full((side, side, 3), around, np.uint8)
    mask = np.zeros((side, side), np.bool_)
    mask[8:16, 8:16] = True
    patch[mask] = inside
    return patch, mask


def test_paste_copies() -> None:
    patch, mask = squares(200, 50)
    target = np.full_like(patch, 90)
    result = paste(target, patch, mask, np.ones_like(mask))
    assert (result[mask] == 200).all()
    assert (result[~mask] == 90).all()


def test_feather_matches_the_brightness_around() -> None:
    patch, mask = squares(100, 50)
    target = np.full_like(patch, 90)
    result = feather(target, patch, mask, np.ones_like(mask))
    assert result[11, 11].tolist() == pytest.approx([140] * 3, abs=1)  # 50 above its surroundings, as it was
    assert (result[:2] == 90).all()
    row = result[11, :, 0].astype(int)
    assert (np.diff(row[:12]) >= 0).all()
    assert len(set(row)) > 3  # an edge of several steps


def test_poisson_solves_its_equation() -> None:
    """Laplacian of the result equals that of the patch, with the target on the border."""
    rng = np.random.default_rng(0)
    target = rng.integers(100, 140, (16, 16, 3)).astype(np.uint8)
    patch = rng.integers(110, 130, (16, 16, 3)).astype(np.uint8)
    mask = np.zeros((16, 16), np.bool_)
    mask[5:9, 4:12] = True
    result = poisson(target, patch, mask, np.ones_like(mask))
    np.testing.assert_array_equal(result[~mask], target[~mask])
    kernel = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])[..., None]
    found, wanted = (ndimage.convolve(one.astype(float), kernel)[mask] for one in (result, patch))
    assert np.abs(found - wanted).max() <= 4  # each of five values is rounded to a whole number
    even = poisson(np.full_like(target, 77), np.full_like(patch, 200), mask, np.ones_like(mask))
    assert (even == 77).all()  # a patch without gradients leaves no trace


@pytest.mark.parametrize("black", ["target", "both"])
def test_poisson_on_black(black: str) -> None:
    target = np.zeros((12, 12, 3), np.uint8)
    patch = np.full_like(target, 0 if black == "both" else 90)
    mask = np.zeros((12, 12), np.bool_)
    mask[4:8, 4:8] = True
    assert not poisson(target, patch, mask, np.ones_like(mask)).any()


@pytest.mark.parametrize("blend", BLENDINGS.values(), ids=BLENDINGS)
@pytest.mark.parametrize("which", ["all", "one pixel", "corner", "frame", "nothing known", "none"])
def test_masks_at_their_limits(blend: Any, which: str) -> None:
    mask = np.zeros((10, 12), np.bool_)
    known = np.ones_like(mask)
    if which == "all":
        mask[:] = True
    elif which == "one pixel":
        mask[5, 5] = True
    elif which == "corner":
        mask[:4, :4] = True
    elif which == "frame":
        mask[:] = True
        mask[4:6, 4:6] = False
    elif which == "nothing known":
        mask[3:6, 3:6], known[:] = True, False
    rng = np.random.default_rng(0)
    target, patch = (rng.integers(0, 256, (10, 12, 3)).astype(np.uint8) for _ in range(2))
    result = blend(target, patch, mask, known)
    assert (result.dtype, result.shape) == (np.uint8, target.shape)
    if which == "none":
        np.testing.assert_array_equal(result, target)


def test_large_poisson_masks_are_feathered(monkeypatch: pytest.MonkeyPatch) -> None:
    from blemish.synthesis import blending

    monkeypatch.setattr(blending, "_LARGEST", 10)
    patch, mask = squares(100, 50)
    target = np.full_like(patch, 90)
    np.testing.assert_array_equal(
        poisson(target, patch, mask, np.ones_like(mask)), feather(target, patch, mask, np.ones_like(mask))
    )
