"""Fills the prompt bank with patches of normal training images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish.models.prompt_bank import PromptBank, draw_patches
from blemish.models.prompted import PromptedNetwork
from blemish.procedural.seeding import generator
from blemish.training.images import TrainingSet

_EVEN = 1e-9  # of the highest weight: cells that lie on others may be drawn as well, once there are no more


def fill_bank(
    network: PromptedNetwork,
    training: TrainingSet,
    clean: Tensor,
    seed: int,
    distant: float,
    *,
    former: int | None = None,
) -> list[NDArray[np.int64]]:
    """Fill the bank's parts of the products of a training set, and index it.

    Patches are drawn at random, the same number of each image. Then a share of them is drawn anew, the likelier the
    farther a cell lies from the patches of other groups: random ones rarely hold what is normal and rare.

    Args:
        network: its standardisation is set.
        training: the images.
        clean: N×C×h×w, their features as the backbone gives them.
        seed: of the draws, with the product's name.
        distant: the share drawn anew, in [0, 1).
        former: products that a trained bank holds already; None: it learns its projection from these patches.

    Returns:
        For each product and patch the place of the image that it shows among those of the product.
    """
    bank = network.bank
    assert bank is not None
    patches = bank.get_buffer("cells").shape[1]
    first, drawn = former or 0, []
    for product, name in enumerate(training.products, start=first):
        rows = training.indices(name)
        rng = generator(seed, f"prompt bank {name}")
        images, cells = draw_patches(len(rows), network.layout.side**2, patches, rng)
        for place, row in enumerate(rows):
            own = np.flatnonzero(images == place)
            _set(network, product, own, _tokens(network, clean, row), cells[own])
        drawn.append((images, cells))
    if former is None:
        bank.learn_projection()
    bank.index()
    if distant:
        for product, (name, (images, cells)) in enumerate(zip(training.products, drawn, strict=True), start=first):
            rng = generator(seed, f"distant patches {name}")
            for place, row in enumerate(training.indices(name)):
                own = np.flatnonzero(images == place)
                kept = len(own) - int(distant * len(own))
                if kept < len(own) < network.layout.side**2:
                    others = ~training.own_patches(training.train[row], patches)
                    tokens = _tokens(network, clean, row)
                    chosen = _distant(bank, tokens, product, others, cells[own[:kept]], len(own) - kept, rng)
                    _set(network, product, own[kept:], tokens, chosen)
        bank.index()
    return [images for images, _ in drawn]


def _tokens(network: PromptedNetwork, clean: Tensor, row: int) -> Tensor:
    return network.standardised(clean[row : row + 1].to(network.device).float())


def _set(
    network: PromptedNetwork, product: int, patches: NDArray[np.int64], tokens: Tensor, cells: NDArray[np.int64]
) -> None:
    """Set patches of a product to cells of an image."""
    bank, device = network.bank, network.device
    assert bank is not None
    rows = network.layout.unfold(tokens)[0].flatten(1).T
    bank.fill(product, torch.from_numpy(patches).to(device), rows[torch.from_numpy(cells).to(device)])


def _distant(
    bank: PromptBank,
    tokens: Tensor,
    product: int,
    others: NDArray[np.bool_],
    kept: NDArray[np.int64],
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw cells of an image with the fourth power of their distance to the nearest patch as weight.

    Args:
        bank: indexed.
        tokens: standardised, 1×C×h×w.
        product: whose patches are looked at.
        others: those that show another part than the image; where there are none, all count.
        kept: cells that are not drawn.
        count: how many to draw.
        rng: seeded.
    """
    excluded = torch.from_numpy(~others).to(tokens.device).unsqueeze(0) if others.any() else None
    weights = bank.distances(tokens, product, excluded)[0].square().cpu().double().numpy()
    weights = np.maximum(weights, max(weights.max(), 1) * _EVEN)
    weights[kept] = 0
    return rng.choice(len(weights), count, replace=False, p=weights / weights.sum())
