"""How the levels of a backbone become one grid of tokens, and back to cells for maps and refiner."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from blemish.backbones.backbone import Backbone

TOKEN_STRIDE = 16


@dataclass(frozen=True)
class FeatureLayout:
    """Channels of a token.

    With `detail` 1 every level is resized to one cell per token and concatenated (OneNIP §3.1). With `detail` 2 the
    levels finer than a token keep 2×2 cells of it, folded into the channels; coarser ones have one.

    Attributes:
        channels: of each level.
        strides: of each level.
        grid: tokens per side.
        detail: cells per token and axis of the finer levels.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    grid: int
    detail: int = 1

    @classmethod
    def of(cls, backbone: Backbone, grid: int, detail: int) -> FeatureLayout:
        return cls(backbone.channels, backbone.strides, grid, detail)

    @property
    def factors(self) -> tuple[int, ...]:
        """Cells per token and axis of each level."""
        return tuple(self.detail if stride < TOKEN_STRIDE else 1 for stride in self.strides)

    @property
    def token_channels(self) -> int:
        """C of the tokens."""
        return sum(channels * factor**2 for channels, factor in zip(self.channels, self.factors, strict=True))

    @property
    def cell_channels(self) -> int:
        """Channels of the unfolded cells."""
        return sum(self.channels)

    def fold(self, levels: list[Tensor]) -> Tensor:
        """Levels B×C_i×h_i×w_i → tokens B×C×grid×grid."""
        return torch.cat(
            [
                F.pixel_unshuffle(self._resized(level, self.grid * factor), factor)
                for level, factor in zip(levels, self.factors, strict=True)
            ],
            dim=1,
        )

    def unfold(self, tokens: Tensor) -> Tensor:
        """Tokens B×C×grid×grid → cells B×(Σ C_i)×(detail·grid)×(detail·grid)."""
        if self.detail == 1:
            return tokens
        widths = [channels * factor**2 for channels, factor in zip(self.channels, self.factors, strict=True)]
        cells = []
        for part, factor in zip(torch.split(tokens, widths, dim=1), self.factors, strict=True):
            cells.append(F.pixel_shuffle(part, factor) if factor > 1 else self._resized(part, self.grid * self.detail))
        return torch.cat(cells, dim=1)

    def shared(self, values: Tensor) -> Tensor:
        """Values per token channel → their mean over the folded cells of each level's channel, in the same order."""
        widths = [channels * factor**2 for channels, factor in zip(self.channels, self.factors, strict=True)]
        parts = [
            part.view(channels, -1).mean(dim=1, keepdim=True).expand(-1, factor**2).flatten()
            for part, channels, factor in zip(torch.split(values, widths), self.channels, self.factors, strict=True)
        ]
        return torch.cat(parts)

    def _resized(self, level: Tensor, side: int) -> Tensor:
        """To side×side: as the paper with one cell per token; else fine levels are averaged, which loses no cell."""
        if level.shape[-1] == side:
            return level
        if self.detail > 1 and level.shape[-1] % side == 0:
            return F.avg_pool2d(level, level.shape[-1] // side)
        return F.interpolate(level, size=(side, side), mode="bilinear", align_corners=True)
