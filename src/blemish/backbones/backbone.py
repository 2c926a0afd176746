"""Frozen feature extractors: `embedded` (ours, ships with the package), `timm:<name>` and `transformers:<folder>`.

Rule for the levels, unless they are named: of a convolutional network the last level at each of the configured strides
(4, 8, 16) that it has; of a network with one stride (vision transformers) the last block of each quarter, with the
network's final norm applied to each (UniADC §2).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from blemish.backbones.description import IMAGENET_MEAN, IMAGENET_STD, Description
from blemish.backbones.network import Network, rows_of
from blemish.config import BackboneConfig

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Backbone", "build_backbone", "load_backbone"]


class Backbone(nn.Module):
    """A frozen network with several feature levels.

    Args:
        network: images → levels.
        strides, channels: of its levels.
        rows: which of them to use; None: all.
        description: mean and standard deviation that its images are normalised with, and what else is needed to build
            it again.

    Attributes:
        strides: pixels per cell of each level.
        channels: channels of each level.
    """

    def __init__(
        self,
        network: nn.Module,
        strides: tuple[int, ...],
        channels: tuple[int, ...],
        rows: tuple[int, ...] | None = None,
        description: Description | None = None,
    ) -> None:
        super().__init__()
        self._rows = tuple(range(len(strides))) if rows is None else rows
        self._channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"  # timm's Swin and its like
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.strides = tuple(strides[row] for row in self._rows)
        self.channels = tuple(channels[row] for row in self._rows)
        self.description = description or Description()
        self.register_buffer("mean", torch.tensor(self.description.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(self.description.std).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Backbone:
        """Stays in evaluation mode: its batch-norm statistics are frozen too."""
        return super().train(False)

    @torch.no_grad()
    def levels(self, images: Tensor) -> list[Tensor]:
        """Features of every level.

        Args:
            images: uint8 B×H×W×3 RGB.

        Returns:
            float32 B×C_i×h_i×w_i, in the order of `strides`.
        """
        x = images.permute(0, 3, 1, 2).to(self.get_buffer("mean").dtype).div(255)
        x = (x - self.get_buffer("mean")) / self.get_buffer("std")
        levels = self.network(x.contiguous(memory_format=torch.channels_last))
        if self._channels_last:
            levels = [level.permute(0, 3, 1, 2) for level in levels]
        return [levels[row].float() for row in self._rows]

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.levels(images)


def load_backbone(config: BackboneConfig, size: int, *, offline: bool = False) -> Backbone:
    """Build a backbone and load its weights.

    Args:
        config: which one; `config.weights` is read for a timm model, else its hub is asked (unless `offline`).
        size: side of the square input in pixels, needed by vision transformers.
        offline: never touch the network.

    Raises:
        ConfigError: no such model or level, or the size does not divide into its patches.
        ModelError: the weights are missing or do not fit; says how to supply them.
        MissingExtraError: timm or transformers is not installed.
    """
    if config.name == "embedded":
        from blemish.backbones.embedded import load_embedded

        embedded = load_embedded()
        return Backbone(embedded, embedded.strides, embedded.channels, rows_of(embedded.strides, config.strides))
    if config.name.startswith("transformers:"):
        from blemish.backbones.transformers_network import load_transformers

        return _wrap(load_transformers(config, size, offline=offline))
    from blemish.backbones.timm_network import load_timm

    return _wrap(load_timm(config, size, offline=offline))


def build_backbone(config: BackboneConfig, size: int, description: Description | None = None) -> Backbone:
    """The same network without weights, for a model folder that brings its own.

    Args:
        config: which one.
        size: side of the square input in pixels.
        description: of the backbone that the weights come from; None: what the network's library says of it.

    Raises:
        ConfigError: as `load_backbone`.
        ModelError: a transformers network without its description.
        MissingExtraError: timm or transformers is not installed.
    """
    if config.name == "embedded":
        return load_backbone(config, size)
    if config.name.startswith("transformers:"):
        from blemish.backbones.transformers_network import build_transformers

        return _wrap(build_transformers(config, size, description or Description()))
    from blemish.backbones.timm_network import build_timm

    network = build_timm(config, size)
    return _wrap(network if description is None else replace(network, description=description))


def _wrap(network: Network) -> Backbone:
    return Backbone(network.module, network.strides, network.channels, description=network.description)
