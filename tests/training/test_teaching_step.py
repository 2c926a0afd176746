"""Losses of the discriminator: the authors' values, products that do not know each other's categories, thin defects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from blemish.backbones.layout import FeatureLayout
from blemish.config import TeachConfig
from blemish.models.categories import CategoryHead
from blemish.training.teaching.source import Batch
from blemish.training.teaching.step import TeachingStep, category_losses, coarse


def test_the_authors_values(shared: Path) -> None:
    with np.load(shared / "fixtures" / "uniadc_losses.npz") as fixture:
        arrays = {name: torch.from_numpy(fixture[name]) for name in fixture.files}
    found = category_losses(
        arrays["classification_logits"], arrays["detection_mask"].unsqueeze(1), arrays["class_mask"].long()
    )
    assert found["entropy"].item() == pytest.approx(arrays["ce"].item(), abs=1e-4)
    # the fixture's detection is one of its own: as the only category it is the mean of all
    found = category_losses(
        arrays["detection_logits"], arrays["detection_mask"].unsqueeze(1), torch.full((3, 32, 32), -1)
    )
    assert found["focal"].item() == pytest.approx(arrays["focal"].item(), abs=1e-4)
    assert found["dice"].item() == pytest.approx(arrays["dice"].item(), abs=1e-4)
    assert found["entropy"].item() == 0


def random(count: int = 2, categories: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(count, categories, 6, 6, requires_grad=True)
    category = torch.randint(-1, categories, (count, 6, 6))
    return logits, (category >= 0).float().unsqueeze(1), category


def test_other_products_categories_do_not_count() -> None:
    """With categories 0 and 2 as its own, an image is judged as if there were no category 1."""
    logits, defect, category = random()
    category = torch.where(category == 1, 0, category)
    own = torch.tensor([[True, False, True]] * 2)
    found = category_losses(logits, defect, category, own)
    renumbered = torch.where(category == 2, 1, category)
    alone = category_losses(logits[:, [0, 2]], defect, renumbered)
    for name, loss in alone.items():
        torch.testing.assert_close(found[name], loss)
    sum(found.values()).backward()  # type: ignore[union-attr]
    assert logits.grad is not None
    assert not logits.grad[:, 1].any()
    assert logits.grad.isfinite().all()


def test_images_without_a_defect_have_no_entropy_and_a_gradient() -> None:
    logits, _, _ = random()
    found = category_losses(logits, torch.zeros(2, 1, 6, 6), torch.full((2, 6, 6), -1))
    assert found["entropy"].item() == 0
    found["entropy"].backward()
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_labels_at_a_coarser_grid(stride: int) -> None:
    labels = torch.full((1, 8, 8), -1)
    labels[0, :4, :4], labels[0, 4:, 4:] = 0, 2
    defect, category = coarse(labels, stride)
    side = 8 // stride
    assert defect.shape == (1, 1, side, side)
    half = side // 2
    assert (category[0, :half, :half] == 0).all()
    assert (category[0, half:, half:] == 2).all()
    assert (category[0, :half, half:] == -1).all()
    torch.testing.assert_close(defect[0, 0], (category[0] >= 0).float())


def test_thin_defects_keep_their_category_and_specks_do_not() -> None:
    labels = torch.full((1, 8, 8), -1)
    labels[0, :4, 1] = 1  # a line one pixel wide: a quarter of its cell
    labels[0, 7, 7] = 0  # a sixteenth
    defect, category = coarse(labels, 4)
    assert category.tolist() == [[[1, -1], [-1, -1]]]
    assert defect[0, 0].tolist() == [[0.25, 0], [0, 1 / 16]]


LAYOUT = FeatureLayout(channels=(6, 10), grid=4)


def batch(count: int = 4, categories: int = 3) -> Batch:
    torch.manual_seed(1)
    labels = torch.full((count, 32, 32), -1)
    labels[0, :8, :8], labels[1, 8:20, 8:20] = 0, 2
    return Batch(torch.randn(count, 16, 4, 4), labels, torch.ones(count, categories, dtype=torch.bool))


@pytest.mark.parametrize("members", [1, 3])
def test_a_step(members: int) -> None:
    changes: dict[str, Any] = {"width": 16, "components": 0, "error": False, "members": members}
    config = TeachConfig.of("fast", **changes, focal=2, dice=3, entropy=0.5)
    torch.manual_seed(2)
    head = CategoryHead(LAYOUT, config, torch.eye(3, 16), 1)
    losses = TeachingStep(head, config)(batch(), np.random.default_rng(0))
    assert losses.keys() == {"total", "focal", "dice", "entropy"}
    expected = 2 * losses["focal"] + 3 * losses["dice"] + 0.5 * losses["entropy"]
    torch.testing.assert_close(losses["total"].detach(), expected)
    losses["total"].backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_steps_teach() -> None:
    config = TeachConfig.of("fast", width=16, components=0, error=False)
    torch.manual_seed(2)
    head = CategoryHead(LAYOUT, config, torch.eye(3, 16), 1)
    step, optimizer = TeachingStep(head, config), torch.optim.AdamW(head.parameters(), lr=0.01)
    totals = []
    for _ in range(25):
        total = step(batch(), np.random.default_rng(0))["total"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.6 * totals[0]
