"""The supervised refiner: from reconstruction error to defect probability (OneNIP §3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Refiner(nn.Module):
    """Two blocks of [3×3 convolution → batch norm → ReLU → 2×2 transposed convolution], then 1×1 to one logit.

    Args:
        channels: channels of the input.
        hidden: channels inside.
        bottleneck: channels of a 1×1 convolution before the first block, which cuts its cost; 0: none (the paper).
        upsamplings: blocks that double the resolution: 2 (the paper) or, for input at stride 8, only the first.
    """

    def __init__(self, channels: int, hidden: int = 128, bottleneck: int = 0, upsamplings: int = 2) -> None:
        super().__init__()
        self.bottleneck = (
            nn.Sequential(nn.Conv2d(channels, bottleneck, 1, bias=False), nn.BatchNorm2d(bottleneck), nn.ReLU())
            if bottleneck
            else nn.Identity()
        )
        self.block1 = _block(bottleneck or channels, hidden, upsample=True)
        self.block2 = _block(hidden, hidden, upsample=upsamplings == 2)
        self.predictor = nn.Conv2d(hidden, 1, 1)

    def forward(self, error: Tensor) -> Tensor:
        """B×C×h×w, |f − f̂| → B×1×2ᵘh×2ᵘw logits, u upsamplings."""
        if error.is_cuda:  # as its convolutions want it; otherwise each of them would turn its tensors round
            error = error.contiguous(memory_format=torch.channels_last)
        return self.predictor(self.block2(self.block1(self.bottleneck(error))))  # type: ignore[no-any-return]


def _block(channels: int, hidden: int, *, upsample: bool) -> nn.Sequential:
    layers = [nn.Conv2d(channels, hidden, 3, padding=1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU()]
    if upsample:
        layers.append(nn.ConvTranspose2d(hidden, hidden, 2, stride=2))
    return nn.Sequential(*layers)
