"""What is repainted, as the diffusion model sees it, and where each answer begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blemish.procedural.seeding import generator
from blemish.synthesis.diffusion.denoising import Start


@dataclass(frozen=True)
class Candidate:
    """One answer: of which image, from which share of the schedule in how many steps, whether something is missing."""

    image: int
    noise_factor: float
    steps: int
    absent: bool


@dataclass(frozen=True)
class Scene:
    """A call's images in latent space: means and deviations B×4×s×s, mask B×1×s×s, texts B×N×C."""

    mean: Tensor
    deviation: Tensor
    seen_mean: Tensor
    seen_deviation: Tensor
    mask: Tensor
    unwanted: Tensor
    wanted: Tensor
    seeds: Sequence[int]

    def start(self, batch: list[Candidate]) -> Start:
        """Where these candidates begin; every draw depends on a candidate's seed and noise factor only."""
        rows = [one.image for one in batch]
        shape = self.mean.shape[1:]
        draws = [_draws(self.seeds[one.image], one.noise_factor, shape) for one in batch]
        image, seen, noise = torch.from_numpy(np.stack(draws, axis=1)).to(self.mean)
        return Start(
            latents=self.mean[rows] + self.deviation[rows] * image,
            noise=noise,
            condition=torch.cat((self.seen_mean[rows] + self.seen_deviation[rows] * seen, self.mask[rows]), dim=1),
            text=torch.cat((self.unwanted[rows], self.wanted[rows])),
            noise_factors=[one.noise_factor for one in batch],
        )


def _draws(seed: int, noise_factor: float, shape: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """3×4×s×s: of the image's and of the seen image's latents from their posteriors, and the noise."""
    rng = generator(seed, "diffusion noise", round(1000 * noise_factor))
    return rng.standard_normal((3, *shape), dtype=np.float32)
