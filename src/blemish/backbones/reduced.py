"""Levels with fewer channels: the principal components of a deep network's many and redundant ones."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from blemish.backbones.backbone import Backbone

_SMALLEST = 1e-5  # standard deviation below which a channel says nothing


class ReducedBackbone(Backbone):
    """A backbone of which each level keeps its first principal components, with mean 0 over the images learned from.

    Channels are standardised before the components are found, so that no channel counts more for its scale. A
    component keeps its variance in proportion to the level's others; their mean is 1. Levels with no more channels
    than components are standardised alone.

    Args:
        inner: the backbone.
        components: of each level at most.
    """

    def __init__(self, inner: Backbone, components: int) -> None:
        nn.Module.__init__(self)
        self.inner = inner
        self.strides = inner.strides
        self.channels = tuple(min(channels, components) for channels in inner.channels)
        self.description = inner.description
        for level, (before, after) in enumerate(zip(inner.channels, self.channels, strict=True)):
            self.register_buffer(f"mean{level}", torch.zeros(before))
            self.register_buffer(f"projection{level}", torch.eye(before, after))

    @torch.no_grad()
    def learn(self, batches: Iterable[Tensor]) -> None:
        """Find the components.

        Args:
            batches: uint8 B×H×W×3 images, normal and otherwise: what they do not show may be lost.
        """
        device = self.get_buffer("mean0").device
        cells = [0] * len(self.strides)
        sums = [torch.zeros(channels, dtype=torch.double) for channels in self.inner.channels]
        products = [torch.zeros(channels, channels, dtype=torch.double) for channels in self.inner.channels]
        for images in batches:
            for level, features in enumerate(self.inner.levels(images.to(device))):
                rows = features.permute(0, 2, 3, 1).flatten(0, 2)
                cells[level] += len(rows)
                sums[level] += rows.sum(dim=0, dtype=torch.double).cpu()
                products[level] += (rows.T @ rows).double().cpu()
        for level, components in enumerate(self.channels):
            mean = sums[level] / cells[level]
            covariance = products[level] / cells[level] - torch.outer(mean, mean)
            scale = covariance.diagonal().clamp(min=_SMALLEST**2).rsqrt()
            projection = scale.diag()
            if components < len(mean):
                values, vectors = torch.linalg.eigh(covariance * torch.outer(scale, scale))
                projection = scale[:, None] * vectors[:, -components:]
                projection = projection * (components / values[-components:].sum().clamp(min=_SMALLEST)).sqrt()
            self.get_buffer(f"mean{level}").copy_(mean)
            self.get_buffer(f"projection{level}").copy_(projection)

    @torch.no_grad()
    def levels(self, images: Tensor) -> list[Tensor]:
        """As `Backbone.levels`, with fewer channels."""
        reduced = []
        for level, features in enumerate(self.inner.levels(images)):
            projection = self.get_buffer(f"projection{level}")
            offset = self.get_buffer(f"mean{level}") @ projection
            components = projection.T @ features.flatten(2) - offset[:, None]
            reduced.append(components.reshape(*components.shape[:2], *features.shape[-2:]))
        return reduced


def reduced(backbone: Backbone, components: int) -> Backbone:
    """The backbone with at most so many channels per level; itself where it has no more, or `components` is 0."""
    if not components or max(backbone.channels) <= components:
        return backbone
    return ReducedBackbone(backbone, components)
