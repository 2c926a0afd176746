"""Fills the prompt bank, and finds in it what training images may see of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish.models.prompt_bank import PromptBank, draw_patches
from blemish.models.prompted import PromptedNetwork
from blemish.procedural.seeding import generator
from blemish.training.images import TrainingSet
from blemish.transfer import sent

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Neighbours:
    """Nearest patches of training images among the patches of other parts.

    A training image would find its own patches, and those of other shots of the same part, at a distance that no new
    image has. Both are left out, unless the product has no other training images.
    """

    bank: PromptBank
    product: NDArray[np.int64]
    group: NDArray[np.int64]
    patch_group: Tensor

    @classmethod
    def of(
        cls,
        network: PromptedNetwork,
        training: TrainingSet,
        clean: Tensor,
        seed: int,
        advance: Callable[[int], None],
    ) -> Neighbours:
        """Fill and index the bank with patches drawn from the clean features (N×C×h×w, as the backbone gives them).

        `advance` is called with 1 for each image.
        """
        bank = network.bank
        assert bank is not None
        product = np.array([training.products.index(image.product) for image in training.train])
        _, group = np.unique([f"{image.product}\0{image.group}" for image in training.train], return_inverse=True)
        patch_group = torch.empty(bank.get_buffer("cells").shape[:2], dtype=torch.int64, device=network.device)
        for index, name in enumerate(training.products):
            rows = training.indices(name)
            if len(np.unique(group[rows])) == 1:
                _log.warning(
                    "'%s' has normal training images of one part only: they are compared with themselves", name
                )
            images = fill_bank(network, index, clean, rows, seed, name, advance)
            patch_group[index] = torch.from_numpy(group[rows][images]).to(patch_group.device)
        bank.learn_projection()
        bank.index()
        return cls(bank, product, group, patch_group)

    def find(self, tokens: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Patches nearest to standardised tokens B×C×h×w that show the training images `rows` (or were made of them).

        Returns:
            int32 B×cells.
        """
        found = []
        for token, row in zip(tokens, rows, strict=True):
            product = int(self.product[row])
            own = self.patch_group[product] == int(self.group[row])
            excluded = None if own.all() else own.unsqueeze(0)  # a product of one part has no other patches
            found.append(self.bank.search(token.unsqueeze(0), product, excluded))
        return torch.cat(found).to(torch.int32)

    def compose(self, indices: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Prompt tokens B×C×h×w of the patches that were found."""
        device = self.patch_group.device
        return self.bank.compose(indices.to(device).long(), sent(self.product[rows], device))


def fill_bank(
    network: PromptedNetwork,
    product: int,
    clean: Tensor,
    rows: NDArray[np.int64],
    seed: int,
    name: str,
    advance: Callable[[int], None],
) -> NDArray[np.int64]:
    """Fill a product's part of the bank with patches of its images.

    Args:
        network: its standardisation is set.
        product: which part.
        clean: N×C×h×w, features of training images as the backbone gives them.
        rows: which of them show the product.
        seed: of the draw.
        name: of the product; the draw depends on it, and not on other products.
        advance: called with 1 for each image.

    Returns:
        For each patch the place in `rows` of the image that it comes from.
    """
    bank = network.bank
    assert bank is not None
    side, device = network.layout.side, network.device
    patches = bank.get_buffer("cells").shape[1]
    image, cell = draw_patches(len(rows), side * side, patches, generator(seed, f"prompt bank {name}"))
    for number, row in enumerate(rows):
        own = torch.from_numpy(np.flatnonzero(image == number)).to(device)
        tokens = network.standardised(clean[row : row + 1].to(device).float())
        cells = network.layout.unfold(tokens)[0].flatten(1).T
        bank.fill(product, own, cells[torch.from_numpy(cell[image == number]).to(device)])
        advance(1)
    return image
