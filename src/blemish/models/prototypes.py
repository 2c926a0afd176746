"""What the categories look like on average: a second opinion on names, from features that nothing was trained on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHARPNESS = 12.0  # factor on cosine similarities before their softmax


@dataclass(frozen=True)
class DefectMean:
    """One defect of a training image.

    Attributes:
        product: index of its product.
        category: number among all of the model's categories.
        real: the image is an example, not synthetic.
        features: D, mean over the defect's area.
    """

    product: int
    category: int
    real: bool
    features: Tensor


class Prototypes(nn.Module):
    """One direction per product and category, seen from the centre of the product's categories.

    Args:
        products: number of products.
        categories: K, of all products together.
        channels: D of the features.
    """

    def __init__(self, products: int, categories: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("own", torch.zeros(products, categories, dtype=torch.bool))
        self.register_buffer("centres", torch.zeros(products, channels))
        self.register_buffer("directions", torch.zeros(products, categories, channels))

    def learn(self, defects: Iterable[DefectMean]) -> None:
        """Set centres and directions; the examples of a category count as much as all its synthetic defects."""
        found: dict[tuple[int, int, bool], list[Tensor]] = {}
        for defect in defects:
            found.setdefault((defect.product, defect.category, defect.real), []).append(defect.features)
        means = {key: torch.stack(features).float().mean(dim=0) for key, features in found.items()}
        for product in {product for product, _, _ in means}:
            numbers = sorted({category for one, category, _ in means if one == product})
            surest = [means[product, number, (product, number, True) in means] for number in numbers]
            centre = torch.stack(surest).mean(dim=0)
            self.get_buffer("centres")[product] = centre
            for number in numbers:
                kinds = [means[key] for real in (True, False) if (key := (product, number, real)) in means]
                direction = F.normalize(
                    torch.stack([F.normalize(mean - centre, dim=0) for mean in kinds]).sum(0), dim=0
                )
                self.get_buffer("directions")[product, number] = direction
                self.get_buffer("own")[product, number] = True

    def name(self, inputs: Tensor, products: Tensor, logits: Tensor, share: float) -> Tensor:
        """Logits that name the categories as the old ones and the prototypes do together.

        Args:
            inputs: B×D×h×w features.
            products: B, which product each image shows.
            logits: B×K×h×w.
            share: of the prototypes in the probabilities of the categories, in (0, 1].

        Returns:
            B×K×h×w: softmax over the categories of an image's product gives the mixed probabilities; their mean, the
            detection, is as before. Other products' categories keep their logits.
        """
        own = self.get_buffer("own")[products][:, :, None, None]
        seen = F.normalize(inputs - self.get_buffer("centres")[products][:, :, None, None], dim=1)
        likeness = torch.einsum("bkd,bdhw->bkhw", self.get_buffer("directions")[products], seen)

        def shares(values: Tensor) -> Tensor:
            return values.masked_fill(~own, -torch.inf).softmax(dim=1).nan_to_num()  # a product without categories

        mixed = torch.lerp(shares(logits), shares(SHARPNESS * likeness), share).clamp(min=1e-6).log()
        count = own.sum(dim=1, keepdim=True).clamp(min=1)
        level = ((logits - mixed) * own).sum(dim=1, keepdim=True) / count
        return torch.where(own, mixed + level, logits)
