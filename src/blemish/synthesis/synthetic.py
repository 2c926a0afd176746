"""A synthetic defect image with its mask, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Mode = Literal["transplant", "painter", "diffusion"]


@dataclass(frozen=True)
class Provenance:
    """How a synthetic defect was made.

    Attributes:
        mode: `transplant`: cut from a real defect and pasted; `painter`: painted procedurally; `diffusion`: repainted
            by a diffusion model.
        seed: of all draws.
        source: the normal image.
        example: the defective image of a transplant, or of the paste that was repainted; None without one.
        prompt: the description that led to it; None without one.
        method: blending of a transplant, appearance of the painter, or the diffusion model's kind of guidance.
        shape: name of the mask's shape; None for transplants.
        score: of the selection among candidates, higher is better; None without a selection.
    """

    mode: Mode
    seed: int
    source: str
    example: str | None = None
    prompt: str | None = None
    method: str | None = None
    shape: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class Synthetic:
    """One synthetic defect.

    Attributes:
        image: uint8 S×S×3 RGB.
        mask: bool S×S, true on the defect, never empty.
        product, category: what it shows.
        provenance: how it was made.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    product: str
    category: str
    provenance: Provenance
