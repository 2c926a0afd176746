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
    bank.get_buffer("cells").copy_(torch.randn(2, 50, LAYOUT.cell_channels))
    bank.index()
    return bank


def test_a_query_made_of_patches_finds_them() -> None:
    bank = filled()
    wanted = torch.randint(50, (3, LAYOUT.side**2))
    tokens = bank.compose(wanted, torch.tensor([1, 1, 1]))
    torch.testing.assert_close(bank.search(tokens, 1), wanted)
    assert (bank.search(tokens, 0) < 50).all()


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
