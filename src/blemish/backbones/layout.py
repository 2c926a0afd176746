"""How the levels of a backbone become one grid of tokens, and back to cells for maps and refiner."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from blemish.backbones.backbone import Backbone
from blemish.config import ModelConfig
from blemish.errors import ConfigError


@dataclass(frozen=True)
class FeatureLayout:
    """Channels of a token.

    Every level is resized to detail×detail cells per token and concatenated; the cells of a token are folded into its
    channels. With one cell per token that is OneNIP §3.1.

    Attributes:
        channels: of each level.
        grid: tokens per side.
        detail: cells per token and axis.
        neighbourhood: cells per axis over which a level is averaged beforehand, zeros beyond the border.
        weights: of each level's channels in distances between cells; None: 1 (the paper).
    """

    channels: tuple[int, ...]
    grid: int
    detail: int = 1
    neighbourhood: int = 1
    weights: tuple[float, ...] | None = None

    @classmethod
    def of(cls, backbone: Backbone, config: ModelConfig) -> FeatureLayout:
        """The layout of a backbone's levels under a configuration.

        Raises:
            ConfigError: no level counts in distances.
        """
        weights = _level_weights(backbone.strides, backbone.channels, config)
        return cls(backbone.channels, config.grid, config.detail, config.neighbourhood, weights)

    @property
    def side(self) -> int:
        """Cells per side of an image."""
        return self.grid * self.detail

    @property
    def cell_channels(self) -> int:
        """Channels of a cell."""
        return sum(self.channels)

    @property
    def token_channels(self) -> int:
        """C of the tokens."""
        return self.cell_channels * self.detail**2

    def cell_weights(self) -> Tensor:
        """Weight of each channel of a cell in distances between cells."""
        weights = self.weights or (1.0,) * len(self.channels)
        return torch.cat([torch.full((channels,), w) for channels, w in zip(self.channels, weights, strict=True)])

    def tokens(self, levels: list[Tensor]) -> Tensor:
        """Levels B×C_i×h_i×w_i → tokens B×C×grid×grid."""
        return self.fold(torch.cat([self._resized(self._averaged(level)) for level in levels], dim=1))

    def fold(self, cells: Tensor) -> Tensor:
        """Cells B×c×side×side → tokens B×C×grid×grid."""
        return F.pixel_unshuffle(cells, self.detail)

    def unfold(self, tokens: Tensor) -> Tensor:
        """Tokens B×C×grid×grid → cells B×c×side×side."""
        return F.pixel_shuffle(tokens, self.detail)

    def means(self, tokens: Tensor) -> Tensor:
        """Mean of every cell channel: tokens B×C×grid×grid → B×c."""
        return tokens.mean(dim=(2, 3)).view(-1, self.cell_channels, self.detail**2).mean(dim=2)

    def shared(self, values: Tensor) -> Tensor:
        """Values per token channel → their mean over the folded cells of each cell channel, in the same order."""
        return values.view(-1, self.detail**2).mean(dim=1, keepdim=True).expand(-1, self.detail**2).flatten()

    def _averaged(self, level: Tensor) -> Tensor:
        window = self.neighbourhood
        return level if window == 1 else F.avg_pool2d(level, window, stride=1, padding=window // 2)

    def _resized(self, level: Tensor) -> Tensor:
        """Bilinear with align_corners=True as in the paper; with several cells per token fine levels are averaged."""
        if level.shape[-1] == self.side:
            return level
        if self.detail > 1 and level.shape[-1] % self.side == 0:
            return F.avg_pool2d(level, level.shape[-1] // self.side)
        return F.interpolate(level, size=(self.side, self.side), mode="bilinear", align_corners=self.detail == 1)


def _level_weights(
    strides: tuple[int, ...], channels: tuple[int, ...], config: ModelConfig
) -> tuple[float, ...] | None:
    """None where all channels count 1; else the squares of the counting channels' weights have the mean 1."""
    counts = [stride >= config.distance_stride for stride in strides]
    if not any(counts):
        raise ConfigError(
            f"All levels of the backbone have strides below {config.distance_stride}: {strides}.",
            "Choose coarser levels, or a lower distance_stride.",
        )
    if not config.equal_levels:
        return None if all(counts) else tuple(map(float, counts))
    share = sum(number for number, one in zip(channels, counts, strict=True) if one) / sum(counts)
    return tuple(math.sqrt(share / number) if one else 0.0 for number, one in zip(channels, counts, strict=True))
