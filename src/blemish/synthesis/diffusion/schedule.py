"""The last part of a DDIM schedule, at whose start repainting begins (UniADC §3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from blemish.backbones.transformers_import import quiet
from blemish.errors import ConfigError
from blemish.synthesis.diffusion.diffusers_import import import_diffusers


class Schedule:
    """DDIM without added noise (η = 0): the last `steps` of int(steps / γ) steps.

    Args:
        config: the checkpoint's own scheduler configuration, of whatever scheduler.
        noise_factor: γ.
        steps: how many are kept.

    Attributes:
        timesteps: the steps kept, falling.

    Raises:
        ConfigError: the schedule has fewer steps than that.
    """

    def __init__(self, config: Mapping[str, Any], noise_factor: float, steps: int) -> None:
        diffusers = import_diffusers()
        with quiet():
            # latents have no fixed range; configurations of other schedulers do not say so
            self._scheduler = diffusers.DDIMScheduler.from_config({"clip_sample": False, **config})
        number = int(steps / noise_factor)
        if number > self._scheduler.config.num_train_timesteps:
            raise ConfigError(
                f"{steps} steps from noise factor {noise_factor} on divide the schedule into {number} steps, "
                f"but it has {self._scheduler.config.num_train_timesteps}.",
                "Choose fewer steps or a larger noise factor.",
            )
        self._scheduler.set_timesteps(number)
        self.timesteps: list[int] = [int(step) for step in self._scheduler.timesteps[-steps:]]

    def noised(self, latents: Tensor, noise: Tensor) -> Tensor:
        """Latents as they are at the first step that is kept."""
        first = torch.tensor([self.timesteps[0]], device=latents.device)
        noised: Tensor = self._scheduler.add_noise(latents, noise, first)
        return noised

    def stepped(self, latents: Tensor, noise: Tensor, index: int) -> Tensor:
        """Latents one step later, given the noise predicted at step `index`."""
        later: Tensor = self._scheduler.step(noise, self.timesteps[index], latents, eta=0.0, return_dict=False)[0]
        return later
