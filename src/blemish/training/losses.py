"""Losses of OneNIP (§3 of the paper)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor


def dice(probability: Tensor, target: Tensor, form: Literal["paper", "standard"]) -> Tensor:
    """Dice loss per image: 1 − (f·Σ y·ŷ + 1) / (Σ y² + Σ ŷ² + 1).

    Args:
        probability: B×1×H×W in [0, 1].
        target: B×1×H×W in [0, 1].
        form: `standard` has the usual f = 2; `paper` has f = 1, as the authors' release.

    Returns:
        B values in [0, 1).
    """
    factor = 2 if form == "standard" else 1
    overlap = (probability * target).flatten(1).sum(1)
    total = probability.square().flatten(1).sum(1) + target.square().flatten(1).sum(1)
    return 1 - (factor * overlap + 1) / (total + 1)
