"""Pseudo-anomalies: repeatable, exact masks, sizes as configured."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from blemish.errors import ConfigError
from blemish.procedural.seeding import generator
from blemish.synthesis.config import PseudoAnomalyConfig
from blemish.synthesis.cutpaste import paste_patch, paste_scar
from blemish.synthesis.pseudo import PseudoAnomalies

SIZE = 64
KINDS = {
    "paper": PseudoAnomalyConfig(),
    "patch": PseudoAnomalyConfig(cutpaste_probability=1, scar_probability=0),
    "scar": PseudoAnomalyConfig(cutpaste_probability=1, scar_probability=1),
    "perlin": PseudoAnomalyConfig(cutpaste_probability=0),
    "self": PseudoAnomalyConfig(self_paste_probability=1),
    "tone": PseudoAnomalyConfig(photometric_probability=1),
    "warp": PseudoAnomalyConfig(warp_probability=1),
    "blur": PseudoAnomalyConfig(blur_probability=1),
}
if find_spec("scipy"):  # the painter needs it, the core does without
    KINDS["painted"] = PseudoAnomalyConfig(painted_probability=1)


class Stripes:
    """Two plain textures, quick to make."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        texture = np.full((SIZE, SIZE, 3), 200 * index, dtype=np.uint8)
        texture[::4] = 128
        return texture


def images(count: int, size: int = SIZE) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, size=(count, size, size, 3)).astype(np.uint8)


def maker(config: PseudoAnomalyConfig, seed: int = 3) -> PseudoAnomalies:
    return PseudoAnomalies(SIZE, seed, Stripes(), config)


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_masks_hold_every_change_and_are_never_empty(config: PseudoAnomalyConfig) -> None:
    normal = images(24)
    before = normal.copy()
    anomalous, masks = maker(config).make(normal, range(24))
    assert anomalous.dtype == np.uint8
    assert masks.dtype == np.bool_
    assert anomalous.shape == normal.shape
    assert masks.shape == normal.shape[:3]
    np.testing.assert_array_equal(normal, before)
    np.testing.assert_array_equal(anomalous[~masks], normal[~masks])
    assert masks.any(axis=(1, 2)).all()
    assert not masks.all(axis=(1, 2)).any()
    assert (anomalous != normal)[masks].any()


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_a_draw_depends_on_seed_key_and_image_alone(config: PseudoAnomalyConfig) -> None:
    normal = images(6)
    together = maker(config).make(normal, [0, 7, 2, 7, 10**12, 4])
    order = [4, 1, 0]
    apart = maker(config).make(normal[order], [10**12, 7, 0])
    for whole, part in zip(together, apart, strict=True):
        np.testing.assert_array_equal(whole[order], part)
    other_seed = maker(config, seed=4).make(normal, [0, 7, 2, 7, 10**12, 4])
    assert (other_seed[1] != together[1]).any()
    other_key = maker(config).make(normal[:1], [1])
    assert (other_key[1][0] != together[1][0]).any()


@given(seed=st.integers(0, 2**32), key=st.integers(0, 2**63))
@settings(max_examples=40, deadline=None)
def test_any_seed_and_key(seed: int, key: int) -> None:
    normal = images(1)
    anomalous, masks = maker(PseudoAnomalyConfig(), seed).make(normal, [key])
    assert masks.any()
    np.testing.assert_array_equal(anomalous[~masks], normal[~masks])


@pytest.mark.parametrize("size", [64, 224])
def test_patches_have_the_papers_area_and_aspect(size: int) -> None:
    image = images(1, size)[0]
    aspects = []
    for key in range(200):
        _, mask = paste_patch(image, generator(0, "test", key), PseudoAnomalyConfig())
        height, width = (int(mask.any(axis=axis).sum()) for axis in (1, 0))
        assert mask.sum() == height * width
        rounding = (height + width + 1) / 2
        assert 0.02 * size**2 - rounding <= height * width <= 0.15 * size**2 + rounding
        assert (width - 0.5) / (height + 0.5) <= 3.3
        assert (width + 0.5) / (height - 0.5) >= 0.3
        aspects.append(width / height)
    assert 0.35 < np.mean(np.array(aspects) > 1) < 0.65


def test_scars_have_the_papers_size_in_pixels() -> None:
    areas, heights = [], []
    for key in range(300):
        _, mask = paste_scar(images(1, 96)[0], generator(0, "test", key), PseudoAnomalyConfig())
        areas.append(int(mask.sum()))
        heights.append(int(mask.any(axis=1).sum()))
    # a rotated w×h rectangle covers about w·h pixels and at most its diagonal
    assert min(areas) >= 0.7 * 2 * 10
    assert max(areas) <= 1.15 * 16 * 25
    assert max(areas) > 300
    assert max(heights) <= np.hypot(16, 25) + 1


