"""The supervised refiner: from reconstruction error to defect probability (OneNIP §3.3)."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Refiner(nn.Module):
    """Two blocks of [3×3 convolution → batch norm → ReLU → 2×2 transposed convolution], then 1×1 to one logit.

    Args:
        channels: of a cell, of all inputs together.
        hidden: channels inside.
        bottleneck: channels of a 1×1 convolution before the first block, which cuts its cost; 0: none (the paper).
        detail: cells per token and axis, 1 (the paper) or 2: then only the first block upsamples.
    """

    def __init__(self, channels: int, hidden: int = 128, bottleneck: int = 0, detail: int = 1) -> None:
        super().__init__()
        self.bottleneck = _Bottleneck(channels, bottleneck, detail) if bottleneck else _Unfold(detail)
        self.block1 = _block(bottleneck or channels, hidden, upsample=True)
        self.block2 = _block(hidden, hidden, upsample=detail == 1)
        self.predictor = nn.Conv2d(hidden, 1, 1)

    def forward(self, *tokens: Tensor) -> Tensor:
        """|f − f̂|, and f where it sees that, each B×C×h×w → B×1×4h×4w logits."""
        cells = self.bottleneck(*tokens)
        if cells.is_cuda:  # as its convolutions want it; otherwise each of them would turn its tensors round
            cells = cells.contiguous(memory_format=torch.channels_last)
        return self.predictor(self.block2(self.block1(cells)))  # type: ignore[no-any-return]


class _Unfold(nn.Module):
    """The cells of all inputs, which lie folded in their tokens."""

    def __init__(self, detail: int) -> None:
        super().__init__()
        self._detail = detail

    def forward(self, *tokens: Tensor) -> Tensor:
        cells = tokens if self._detail == 1 else [F.pixel_shuffle(one, self._detail) for one in tokens]
        return cells[0] if len(cells) == 1 else torch.cat(list(cells), dim=1)


class _Bottleneck(nn.Sequential):
    """The same → 1×1 convolution → batch norm → ReLU, but unfolding after the convolution moves fewer channels."""

    def __init__(self, channels: int, width: int, detail: int) -> None:
        super().__init__(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self._detail = detail

    def forward(self, *tokens: Tensor) -> Tensor:
        convolution, norm, relu = self[0], self[1], self[2]
        assert isinstance(convolution, nn.Conv2d)
        detail, (batch, channels, height, width) = self._detail, tokens[0].shape
        # to a convolution of single cells it is all the same in which order they lie
        shape = batch, channels // detail**2, detail * height, detail * width
        weights = convolution.weight.chunk(len(tokens), dim=1)
        parts = [F.conv2d(one.reshape(shape), weight) for one, weight in zip(tokens, weights, strict=True)]
        unfolded = F.pixel_shuffle(reduce(torch.add, parts).reshape(batch, -1, height, width), detail)
        return relu(norm(unfolded))  # type: ignore[no-any-return]


def _block(channels: int, hidden: int, *, upsample: bool) -> nn.Sequential:
    layers = [nn.Conv2d(channels, hidden, 3, padding=1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU()]
    if upsample:
        layers.append(nn.ConvTranspose2d(hidden, hidden, 2, stride=2))
    return nn.Sequential(*layers)
