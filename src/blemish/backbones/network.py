"""A network as one of the kinds of backbone builds it, and the rules by which its levels are chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import nn

from blemish.backbones.description import Description
from blemish.errors import ConfigError


@dataclass(frozen=True)
class Network:
    """A feature extractor before it is frozen.

    Attributes:
        module: normalised images B×3×H×W → one B×C_i×h_i×w_i per level.
        strides: pixels per cell of each level.
        channels: channels of each level.
        description: how to build it again.
    """

    module: nn.Module
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    description: Description = field(default_factory=Description)


def rows_of(found: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The last level at each of the wanted strides that a network has. Raises ConfigError when it has none."""
    rows = tuple(max(row for row, stride in enumerate(found) if stride == one) for one in wanted if one in found)
    if not rows:
        raise ConfigError(f"The backbone's levels have strides {found}, none of {wanted}.", "Choose another backbone.")
    return rows


def quarters(blocks: int) -> tuple[int, ...]:
    """The last block of each quarter of a vision transformer: 2, 5, 8 and 11 of twelve (UniADC §2)."""
    return tuple(sorted({max(blocks * part // 4 - 1, 0) for part in (1, 2, 3, 4)}))


def checked_levels(name: str, levels: tuple[int, ...], count: int) -> tuple[int, ...]:
    """`levels` in ascending order. Raises ConfigError where the network has no such level."""
    if not levels or not all(0 <= level < count for level in levels):
        raise ConfigError(f"'{name}' has levels 0 to {count - 1}, not {levels}.", "Choose other levels.")
    return tuple(sorted(set(levels)))


def check_patches(name: str, size: int, patch: int) -> None:
    """Raises ConfigError unless an image of `size` pixels divides into whole patches; names the nearest sizes that
    also divide by 16, as the configuration asks.
    """
    if size % patch == 0:
        return
    step = math.lcm(patch, 16)
    below, above = size // step * step, (size // step + 1) * step
    fitting = " or ".join(str(one) for one in (below, above) if one > 0)
    raise ConfigError(
        f"'{name}' cuts images into patches of {patch}×{patch} pixels, and {size} is not a multiple of {patch}.",
        f"Set the size of the model to {fitting}.",
    )