def test_scar_without_rotation_is_a_rectangle_of_the_image() -> None:
    config = PseudoAnomalyConfig(
        scar_width=(5, 5), scar_height=(11, 11), scar_angle=0, brightness=0, contrast=0, saturation=0, hue=0
    )
    image = np.full((SIZE, SIZE, 3), 77, dtype=np.uint8)
    anomalous, mask = paste_scar(image, generator(1, "test"), config)
    assert mask.any(axis=1).sum() == 11
    assert mask.any(axis=0).sum() == 5
    assert mask.sum() == 55
    np.testing.assert_array_equal(anomalous, image)


@pytest.mark.parametrize(
    "config",
    [
        PseudoAnomalyConfig(cutpaste_probability=0, keep_grey=True),
        PseudoAnomalyConfig(photometric_probability=1, keep_grey=True),
        PseudoAnomalyConfig(keep_grey=True),
    ],
)
def test_a_grey_image_stays_grey(config: PseudoAnomalyConfig) -> None:
    class Coloured(Stripes):
        def __getitem__(self, index: int) -> NDArray[np.uint8]:
            return np.full((SIZE, SIZE, 3), (200, 30, 90), dtype=np.uint8)

    grey = np.repeat(images(12)[..., :1], 3, axis=3)
    synthesis = PseudoAnomalies(SIZE, 0, Coloured(), config)
    anomalous, masks = synthesis.make(grey, range(12))
    assert (anomalous == anomalous[..., :1]).all()
    assert (anomalous != grey)[masks].any()
    np.testing.assert_array_equal(anomalous[~masks], grey[~masks])
    coloured, _ = synthesis.make(images(12), range(12))
    assert (coloured != coloured[..., :1]).any(axis=(1, 2, 3)).all()


def test_perlin_blend_keeps_its_share_of_the_image() -> None:
    normal = np.full((40, SIZE, SIZE, 3), 100, dtype=np.uint8)

    class White(Stripes):
        def __getitem__(self, index: int) -> NDArray[np.uint8]:
            return np.full((SIZE, SIZE, 3), 255, dtype=np.uint8)

    config = PseudoAnomalyConfig(cutpaste_probability=0, texture_changes=0, blend=(0.4, 0.6))
    anomalous, masks = PseudoAnomalies(SIZE, 0, White(), config).make(normal, range(40))
    share = (255 - anomalous[masks].astype(float)) / 155
    assert share.min() >= 0.4 - 0.01
    assert share.max() <= 0.6 + 0.01


def test_kinds_are_drawn_as_often_as_configured() -> None:
    """A patch fills its bounding box; a Perlin region all but never does."""
    _, masks = maker(PseudoAnomalyConfig(cutpaste_probability=0.3, scar_probability=0)).make(images(300), range(300))
    full = [mask.sum() == mask.any(axis=0).sum() * mask.any(axis=1).sum() for mask in masks]
    assert 0.2 < np.mean(full) < 0.4


def test_too_small_and_invisible_draws_are_drawn_again() -> None:
    config = PseudoAnomalyConfig(photometric_probability=1, minimum_area=60, minimum_change=12, redraws=300)
    normal = np.full((30, SIZE, SIZE, 3), 120, dtype=np.uint8)
    anomalous, masks = maker(config).make(normal, range(30))
    change = np.abs(anomalous.astype(int) - normal).mean(axis=3)
    assert masks.sum(axis=(1, 2)).min() >= 60
    assert min(c[m].mean() for c, m in zip(change, masks, strict=True)) >= 12


def test_when_no_mask_is_found_a_patch_serves() -> None:
    config = PseudoAnomalyConfig(cutpaste_probability=0, perlin_threshold=5)
    _, masks = maker(config).make(images(3), range(3))
    assert masks.any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    "options",
    [
        {"cutpaste_probability": 1.5},
        {"warp_probability": -0.1},
        {"self_paste_probability": 0.6, "warp_probability": 0.6},
        {"patch_area": (0.2, 0.1)},
        {"patch_aspect": (1.5, 3)},
        {"minimum_area": 0},
        {"redraws": 0},
    ],
)
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        PseudoAnomalyConfig(**options)  # type: ignore[arg-type]


def test_wrong_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        PseudoAnomalies(16, 0)
    with pytest.raises(ValueError, match="expected uint8"):
        maker(PseudoAnomalyConfig()).make(images(2), [1])
    with pytest.raises(ValueError, match="expected uint8"):
        maker(PseudoAnomalyConfig()).make(images(1).astype(np.float32), [1])  # type: ignore[arg-type]
