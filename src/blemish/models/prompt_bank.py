"""Many normal images as one prompt: a query's prompt is composed of the normal patches nearest to its own.

OneNIP prompts with one whole image, which must be reconstructed into the query's pose before anything can be compared.
Composing the prompt patch by patch (as memory-bank methods look up their neighbours) puts it in place beforehand.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from blemish.backbones.layout import FeatureLayout

_KEY_WIDTH = 128
_AT_ONCE = 128
_LEARN_SHARE = 4  # a quarter of the patches tells their principal components


class PromptBank(nn.Module):
    """Patches of normal training images, the same number for every product.

    Neighbours are searched among the cells' principal components; what is returned are the cells themselves.

    Args:
        layout: of the tokens; its cells are the patches.
        products: number of products.
        patches: per product.
    """

    def __init__(self, layout: FeatureLayout, products: int, patches: int) -> None:
        super().__init__()
        self.layout = layout
        channels = layout.cell_channels
        self.register_buffer("cells", torch.zeros(products, patches, channels, dtype=torch.float16))
        width = min(channels, _KEY_WIDTH)
        self.register_buffer("projection", torch.zeros(channels, width))
        self.register_buffer("keys", torch.zeros(products, width, patches), persistent=False)
        self.register_buffer("half_norms", torch.zeros(products, patches), persistent=False)

    def fill(self, product: int, patches: Tensor, cells: Tensor) -> None:
        """Set some patches of a product to standardised cells, n×C."""
        self.get_buffer("cells")[product, patches] = cells.half()

    def learn_projection(self) -> None:
        """Search among the principal components of the cells, each channel weighed as in distances."""
        weights = self.layout.cell_weights().double()
        scatter = torch.zeros(len(weights), len(weights), dtype=torch.float64)
        for cells in self.get_buffer("cells"):
            rows = cells[: -(-len(cells) // _LEARN_SHARE)].cpu().double() * weights  # they go round the images
            scatter += rows.T @ rows
        _, vectors = torch.linalg.eigh(scatter)
        projection = self.get_buffer("projection")
        projection.copy_(weights[:, None] * vectors[:, -projection.shape[1] :])

    def index(self) -> None:
        """Compute the search keys; call it after cells and projection were set or loaded."""
        projection = self.get_buffer("projection")
        for product, cells in enumerate(self.get_buffer("cells")):
            keys = cells.float() @ projection
            self.get_buffer("keys")[product] = keys.T
            self.get_buffer("half_norms")[product] = keys.square().sum(1) / 2

    def search(self, tokens: Tensor, product: int, excluded: Tensor | None = None) -> Tensor:
        """Nearest patch of every cell.

        Args:
            tokens: standardised, B×C×h×w, all of one product.
            product: its index.
            excluded: bool B×patches, patches that may not be found, such as those of the image itself.

        Returns:
            int64 B×(cells of the grid), in raster order.
        """
        queries = self.layout.unfold(tokens).flatten(2).transpose(1, 2) @ self.get_buffer("projection")
        keys, half_norms = self.get_buffer("keys")[product], self.get_buffer("half_norms")[product]
        found = []
        for row, query in enumerate(queries):
            bias = -half_norms if excluded is None else (-half_norms).masked_fill(excluded[row], float("-inf"))
            # on a CPU a part at a time, small enough for its cache; `max` finds the place faster than `argmax`
            parts = query.split(_AT_ONCE if query.device.type == "cpu" else len(query))
            found.append(torch.cat([torch.addmm(bias, part, keys).max(dim=1).indices for part in parts]))
        return torch.stack(found)

    def compose(self, indices: Tensor, products: Tensor) -> Tensor:
        """Patches B×cells found for images of `products` (B) → composed prompt tokens B×C×h×w."""
        side = self.layout.side
        cells = self.get_buffer("cells")[products.unsqueeze(1), indices].float()
        return self.layout.fold(cells.transpose(1, 2).reshape(products.shape[0], -1, side, side))


def draw_patches(images: int, cells: int, patches: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], ...]:
    """Image and cell of `patches` random patches, spread evenly over the images, without repeats while there are any.

    Args:
        images: number of images of the product.
        cells: per image.
        patches: wanted.
        rng: seeded.
    """
    image = np.arange(patches) % images
    cell = np.empty(patches, dtype=np.int64)
    for number in range(min(images, patches)):
        own = image == number
        orders = [rng.permutation(cells) for _ in range(0, int(own.sum()), cells)]
        cell[own] = np.concatenate(orders)[: own.sum()]
    return image, cell
