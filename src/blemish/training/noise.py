"""Gaussian noise for the feature jitter."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_LENGTH = 1 << 22


class NoiseTable:
    """Standard normal numbers, on a CPU from a table read at random places.

    Drawing as many fresh normal numbers as a step needs takes a CPU a third of the step; reading them costs next to
    nothing, and noise that recurs after millions of values is no different to the network. A GPU draws them afresh.

    Args:
        seed: of the table.
        device: where the noise is used.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._fresh = device.type == "cuda"
        self._device = device
        self._table = torch.randn(0 if self._fresh else _LENGTH, generator=torch.Generator().manual_seed(seed))

    def draw(self, shape: torch.Size, rng: np.random.Generator) -> Tensor:
        """Noise of this shape; `rng` decides on it, on a GPU through the seed of the step."""
        if self._fresh:
            return torch.randn(shape, device=self._device)
        left = shape.numel()
        parts = []
        while left > 0:
            start = int(rng.integers(_LENGTH // 2))
            part = self._table[start : start + min(left, _LENGTH // 2)]
            parts.append(part)
            left -= len(part)
        return torch.cat(parts).view(shape)
