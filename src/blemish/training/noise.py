"""Gaussian noise for the feature jitter."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_LENGTH = 1 << 22


class NoiseTable:
    """Standard normal numbers from a table read at random places.

    Drawing as many fresh normal numbers as a step needs takes a CPU a third of the step; reading them costs next to
    nothing, and noise that recurs after millions of values is no different to the network.

    Args:
        seed: of the table.
        device: where the noise is used.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        table = torch.randn(_LENGTH, generator=torch.Generator().manual_seed(seed))
        self._table = table.to(device)

    def draw(self, shape: torch.Size, rng: np.random.Generator) -> Tensor:
        """Noise of this shape; `rng` places the reads."""
        left = shape.numel()
        parts = []
        while left > 0:
            start = int(rng.integers(_LENGTH // 2))
            part = self._table[start : start + min(left, _LENGTH // 2)]
            parts.append(part)
            left -= len(part)
        return torch.cat(parts).view(shape)
