"""Prompts composed of the nearest normal patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blemish.backbones.layout import FeatureLayout
from blemish.models.prompt_bank import PromptBank, draw_patches

LAYOUT = FeatureLayout(channels=(6, 4), grid=3, detail=2)


def filled() -> PromptBank:
    torch.manual_seed(0)
    bank = PromptBank(LAYOUT, products=2, patches=50)
    for product in range(2):
        bank.fill(product, torch.arange(50), torch.randn(50, LAYOUT.cell_channels))
    bank.learn_projection()
    bank.index()
    return bank


def test_a_query_made_of_patches_finds_them() -> None:
    bank = filled()
    wanted = torch.randint(50, (3, LAYOUT.side**2))
    tokens = bank.compose(wanted, torch.tensor([1, 1, 1]))
    torch.testing.assert_close(bank.search(tokens, 1), wanted)
    assert (bank.search(tokens, 0) < 50).all()


def test_neighbours_are_searched_with_the_weights_of_the_levels() -> None:
    """The second level alone counts; a query that differs in the first finds its patch all the same."""
    torch.manual_seed(0)
    layout = FeatureLayout(channels=(6, 4), grid=3, detail=2, weights=(0.0, 1.0))
    bank = PromptBank(layout, products=1, patches=36)
    cells = torch.randn(36, 10)
    bank.fill(0, torch.arange(36), cells)
    bank.learn_projection()
    bank.index()
    query = torch.cat([torch.randn(36, 6), cells[:, 6:]], dim=1)
    tokens = layout.fold(query.T.reshape(1, 10, 6, 6))
    assert bank.search(tokens, 0).tolist() == [list(range(36))]


def test_the_projection_keeps_distances_where_the_cells_of_all_images_vary() -> None:
    """Patches of four images in turn, each image varying in 25 directions of its own, among 200 channels."""
    torch.manual_seed(0)
    bank = PromptBank(FeatureLayout(channels=(200,), grid=2), products=1, patches=400)
    cells = torch.stack([torch.randn(25) @ directions for directions in torch.randn(4, 25, 200).repeat(100, 1, 1)])
    bank.fill(0, torch.arange(400), cells)
    bank.learn_projection()
    projection, stored = bank.get_buffer("projection"), bank.get_buffer("cells")[0].float()
    assert projection.shape == (200, 128)
    torch.testing.assert_close(torch.pdist(stored @ projection), torch.pdist(stored), rtol=1e-3, atol=0.1)


def test_excluded_patches_are_never_found() -> None:
    bank = filled()
    tokens = bank.compose(torch.randint(50, (1, LAYOUT.side**2)), torch.tensor([0]))
    excluded = torch.zeros(1, 50, dtype=torch.bool)
    excluded[0, bank.search(tokens, 0)[0]] = True
    assert not excluded[0, bank.search(tokens, 0, excluded)[0]].any()


@pytest.mark.parametrize(("images", "cells", "patches"), [(3, 10, 12), (5, 4, 20), (7, 10, 5), (2, 4, 11)])
def test_patches_are_spread_evenly(images: int, cells: int, patches: int) -> None:
    image, cell = draw_patches(images, cells, patches, np.random.default_rng(0))
    counts = np.bincount(image, minlength=images)
    assert counts.max() - counts.min() <= 1
    assert cell.min() >= 0
    assert cell.max() < cells
    if patches <= images * cells:
        assert len(set(zip(image.tolist(), cell.tolist(), strict=True))) == patches
