"""Constants of the controllable inpainting."""

from __future__ import annotations

from dataclasses import dataclass

from blemish.errors import ConfigError


@dataclass(frozen=True)
class DiffusionConfig:
    """How defects are repainted and chosen. The defaults are UniADC's (its §3.2 and the release).

    Attributes:
        size: side of the square images in pixels, a multiple of 8.
        noise_factors: γ: shares of the noise schedule at which repainting starts.
        steps: DDIM steps of a repaint, whatever γ.
        absent_noise_factor, absent_steps: the same with a negative prompt, that is for what is missing.
        guidance: weight of classifier-free guidance.
        prior_scale: factor of BrushNet's residuals when a description guides, which hides what is below the mask.
        sample_scale: the same when a pasted defect guides, which BrushNet sees.
        rounds, masks: candidates of one image from a description: each round takes one normal image and so many masks.
        pastes: the same from a defect: so many pastes of one region.
        images: per category.
        sample_prompt: description of a pasted defect.
        batch: candidates in one pass of the networks; bounds the memory.
    """

    size: int = 512
    noise_factors: tuple[float, ...] = (0.4, 0.5, 0.6)
    steps: int = 10
    absent_noise_factor: float = 1.0
    absent_steps: int = 20
    guidance: float = 12.5
    prior_scale: float = 1.0
    sample_scale: float = 0.75
    rounds: int = 4
    masks: int = 8
    pastes: int = 32
    images: int = 16
    sample_prompt: str = "{category} defect"
    batch: int = 12

    def __post_init__(self) -> None:
        factors = (*self.noise_factors, self.absent_noise_factor)
        if not self.noise_factors or not all(0.02 <= factor <= 1 for factor in factors):
            raise ConfigError(f"Noise factors {factors} are not all in [0.02, 1].", "Choose shares of the schedule.")
        for name in ("steps", "absent_steps", "rounds", "masks", "pastes", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}.", "Choose 1 or more.")
        if self.size < 64 or self.size % 8:
            raise ConfigError(f"size is {self.size}.", "Choose a multiple of 8, at least 64.")

    def plan(self, negative_prompt: str) -> tuple[tuple[float, ...], int]:
        """Noise factors and steps for an image with this negative prompt (empty: none)."""
        if negative_prompt:
            return (self.absent_noise_factor,), self.absent_steps
        return self.noise_factors, self.steps

    def work(self, guidance: str, negative_prompt: str = "") -> int:
        """Denoising steps of one image.

        Args:
            guidance: `priors` or `samples`; the latter has no negative prompt.
        """
        if guidance == "samples":
            return self.pastes * len(self.noise_factors) * self.steps
        factors, steps = self.plan(negative_prompt)
        return self.rounds * self.masks * len(factors) * steps
