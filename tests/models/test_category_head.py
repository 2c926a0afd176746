"""The head that names defects: what its discriminators see are principal components of features and errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from blemish.backbones.layout import FeatureLayout
from blemish.config import TeachConfig
from blemish.models.categories import CategoryHead

LAYOUT = FeatureLayout(channels=(12, 20), grid=4, detail=2)
PRODUCTS = torch.zeros(5, dtype=torch.int64)  # of the images of `tokens`


def head(categories: int = 3, **changes: Any) -> CategoryHead:
    config = TeachConfig.of("fast", **{"width": 16, "components": 4, "context": 0, **changes})
    torch.manual_seed(2)
    return CategoryHead(LAYOUT, config, torch.eye(categories, config.width), 1)


def tokens(count: int = 5, seed: int = 3) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(count, LAYOUT.token_channels, LAYOUT.grid, LAYOUT.grid) * 2 + 1


@pytest.mark.parametrize(
    ("changes", "channels"),
    [
        ({}, 16),
        ({"error": False}, 8),
        ({"components": 0, "error": False}, 32),
        ({"components": 15}, 54),  # a level has no more components than channels
    ],
)
def test_what_the_discriminators_see(changes: dict[str, Any], channels: int) -> None:
    one = head(**changes)
    inputs = one.inputs(tokens(), tokens(seed=4))
    assert one.channels == channels
    assert inputs.shape == (5, channels, 8, 8)
    assert sum(tap.shape[1] for tap in one.taps(inputs)) == channels
    assert one(inputs, PRODUCTS).shape == (5, 3, 8, 8)


def test_all_channels_are_seen_as_they_are() -> None:
    one = head(components=0, error=False)
    torch.testing.assert_close(one.inputs(tokens(), tokens()), LAYOUT.unfold(tokens()))


def test_projections_are_principal_components_of_one_spread() -> None:
    """Two strong directions in the first level, and a second level a hundred times as strong."""
    torch.manual_seed(5)
    direction = torch.linalg.qr(torch.randn(12, 2))[0]
    strong = (torch.randn(6, 8, 8, 2) * torch.tensor([3.0, 2.0])) @ direction.T + 0.01 * torch.randn(6, 8, 8, 12)
    cells = torch.cat([strong, 100 * torch.randn(6, 8, 8, 20)], dim=-1).permute(0, 3, 1, 2)
    one = head(components=2, error=False)
    one.learn_projections([LAYOUT.fold(cells[:3] + 5), LAYOUT.fold(cells[3:] + 5)])
    projection = one.get_buffer("projection0")
    along = direction.T @ (projection / projection.norm(dim=0))
    torch.testing.assert_close(along.norm(dim=0), torch.ones(2), atol=1e-3, rtol=0)
    seen = one.inputs(LAYOUT.fold(cells + 5), tokens(6))
    for tap in one.taps(seen):
        torch.testing.assert_close(tap.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-2, rtol=0)
        assert tap.var(dim=(0, 2, 3)).sum().sqrt().item() == pytest.approx(8, rel=0.01)


def test_where_nothing_differs_from_its_reconstruction_the_error_is_nothing() -> None:
    one = head()
    one.learn_projections([tokens()])
    first, second = one.taps(one.inputs(tokens(), tokens()))
    assert not first[:, 4:].any()
    assert not second[:, 4:].any()
    assert first[:, :4].any()


def test_with_context_light_is_seen_relative_to_the_image() -> None:
    """What all cells have in common is gone from the features, and stays in the errors."""
    one = head(context=0.4)
    inputs = one.inputs(tokens(), tokens(seed=4))
    brighter = inputs + torch.arange(16).view(1, -1, 1, 1)
    for tap, other in zip(one.taps(inputs), one.taps(brighter), strict=True):
        torch.testing.assert_close(tap[:, :4], other[:, :4])
        assert (other[:, 4:] > tap[:, 4:]).any()
    assert one(inputs, PRODUCTS).shape == (5, 3, 8, 8)


def test_the_last_tap_is_the_deepest_level_over_a_window() -> None:
    one = head(context=0.4, error=False)  # of 8 cells: 2 × 2 + 1
    deepest, context = one.taps(one.inputs(tokens(), tokens(seed=4)))[-2:]
    torch.testing.assert_close(context[:, :, 4, 3], 2 * deepest[:, :, 2:7, 1:6].mean(dim=(2, 3)))
    torch.testing.assert_close(context[:, :, 0, 0], 2 * deepest[:, :, :3, :3].mean(dim=(2, 3)))


def test_constant_features_have_no_components_and_break_nothing() -> None:
    one = head()
    one.learn_projections([torch.ones(2, LAYOUT.token_channels, 4, 4)])
    assert one.inputs(tokens(), tokens(seed=4)).isfinite().all()


def test_members_are_averaged_and_start_at_the_temperature() -> None:
    one = head(members=3, temperature=0.2, prototypes=0).eval()
    assert [member.epsilon.item() for member in one.members] == pytest.approx([0.2] * 3)  # type: ignore[operator,union-attr]
    inputs = one.inputs(tokens(), tokens(seed=4))
    alone = [member.logits(one.taps(inputs), one.get_buffer("embeddings")) for member in one.members]  # type: ignore[operator]
    torch.testing.assert_close(one(inputs, PRODUCTS), torch.stack(alone).mean(dim=0))
    assert not torch.allclose(alone[0], alone[1])


def test_weights_come_back() -> None:
    one = head(members=2).eval()
    one.learn_projections([tokens()])
    other = CategoryHead(
        LAYOUT, TeachConfig.of("fast", width=16, components=4, members=2, context=0), torch.zeros(3, 16), 1
    ).eval()
    other.load_state_dict(one.state_dict())
    inputs = one.inputs(tokens(), tokens(seed=4))
    torch.testing.assert_close(
        other(other.inputs(tokens(), tokens(seed=4)), PRODUCTS), one(inputs, PRODUCTS), rtol=0, atol=0
    )
