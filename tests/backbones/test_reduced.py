"""Backbones whose levels keep their principal components."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from blemish.backbones.backbone import Backbone
from blemish.backbones.reduced import ReducedBackbone, reduced

SIZE = 64


class Random(nn.Module):
    """Two levels: eight channels that mix two patterns at scales from 1 to 1000, and three that do as they like."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        scales = torch.logspace(0, 3, 8)
        self.register_buffer("mix", torch.randn(8, 2) * scales[:, None])
        self.register_buffer("free", torch.randn(3, 3))

    def forward(self, x: Tensor) -> list[Tensor]:
        fine, coarse = nn.functional.avg_pool2d(x, 4), nn.functional.avg_pool2d(x, 8)
        return [
            torch.einsum("cd,bdhw->bchw", self.get_buffer("mix"), fine[:, :2]) + 5,
            torch.einsum("cd,bdhw->bchw", self.get_buffer("free"), coarse) - 7,
        ]


def images(count: int, seed: int) -> Tensor:
    torch.manual_seed(seed)
    return torch.randint(0, 256, (count, SIZE, SIZE, 3), dtype=torch.uint8)


@pytest.fixture
def inner() -> Backbone:
    return Backbone(Random(), (4, 8), (8, 3))


@pytest.fixture
def learned(inner: Backbone) -> ReducedBackbone:
    backbone = ReducedBackbone(inner, 4)
    backbone.learn([images(3, 1), images(5, 2)])
    return backbone


def test_levels_have_at_most_so_many_channels(learned: ReducedBackbone) -> None:
    assert learned.strides == (4, 8)
    assert learned.channels == (4, 3)
    assert [tuple(level.shape) for level in learned.levels(images(2, 3))] == [(2, 4, 16, 16), (2, 3, 8, 8)]


def test_components_have_mean_0_and_a_mean_variance_of_1(learned: ReducedBackbone) -> None:
    for level in learned.levels(torch.cat([images(3, 1), images(5, 2)])):
        torch.testing.assert_close(level.mean(dim=(0, 2, 3)), torch.zeros(level.shape[1]), atol=1e-3, rtol=0)
        variance = level.var(dim=(0, 2, 3), correction=0)
        assert variance.mean().item() == pytest.approx(1, abs=1e-3)


def test_a_level_with_no_more_channels_is_standardised_alone(inner: Backbone, learned: ReducedBackbone) -> None:
    shown = torch.cat([images(3, 1), images(5, 2)])
    before, after = inner.levels(shown)[1], learned.levels(shown)[1]
    expected = (before - before.mean(dim=(0, 2, 3), keepdim=True)) / before.std(
        dim=(0, 2, 3), keepdim=True, correction=0
    )
    torch.testing.assert_close(after, expected, atol=1e-3, rtol=1e-3)


def test_what_channels_share_is_kept_whatever_their_scale(inner: Backbone, learned: ReducedBackbone) -> None:
    """Two patterns make all eight channels, so two components hold all distances between standardised features."""
    shown = torch.cat([images(3, 1), images(5, 2)])
    full = inner.levels(shown)[0]
    full = (full - full.mean(dim=(0, 2, 3), keepdim=True)) / full.std(dim=(0, 2, 3), keepdim=True, correction=0)
    few = learned.levels(shown)[0]
    assert few.flatten(2).var(dim=(0, 2)).sort().values[:2].max() < 1e-4
    distances = [torch.cdist(one[0].flatten(1).T[:50], one[0].flatten(1).T[50:100]) for one in (full, few)]
    torch.testing.assert_close(distances[1] * (8 / 4) ** 0.5, distances[0], atol=2e-2, rtol=1e-2)


def test_channels_that_say_nothing_break_nothing(inner: Backbone) -> None:
    backbone = ReducedBackbone(inner, 4)
    backbone.learn([torch.full((2, SIZE, SIZE, 3), 9, dtype=torch.uint8)])
    assert all(level.isfinite().all() for level in backbone.levels(images(1, 4)))


def test_weights_come_back(inner: Backbone, learned: ReducedBackbone) -> None:
    other = ReducedBackbone(inner, 4)
    other.load_state_dict(learned.state_dict())
    for one, two in zip(learned.levels(images(1, 5)), other.levels(images(1, 5)), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize(("components", "wrapped"), [(0, False), (8, False), (9, False), (7, True), (1, True)])
def test_nothing_is_wrapped_in_vain(inner: Backbone, components: int, *, wrapped: bool) -> None:
    backbone = reduced(inner, components)
    assert isinstance(backbone, ReducedBackbone) == wrapped
    assert wrapped or backbone is inner
