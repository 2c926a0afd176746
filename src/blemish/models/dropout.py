"""Dropout that costs neither a CPU a fifth of every training step nor a GPU a fifteenth."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_PLACES = 1 << 22  # where a mask may begin in its table
_ROUNDS = ((16, 0x7FEB352D), (15, 0x2C1B3C6D))  # shifts, and odd factors, of the hash


class Dropout(nn.Module):
    """As `torch.nn.Dropout`; on a CPU the masks are read at random places of a table, drawn once.

    Drawing them took 22 % of a training step of the preset `paper`. A mask that recurs after millions of
    values, at another place, is no different to the network. Where the step is compiled for a GPU, whether a value
    stays is a hash of its place and of one random number: less work than drawing a number for each.

    Args:
        share: of values that become 0, in [0, 1).
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Values of any shape; the ones that stay are scaled by 1 / (1 − share)."""
        return dropped(x, self.share) if self.training else x


def dropped(x: Tensor, share: float) -> Tensor:
    """`x` with a share of its values 0, the others scaled by 1 / (1 − share)."""
    if not share:
        return x
    if x.device.type != "cpu":
        return _hashed(x, share) if torch.compiler.is_compiling() else F.dropout(x, share)
    count = x.numel()
    table = _table(share, x.dtype, -(-count // _PLACES))
    start = int(torch.randint(_PLACES + 1, ()))
    return x * table[start : start + count].view(x.shape)


def _hashed(x: Tensor, share: float) -> Tensor:
    """As `dropped`; its operations are cheap only where a compiler makes one kernel of them."""
    seed = torch.randint(-(2**31), 2**31, (1,), dtype=torch.int32, device=x.device)
    mixed = torch.arange(x.numel(), dtype=torch.int32, device=x.device)
    for shift, factor in _ROUNDS:
        mixed = (mixed ^ (mixed >> shift)) * factor + seed
    kept = mixed >= round(share * 2**32) - 2**31
    return torch.where(kept.view(x.shape), x / (1 - share), 0)


@cache
def _table(share: float, dtype: torch.dtype, blocks: int) -> Tensor:
    """As many blocks of values as the mask has, and one more."""
    kept = torch.rand((blocks + 1) * _PLACES, generator=torch.Generator().manual_seed(0)) >= share
    return kept.to(dtype) / (1 - share)
