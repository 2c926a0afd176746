"""Tiles cover an image, and what is cut comes together again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blemish.config import TrainConfig
from blemish.engines.engine import EngineMaps
from blemish.engines.tiled import run_tiled
from blemish.inspection import Inspection
from blemish.inspector import Inspector
from blemish.tiling import Tiling

pytestmark = pytest.mark.core
tilings = st.builds(Tiling, st.integers(4, 20).map(lambda tokens: 16 * tokens), st.integers(1, 4))


@given(tilings, st.integers(0, 2**32 - 1))
def test_what_was_cut_can_be_joined(tiling: Tiling, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (tiling.side, tiling.side, 3), dtype=np.uint8)
    tiles = tiling.cut(image)
    assert tiles.shape == (tiling.tiles, tiling.size, tiling.size, 3)
    np.testing.assert_array_equal(tiling.joined(tiles), image)


@given(tilings, st.sampled_from([1, 8, 16]), st.integers(0, 2**32 - 1))
def test_tiles_that_agree_blend_into_what_they_agree_on(tiling: Tiling, factor: int, seed: int) -> None:
    side = tiling.side // factor
    whole = np.random.default_rng(seed).random((2, side, side), dtype=np.float32)
    coarse = Tiling(tiling.size, tiling.count)
    wide = whole.repeat(factor, axis=1).repeat(factor, axis=2)
    tiles = coarse.cut(wide.transpose(1, 2, 0)).transpose(0, 3, 1, 2)[:, :, ::factor, ::factor]
    np.testing.assert_allclose(tiling.blended(tiles), whole, atol=1e-6)


def test_a_seam_is_a_ramp() -> None:
    tiling = Tiling(64, 2)
    values = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((1, 64, 64), np.float32)
    blended = tiling.blended(values)
    steps = np.diff(blended[0])
    assert blended[0, 0] == 0
    assert blended[0, -1] == 1
    assert (steps >= 0).all()
    assert steps.max() < 1 / tiling.overlap  # no edge


def test_sides() -> None:
    assert (Tiling(224).side, Tiling(224).overlap) == (224, 48)
    assert Tiling(224, 3).side == 224 + 2 * 176


def tiled(inspector: Inspector, count: int) -> Inspector:
    model = inspector.config.model.model_copy(update={"tiles": count})
    return replace(inspector, config=inspector.config.model_copy(update={"model": model}))


@pytest.mark.parametrize("count", [1, 3])
def test_an_inspection_is_one_of_the_whole_image(
    fake_inspector: Inspector, draw: Callable[..., Path], count: int
) -> None:
    inspector = tiled(fake_inspector, count)
    (found, other) = inspector.inspect_many([draw("a.png", "nut", defect=True), draw("b.png", "bolt")])
    assert isinstance(found, Inspection)
    assert isinstance(other, Inspection)
    assert found.anomaly_map.shape == found.mask.shape == (inspector.size, inspector.size)
    assert (found.product, found.defective, other.product, other.defective) == ("nut", True, "bolt", False)
    (region,) = found.regions
    left, top, right, bottom = region.box
    assert abs(np.array([left - 20, top - 10, right - 44, bottom - 34])).max() <= 1


class Doubtful:
    """Takes dark tiles for the second product unless it is told."""

    def run(self, images: np.ndarray, product: int | None = None) -> EngineMaps:
        dark = images.mean(axis=(1, 2, 3)) < 50
        similarities = np.stack([np.full(len(images), 0.5), np.where(dark, 0.6, 0.2)], axis=1).astype(np.float32)
        products = similarities.argmax(axis=1) if product is None else np.full(len(images), product)
        maps = np.broadcast_to(products[:, None, None], images.shape[:3]).astype(np.float32)
        return EngineMaps(similarities, products, maps, None, maps[:, None, ::16, ::16])

    def save(self, folder: Path, _: object) -> None:
        raise AssertionError


def test_all_tiles_of_an_image_show_one_product() -> None:
    tiling = Tiling(64, 3)
    image = np.full((tiling.side, tiling.side, 3), 200, np.uint8)
    image[:64, :64] = 0  # one tile of nine looks like another product
    found = run_tiled(Doubtful(), tiling, np.stack([image, image]))
    assert found.products.tolist() == [0, 0]
    assert found.reconstruction.max() == 0
    assert found.refiner is None
    assert found.categories is not None
    assert found.categories.shape == (2, 1, tiling.side // 16, tiling.side // 16)
    told = run_tiled(Doubtful(), tiling, image[None], product=1)
    assert told.reconstruction.min() == pytest.approx(1)


def test_a_configuration_without_tiles_is_as_before() -> None:
    assert TrainConfig.of("fast").model.tiling == Tiling(TrainConfig.of("fast").model.size)
