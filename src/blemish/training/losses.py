"""Losses of the refiner and the discriminator: Dice and focal, per image."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F


def dice(probability: Tensor, target: Tensor, form: Literal["paper", "standard", "plain"]) -> Tensor:
    """Dice loss per image: 1 − (f·Σ y·ŷ + 1) / (Σ y² + Σ ŷ² + 1).

    Args:
        probability: B×1×H×W in [0, 1].
        target: B×1×H×W in [0, 1].
        form: `standard` has the usual f = 2; `paper` has f = 1, as the authors' release of OneNIP; `plain` has f = 2
            and sums without squares, as UniADC.

    Returns:
        B values in [0, 1).
    """
    factor = 1 if form == "paper" else 2
    overlap = (probability * target).flatten(1).sum(1)
    power = 1 if form == "plain" else 2
    total = probability.pow(power).flatten(1).sum(1) + target.pow(power).flatten(1).sum(1)
    return 1 - (factor * overlap + 1) / (total + 1)


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """Focal loss per image, γ = 2: mean over pixels of |y − ŷ|² · cross-entropy (Lin et al., ICCV 2017).

    Args:
        logits: B×1×H×W.
        target: B×1×H×W in [0, 1].

    Returns:
        B values ≥ 0.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return ((logits.sigmoid() - target).square() * entropy).flatten(1).mean(1)
