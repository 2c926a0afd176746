"""Pseudo-anomalies made a batch at a time: the same rules and about the same defects as one after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from blemish.procedural.seeding import generator
from blemish.synthesis.colour import _shift_hue
from blemish.synthesis.config import PseudoAnomalyConfig
from blemish.synthesis.on_device import PseudoAnomaliesOnDevice, _shifted
from blemish.synthesis.perlin import perlin_noise
from blemish.synthesis.pseudo import PseudoAnomalies
from blemish.synthesis.recipes import Blend, Paste

SIZE = 64
CPU = torch.device("cpu")
KINDS = {
    "paper": PseudoAnomalyConfig(),
    "patch": PseudoAnomalyConfig(cutpaste_probability=1, scar_probability=0),
    "scar": PseudoAnomalyConfig(cutpaste_probability=1, scar_probability=1),
    # finer noise loses its peaks where a small image of it is turned; here the places are turned instead
    "perlin": PseudoAnomalyConfig(cutpaste_probability=0, perlin_octaves=(1, 3)),
    "visible": PseudoAnomalyConfig(minimum_area=40, minimum_change=12),
}


def photos(count: int) -> NDArray[np.uint8]:
    """Smooth images in colour."""
    rng = np.random.default_rng(5)
    small = rng.integers(0, 256, size=(count, 8, 8, 3)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for one in small])


def both(config: PseudoAnomalyConfig) -> tuple[PseudoAnomalies, PseudoAnomaliesOnDevice]:
    one = PseudoAnomalies(SIZE, 3, config=config)
    there = PseudoAnomaliesOnDevice.of(one, CPU)
    assert there is not None
    return one, there


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_masks_hold_every_change_and_a_key_gives_the_same_in_any_batch(config: PseudoAnomalyConfig) -> None:
    images = torch.from_numpy(photos(40))
    before = images.clone()
    _, there = both(config)
    anomalous, masks = there.make(images, range(40))
    assert (anomalous.dtype, masks.dtype) == (torch.uint8, torch.bool)
    assert torch.equal(images, before)
    assert torch.equal(anomalous[~masks], images[~masks])
    assert masks.flatten(1).any(dim=1).all()
    some = [3, 17, 30]
    again, where = there.make(images[some], some)
    assert torch.equal(where, masks[some])
    assert torch.equal(again, anomalous[some])
    other, _ = there.make(images, range(40, 80))
    assert not torch.equal(other, anomalous)


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_defects_are_as_large_and_as_visible_as_those_made_one_by_one(config: PseudoAnomalyConfig) -> None:
    images = photos(400)
    one, there = both(config)
    first, mask = one.make(images, range(400))
    second, where = (tensor.numpy() for tensor in there.make(torch.from_numpy(images), range(400)))
    areas, other_areas = mask.mean(axis=(1, 2)), where.mean(axis=(1, 2))
    np.testing.assert_allclose(
        np.quantile(areas, [0.25, 0.5, 0.75]), np.quantile(other_areas, [0.25, 0.5, 0.75]), rtol=0.35, atol=0.004
    )
    change, other_change = (
        np.mean([np.abs(a[m].astype(float) - i[m]).mean() for i, a, m in zip(images, x, y, strict=True)])
        for x, y in ((first, mask), (second, where))
    )
    assert other_change == pytest.approx(change, rel=0.15)


def test_a_patch_is_a_rectangle_of_the_image_and_a_scar_is_turned() -> None:
    images = torch.from_numpy(photos(1))
    _, there = both(PseudoAnomalyConfig(brightness=0, contrast=0, saturation=0, hue=0))
    plain = (0, 1, 2, 3), (1.0, 1.0, 1.0, 0.0)
    patch = Paste(10, 6, (20, 30), (5 + 2.5, 40 + 4.5), 0.0, *plain)
    anomalous, masks = there._carried_out(images, [patch])
    assert masks[0, 5:11, 40:50].all()
    assert int(masks.sum()) == 60
    assert (anomalous[0, 5:11, 40:50].int() - images[0, 20:26, 30:40].int()).abs().max() <= 1  # through HSV and back
    scar = Paste(20, 4, (20, 30), (32.0, 32.0), math.pi / 2, *plain)
    _, masks = there._carried_out(images, [scar])
    rows, columns = torch.nonzero(masks[0], as_tuple=True)
    assert int(rows.max() - rows.min()) in (18, 19, 20)
    assert int(columns.max() - columns.min()) in (2, 3, 4)


def test_noise_and_hue_are_those_of_the_images_made_one_by_one() -> None:
    _, there = both(PseudoAnomalyConfig())
    rng = generator(1, "a test")
    angles = rng.uniform(0, 2 * math.pi, size=(5, 9)).astype(np.float32)
    noise = there._noise(
        [Blend(0.0, (0, 0), (4, 8), angles, 0.0, 0.5), Blend(0.0, (0, 0), (2, 2), angles[:3, :3], 0.0, 0.5)]
    )

    class Fixed:
        def uniform(self, *_: float, size: tuple[int, int]) -> NDArray[np.float32]:
            return angles[: size[0], : size[1]]

    for row, cells in enumerate(((4, 8), (2, 2))):
        np.testing.assert_allclose(noise[row].numpy(), perlin_noise(SIZE, cells, Fixed()), atol=1e-5)  # type: ignore[arg-type]
    turned = there._noise([Blend(0.0, (0, 0), (2, 2), angles[:3, :3], math.radians(5), 0.5)])
    assert turned[0, 0, 0] == 0 or turned[0, 0, -1] == 0
    image = photos(1)[0]
    expected = np.asarray(_shift_hue(Image.fromarray(image), 0.1), dtype=np.int16)
    found = _shifted(torch.from_numpy(image).float().unsqueeze(0), torch.tensor([0.1]))[0].numpy()
    assert np.abs(found - expected).mean() < 3  # PIL keeps hue and saturation in 8 bits
    assert np.abs(found - expected).max() < 16


def test_grey_images_stay_grey() -> None:
    images = torch.from_numpy(np.repeat(photos(12)[..., :1], 3, axis=3))
    _, there = both(PseudoAnomalyConfig(keep_grey=True))
    anomalous, _ = there.make(images, range(12))
    assert torch.equal(anomalous[..., 0], anomalous[..., 1])
    _, there = both(PseudoAnomalyConfig())
    anomalous, _ = there.make(images, range(12))
    assert not torch.equal(anomalous[..., 0], anomalous[..., 1])


def test_subtle_kinds_are_left_to_the_cpu() -> None:
    maker = PseudoAnomalies(SIZE, 3, config=PseudoAnomalyConfig(warp_probability=0.1))
    assert PseudoAnomaliesOnDevice.of(maker, CPU) is None
