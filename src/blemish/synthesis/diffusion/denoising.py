"""From noise to latents: DDIM with classifier-free guidance, candidates of several noise factors in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from blemish.synthesis.diffusion.brushnet import BrushNet
from blemish.synthesis.diffusion.controlled import ControlledUNet
from blemish.synthesis.diffusion.schedule import Schedule


@dataclass(frozen=True)
class Start:
    """Where a batch begins.

    Attributes:
        latents: B×4×h×w, of the images.
        noise: B×4×h×w, standard normal.
        condition: B×5×h×w, what BrushNet sees.
        text: 2B×N×C: what is not wanted, and below it what is.
        noise_factors: γ of each.
    """

    latents: Tensor
    noise: Tensor
    condition: Tensor
    text: Tensor
    noise_factors: Sequence[float]


class Denoiser:
    """Takes noise away step by step.

    Args:
        scheduler: the checkpoint's own scheduler configuration.
        guidance: weight of classifier-free guidance.
    """

    def __init__(self, unet: ControlledUNet, scheduler: Mapping[str, Any], guidance: float) -> None:
        self._unet, self._scheduler, self._guidance = unet, scheduler, guidance

    @torch.no_grad()
    def __call__(self, brushnet: BrushNet, start: Start, steps: int, scale: float) -> Iterator[Tensor]:
        """Latents B×4×h×w after each of the steps, which are as many for every noise factor."""
        factors = list(start.noise_factors)
        schedules = {factor: Schedule(self._scheduler, factor, steps) for factor in sorted(set(factors))}
        rows = {factor: [row for row, one in enumerate(factors) if one == factor] for factor in schedules}
        latents = start.latents.clone()
        for factor, schedule in schedules.items():
            latents[rows[factor]] = schedule.noised(latents[rows[factor]], start.noise[rows[factor]])
        for step in range(steps):
            moments = [schedules[factor].timesteps[step] for factor in factors]
            timesteps = torch.tensor(moments, device=latents.device)
            # BrushNet reads no text: one pass serves both halves of the guidance
            residuals = brushnet(latents, timesteps, start.condition, scale).repeated(2)
            both = self._unet(torch.cat((latents, latents)), timesteps.repeat(2), start.text, residuals)
            unwanted, wanted = both.chunk(2)
            noise = unwanted + self._guidance * (wanted - unwanted)
            latents = latents.clone()
            for factor, schedule in schedules.items():
                latents[rows[factor]] = schedule.stepped(latents[rows[factor]], noise[rows[factor]], step)
            yield latents
