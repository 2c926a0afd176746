"""Which patches of normal images a prompt is composed of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from blemish.backbones.backbone import load_backbone
from blemish.config import BackboneConfig, ModelConfig
from blemish.models.prompted import PromptedNetwork
from blemish.training.bank import fill_bank
from blemish.training.images import TrainingImage, TrainingSet

IMAGES, CELLS, PATCHES = 20, 64, 200


def network_of(patches: int, products: int = 1) -> PromptedNetwork:
    config = ModelConfig(size=64, detail=2, decoder="none", prompt_patches=patches, refiner=False)
    return PromptedNetwork(load_backbone(BackboneConfig(), 64), config, products)


def training_set(groups: int = IMAGES) -> TrainingSet:
    images = [TrainingImage(Path(f"{n}.png"), "part", f"group {n % groups}") for n in range(IMAGES)]
    return TrainingSet(("part",), tuple(images), ())


def with_one_odd_cell(network: PromptedNetwork) -> Tensor:
    """Features of images that are alike but for noise and, in each, one cell like no other."""
    torch.manual_seed(0)
    layout = network.layout
    cells = 0.1 * torch.randn(IMAGES, layout.cell_channels, layout.side, layout.side)
    for number in range(IMAGES):
        cells[number, number, number % layout.side, 3] = 20
    return layout.fold(cells)


def odd_ones(network: PromptedNetwork) -> int:
    assert network.bank is not None
    return int((network.bank.get_buffer("cells")[0] > 10).any(dim=1).sum())


def cells_of(network: PromptedNetwork) -> Tensor:
    assert network.bank is not None
    return network.bank.get_buffer("cells")


@pytest.mark.parametrize("groups", [IMAGES, IMAGES // 2, 1], ids=["parts", "two shots of each", "one part"])
def test_what_is_rare_is_drawn_with_its_distance_as_weight(groups: int) -> None:
    evenly, distant = network_of(PATCHES), network_of(PATCHES)
    clean, training = with_one_odd_cell(evenly), training_set(groups)
    (images,) = fill_bank(evenly, training, clean, 0, 0.0)
    (same,) = fill_bank(distant, training, clean, 0, 0.5)
    np.testing.assert_array_equal(images, same)
    assert odd_ones(evenly) < IMAGES // 2
    assert odd_ones(distant) > (IMAGES // 2 if groups == 1 else IMAGES - 1)
    # the first half of every image's patches stays, and none is there twice
    for place in range(IMAGES):
        own = np.flatnonzero(images == place)
        before, after = cells_of(evenly)[0, own], cells_of(distant)[0, own]
        torch.testing.assert_close(after[:5], before[:5], rtol=0, atol=0)
        assert len(torch.unique(after, dim=0)) == len(own)


def test_the_draw_is_the_seeds() -> None:
    networks = [network_of(PATCHES) for _ in range(3)]
    clean = with_one_odd_cell(networks[0])
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        fill_bank(network, training_set(), clean, seed, 0.5)
    first, again, other = map(cells_of, networks)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_images_that_give_all_their_cells_have_none_to_choose() -> None:
    evenly, distant = network_of(IMAGES * CELLS), network_of(IMAGES * CELLS)
    clean = with_one_odd_cell(evenly)
    fill_bank(evenly, training_set(), clean, 0, 0.0)
    fill_bank(distant, training_set(), clean, 0, 0.5)
    assert torch.equal(cells_of(evenly), cells_of(distant))


def test_equal_images_have_patches_all_the_same() -> None:
    network = network_of(PATCHES)
    clean = torch.zeros_like(with_one_odd_cell(network))
    fill_bank(network, training_set(), clean, 0, 0.9)
    assert not cells_of(network).any()


def test_a_trained_bank_keeps_its_search_and_its_products() -> None:
    network = network_of(PATCHES, products=2)
    clean = with_one_odd_cell(network)
    fill_bank(network, training_set(), clean, 0, 0.5)
    former, projection = cells_of(network)[0].clone(), network.bank.get_buffer("projection").clone()  # type: ignore[union-attr]
    fill_bank(network, training_set(), clean * 2, 0, 0.5, former=1)
    assert torch.equal(cells_of(network)[0], former)
    assert torch.equal(network.bank.get_buffer("projection"), projection)  # type: ignore[union-attr]
    assert int((cells_of(network)[1] > 30).any(dim=1).sum()) == IMAGES
