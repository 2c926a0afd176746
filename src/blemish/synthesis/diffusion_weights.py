"""The weights of the diffusion model, which the user brings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blemish.errors import ConfigError

if TYPE_CHECKING:
    from blemish.synthesis.diffusion.config import DiffusionConfig


@dataclass(frozen=True)
class DiffusionWeights:
    """Folders of weights, and how they are run. Nothing is read before it is needed.

    Attributes:
        stable_diffusion: a Stable Diffusion 1.5 in diffusers' layout.
        brushnet: BrushNet's weights for segmentation masks.
        brushnet_random: those for random masks, which a negative prompt needs.
        clip, alpha_clip: CLIP's folder and AlphaCLIP's file, which choose among candidates; both or neither.
        half: half precision.
        offload: each network is on the device only while it computes.
        device: name of a torch device.
        config: constants but for the size; None: the paper's.

    Raises:
        ConfigError: one of CLIP and AlphaCLIP without the other.
    """

    stable_diffusion: Path
    brushnet: Path
    brushnet_random: Path | None = None
    clip: Path | None = None
    alpha_clip: Path | None = None
    half: bool = False
    offload: bool = False
    device: str = "cpu"
    config: DiffusionConfig | None = None

    def __post_init__(self) -> None:
        if (self.clip is None) != (self.alpha_clip is None):
            raise ConfigError(
                "AlphaCLIP takes a CLIP and weights of its own.", "Give both: --clip DIR --alpha-clip FILE."
            )
