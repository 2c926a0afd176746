"""What is chosen among candidates, and why."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from blemish.backbones.backbone import Backbone
from blemish.synthesis.diffusion.feature_selector import FeatureSelector
from blemish.synthesis.diffusion.selection import Candidates, MeanSSIM, box_around, mean_ssim


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def by_hand(one: np.ndarray, two: np.ndarray, window: int) -> float:
    """SSIM of every window of every channel, one after the other."""
    height, width, channels = one.shape
    values = []
    for channel in range(channels):
        for top in range(height - window + 1):
            for left in range(width - window + 1):
                cut = np.s_[top : top + window, left : left + window, channel]
                x, y = one[cut].astype(float).ravel(), two[cut].astype(float).ravel()
                covariance = np.cov(x, y) if window > 1 else np.zeros((2, 2))
                c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
                top_term = (2 * x.mean() * y.mean() + c1) * (2 * covariance[0, 1] + c2)
                bottom = (x.mean() ** 2 + y.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2)
                values.append(top_term / bottom)
    return float(np.mean(values))


@pytest.mark.parametrize(
    ("box", "window"), [((2, 3, 13, 14), 7), ((0, 0, 16, 16), 7), ((4, 4, 8, 16), 3), ((5, 5, 6, 9), 1)]
)
def test_ssim_by_hand(box: tuple[int, int, int, int], window: int) -> None:
    image, reference = noise(0, 16, 16, 3), noise(1, 16, 16, 3)
    left, top, right, bottom = box
    expected = by_hand(image[top:bottom, left:right], reference[top:bottom, left:right], window)
    assert mean_ssim(image, reference, box) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 1000), st.integers(0, 1000))
@settings(max_examples=20)
def test_ssim_is_symmetric_and_at_most_one(a: int, b: int) -> None:
    one, two = noise(a, 12, 12, 3), noise(b, 12, 12, 3)
    value = mean_ssim(one, two, (1, 1, 11, 11))
    assert value == pytest.approx(mean_ssim(two, one, (1, 1, 11, 11)))
    assert value <= 1 + 1e-9
    assert mean_ssim(one, one, (0, 0, 12, 12)) == pytest.approx(1)


def test_the_paste_that_kept_its_box_wins_whatever_is_outside() -> None:
    reference = noise(0, 32, 32, 3)
    inside, outside = reference.copy(), reference.copy()
    inside[8:16, 8:16] = 128
    outside[20:] = 128
    mask = np.zeros((32, 32), bool)
    mask[8:16, 8:16] = True
    box = box_around(mask)
    assert box == (8, 8, 16, 16)
    candidates = Candidates(
        np.stack([inside, outside]), np.stack([mask] * 2), np.stack([reference] * 2), (box, box), "scratch"
    )
    scores = MeanSSIM().scores(candidates)
    assert scores[1] == pytest.approx(1)
    assert scores[0] < 0.5


class MeanColour(nn.Module):
    """A 'network' whose features are the colours of 8-pixel cells, and their opposites, at two scales."""

    def forward(self, images: Tensor) -> list[Tensor]:
        levels = [nn.functional.avg_pool2d(images, cell) for cell in (4, 8)]
        return [torch.cat((level, -level), dim=1).relu() for level in levels]


@pytest.fixture
def backbone() -> Backbone:
    return Backbone(MeanColour(), strides=(4, 8), channels=(6, 6))


def painted(*colours: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Grey images with a square of each colour, and the squares."""
    images = np.full((len(colours), 32, 32, 3), (200, 40, 40), np.uint8)
    masks = np.zeros((len(colours), 32, 32), bool)
    masks[:, 8:24, 8:24] = True
    for image, colour in zip(images, colours, strict=True):
        image[8:24, 8:24] = colour
    return images, masks


def test_with_examples_the_most_like_a_real_one_wins(backbone: Backbone) -> None:
    images, masks = painted((20, 200, 20), (20, 20, 220), (200, 40, 40))
    references = painted(*[(200, 40, 40)] * 3)[0]
    candidates = Candidates(images, masks, references, ((8, 8, 24, 24),) * 3, "stain")
    examples, places = painted((250, 250, 20), (30, 30, 200))
    scores = FeatureSelector(backbone, (examples, places)).scores(candidates)
    assert scores.argmax() == 1
    assert (np.abs(scores) <= 1 + 1e-6).all()


def test_without_examples_change_below_the_mask_counts_and_change_outside_costs(backbone: Backbone) -> None:
    images, masks = painted((200, 40, 40), (20, 20, 220), (20, 20, 220))
    references = painted(*[(200, 40, 40)] * 3)[0]
    images[2] = 255 - images[2]  # strays over all of the image
    candidates = Candidates(images, masks, references, ((8, 8, 24, 24),) * 3, "stain")
    scores = FeatureSelector(backbone).scores(candidates)
    assert scores.argmax() == 1
    assert scores[0] == pytest.approx(0, abs=1e-6)
    assert scores[2] < scores[1]


def test_more_candidates_than_one_batch(backbone: Backbone) -> None:
    images, masks = painted(*[(value, 20, 200) for value in range(0, 250, 12)])
    references = painted(*[(200, 40, 40)] * len(images))[0]
    whole = Candidates(images, masks, references, ((8, 8, 24, 24),) * len(images), "stain")
    last = Candidates(images[-1:], masks[-1:], references[-1:], ((8, 8, 24, 24),), "stain")
    for selector in (FeatureSelector(backbone), FeatureSelector(backbone, painted((250, 20, 200)))):
        scores = selector.scores(whole)
        assert scores.shape == (len(images),)
        assert scores[-1] == pytest.approx(selector.scores(last)[0], abs=1e-6)
