"""The supervised refiner: from reconstruction error to defect probability (OneNIP §3.3)."""

from __future__ import annotations

from torch import Tensor, nn


class Refiner(nn.Module):
    """Two blocks of [3×3 convolution → batch norm → ReLU → 2×2 transposed convolution], then 1×1 to one logit.

    Args:
        channels: channels of the input.
        hidden: channels inside.
    """

    def __init__(self, channels: int, hidden: int = 128) -> None:
        super().__init__()
        self.block1 = _block(channels, hidden)
        self.block2 = _block(hidden, hidden)
        self.predictor = nn.Conv2d(hidden, 1, 1)

    def forward(self, error: Tensor) -> Tensor:
        """B×C×h×w, |f − f̂| → B×1×4h×4w logits."""
        return self.predictor(self.block2(self.block1(error)))  # type: ignore[no-any-return]


def _block(channels: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 3, padding=1, bias=False),
        nn.BatchNorm2d(hidden),
        nn.ReLU(),
        nn.ConvTranspose2d(hidden, hidden, 2, stride=2),
    )
