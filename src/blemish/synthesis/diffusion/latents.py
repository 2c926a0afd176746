"""Images and texts as the diffusion model sees them, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from blemish.errors import BlemishError

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class LatentCoder:
    """Encoder and decoder of the latent space.

    Attributes:
        stride: pixels per latent cell.
    """

    def __init__(self, vae: Any, device: torch.device, batch: int) -> None:
        self._vae, self._device, self._batch = vae, device, batch
        self.stride: int = 2 ** (len(vae.config.block_out_channels) - 1)

    @torch.no_grad()
    def encoded(self, images: Pixels) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the posterior of images B×S×S×3, scaled: each B×4×s×s."""
        parts = []
        for start in range(0, len(images), self._batch):
            pixels = torch.from_numpy(images[start : start + self._batch]).to(self._device)
            inputs = pixels.permute(0, 3, 1, 2).to(self._vae.dtype) / 127.5 - 1
            posterior = self._vae.encode(inputs).latent_dist
            parts.append((posterior.mean, posterior.std))
        means, deviations = (torch.cat(one) * self._vae.config.scaling_factor for one in zip(*parts, strict=True))
        return means, deviations

    @torch.no_grad()
    def decoded(self, latents: Tensor) -> Pixels:
        """Images B×S×S×3 of latents B×4×s×s.

        Raises:
            BlemishError: the networks gave numbers that are not finite.
        """
        images = []
        for start in range(0, len(latents), self._batch):
            part = latents[start : start + self._batch]
            pixels = self._vae.decode(part / self._vae.config.scaling_factor, return_dict=False)[0].float()
            if not bool(torch.isfinite(pixels).all()):
                raise BlemishError("The diffusion model gave numbers that are not finite.", "Try without --half.")
            images.append(((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu())
        return np.ascontiguousarray(torch.cat(images).numpy())


def hidden(images: Pixels, masks: Mask) -> Pixels:
    """Images whose masked pixels are black, −1 for the encoder."""
    return np.where(masks[..., None], np.uint8(0), images)


def kept(masks: Mask, size: tuple[int, int]) -> Tensor:
    """The mask channel B×1×s×s: 1 where the image is kept, 0 where it is repainted; nearest cells."""
    return F.interpolate(torch.from_numpy(~masks).float()[:, None], size=size)


@torch.no_grad()
def encoded_texts(texts: Sequence[str], tokenizer: Any, encoder: Any, device: torch.device) -> Tensor:
    """Texts as T×N×C."""
    tokens = encoded_tokens(texts, tokenizer, encoder.config.max_position_embeddings)
    states: Tensor = encoder(tokens.to(device))[0]
    return states


def encoded_tokens(texts: Sequence[str], tokenizer: Any, longest: int) -> Tensor:
    """Texts as token numbers T×N, filled up to the longest that the encoder takes, and cut off there."""
    length = min(int(tokenizer.model_max_length), longest)
    tokens = tokenizer(list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    numbers: Tensor = tokens.input_ids
    return numbers
