"""Products are told apart by what differs between them, not by what differs within them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from blemish.backbones.layout import FeatureLayout
from blemish.training.discriminants import within_whitening


def two_products(rng: np.random.Generator, count: int = 60) -> tuple[torch.Tensor, np.ndarray]:
    """Eight channels: in channel 0 the products differ by 1, channel 1 (the light) varies by 5 within both."""
    means = rng.normal(0, 0.1, size=(2 * count, 8))
    products = np.repeat([0, 1], count)
    means[:, 0] += products - 0.5
    means[:, 1] += rng.normal(0, 5, size=2 * count)
    return torch.from_numpy(means), products


def share_right(means: torch.Tensor, products: np.ndarray, whitening: torch.Tensor) -> float:
    prompts = torch.zeros(2, 8)
    prompts[:, 0], prompts[:, 1] = torch.tensor([-0.5, 0.5]), torch.tensor([0.3, 0.6])  # lit a little differently
    own, other = (F.normalize(rows.float() @ whitening, dim=1) for rows in (means, prompts))
    return float(((own @ other.T).argmax(dim=1).numpy() == products).mean())


def test_light_that_varies_does_not_decide() -> None:
    means, products = two_products(np.random.default_rng(0))
    assert share_right(means, products, torch.eye(8)) < 0.8
    assert share_right(means, products, within_whitening(means, products)) > 0.9


def test_variation_within_products_is_made_the_same_everywhere() -> None:
    rng = np.random.default_rng(1)
    mixed = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6))
    products = np.arange(400) % 3
    whitened = torch.from_numpy(mixed).float() @ within_whitening(torch.from_numpy(mixed), products)
    centred = np.concatenate([whitened[products == one] - whitened[products == one].mean(dim=0) for one in range(3)])
    spread = np.linalg.eigvalsh(np.cov(centred.T))
    before = np.linalg.eigvalsh(np.cov(mixed.T))
    assert spread[-1] / spread[0] < 0.3 * before[-1] / before[0]


@pytest.mark.parametrize("count", [1, 3])
def test_products_that_do_not_vary_are_left_alone(count: int) -> None:
    means = torch.arange(5.0).repeat(count, 1)
    torch.testing.assert_close(within_whitening(means, np.zeros(count, dtype=np.int64)), torch.eye(5))


def test_means_of_cells_are_those_of_the_tokens() -> None:
    layout = FeatureLayout(channels=(3, 2), grid=4, detail=2)
    cells = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layout.means(layout.fold(cells)), cells.mean(dim=(2, 3)))
