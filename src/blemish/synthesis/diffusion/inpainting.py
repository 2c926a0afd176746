"""Repainting of masked regions: a latent diffusion model under BrushNet (UniADC §3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from blemish.errors import ConfigError, ModelError
from blemish.synthesis.diffusion.brushnet import BrushNet
from blemish.synthesis.diffusion.config import DiffusionConfig
from blemish.synthesis.diffusion.controlled import ControlledUNet
from blemish.synthesis.diffusion.denoising import Denoiser
from blemish.synthesis.diffusion.latents import LatentCoder, Mask, Pixels, encoded_texts, hidden, kept
from blemish.synthesis.diffusion.parts import Parts, load_parts
from blemish.synthesis.diffusion.scene import Candidate, Scene

Guidance = Literal["priors", "samples"]
Progress = Callable[[int, int], None]


class Inpainter:
    """Repaints masked regions of images.

    Args:
        parts: the networks; moved to `device`, unless they are offloaded.
        device: where they compute.
        offload: each network is on `device` only while it computes; less memory, a little slower.
    """

    def __init__(
        self, parts: Parts, device: torch.device, *, offload: bool = False, config: DiffusionConfig | None = None
    ) -> None:
        self.config = config or DiffusionConfig()
        self._parts, self._device, self._offload = parts, device, offload
        self._denoise = Denoiser(ControlledUNet(parts.unet), parts.scheduler, self.config.guidance)
        self._coder = LatentCoder(parts.vae, device, self.config.batch)
        networks = (parts.unet, parts.vae, parts.text_encoder, parts.brushnet, parts.brushnet_random)
        for network in networks if not offload else ():
            if network is not None:
                network.to(device)

    @classmethod
    def load(
        cls,
        stable_diffusion: Path,
        brushnet: Path,
        brushnet_random: Path | None = None,
        device: str | torch.device = "cpu",
        half: bool = False,
        offload: bool = False,
        config: DiffusionConfig | None = None,
    ) -> Inpainter:
        """Read the networks from local folders; nothing is fetched.

        Args:
            stable_diffusion: a Stable Diffusion 1.5 in diffusers' layout.
            brushnet: BrushNet's weights for segmentation masks, as published.
            brushnet_random: those for random masks, which a negative prompt needs; None: not given.
            half: half precision: float16 on an accelerator, bfloat16 on a CPU.

        Raises:
            ModelError: a folder is missing, incomplete or of another kind; names what belongs there.
            MissingExtraError: diffusers or transformers is not installed.
        """
        device = torch.device(device)
        narrow = torch.bfloat16 if device.type == "cpu" else torch.float16
        parts = load_parts(
            Path(stable_diffusion),
            Path(brushnet),
            None if brushnet_random is None else Path(brushnet_random),
            narrow if half else torch.float32,
        )
        return cls(parts, device, offload=offload, config=config)

    @torch.no_grad()
    def repaint(
        self,
        images: Pixels,
        masks: Mask,
        prompts: Sequence[str],
        negative_prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        guidance: Guidance = "priors",
        progress: Progress | None = None,
    ) -> list[Pixels]:
        """Repaint each image below its mask, once from each noise factor.

        An answer depends on its image, mask, texts, seed and noise factor only, not on what else is repainted in the
        same call (but for rounding).

        Args:
            images: B×S×S×3, S a multiple of the latent cell (8).
            masks: B×S×S, true where it is repainted.
            prompts: what shall be seen there, B of them.
            negative_prompts: what shall not; where it is not empty something is missing, and the noise factor is 1.
            seeds: of the noise, ≥ 0.
            guidance: `priors`: what the mask covers is hidden from BrushNet; `samples`: it sees the image as it is,
                a pasted defect, and its residuals count less.
            progress: called with the denoising steps done and their number.

        Returns:
            per image F×S×S×3: one answer per noise factor (`config.noise_factors`, or one with a negative prompt). The
            decoded image is used whole: outside the mask it is the image up to what the latent space loses.

        Raises:
            ConfigError: sizes or numbers do not fit.
            ModelError: a negative prompt, and BrushNet's weights for random masks were not given.
        """
        self._check(images, masks, prompts, negative_prompts, seeds)
        candidates = [
            Candidate(image, factor, steps, bool(negative))
            for image, negative in enumerate(negative_prompts)
            for factors, steps in [self.config.plan(negative)]
            for factor in factors
        ]
        if not candidates:
            return []
        scene = self._scene(images, masks, [*negative_prompts, *prompts], seeds, guidance)
        scale = self.config.prior_scale if guidance == "priors" else self.config.sample_scale
        total, done = sum(one.steps for one in candidates), 0
        latents: dict[Candidate, Tensor] = {}
        for absent in sorted({one.absent for one in candidates}):
            brushnet = self._brushnet(absent)
            with self._placed(self._parts.unet, brushnet):
                for batch in self._batches([one for one in candidates if one.absent == absent]):
                    for painted in self._denoise(brushnet, scene.start(batch), batch[0].steps, scale):
                        latents.update(zip(batch, painted, strict=True))  # those of the last step stay
                        done += len(batch)
                        if progress is not None:
                            progress(done, total)
        with self._placed(self._parts.vae):
            answers = self._coder.decoded(torch.stack([latents[one] for one in candidates]))
        owners = np.array([one.image for one in candidates])
        return [answers[owners == image] for image in range(len(images))]

    def _scene(self, images: Pixels, masks: Mask, texts: list[str], seeds: Sequence[int], guidance: Guidance) -> Scene:
        different = sorted(set(texts))  # each text is encoded once
        parts = self._parts
        with self._placed(parts.text_encoder):
            states = encoded_texts(different, parts.tokenizer, parts.text_encoder, self._device)
        unwanted, wanted = states[[different.index(text) for text in texts]].chunk(2)
        with self._placed(parts.vae):
            mean, deviation = self._coder.encoded(images)
            seen = self._coder.encoded(hidden(images, masks) if guidance == "priors" else images)
        mask = kept(masks, (mean.shape[2], mean.shape[3])).to(mean)
        return Scene(mean, deviation, *seen, mask, unwanted, wanted, seeds)

    def _batches(self, candidates: list[Candidate]) -> Iterator[list[Candidate]]:
        for first in range(0, len(candidates), self.config.batch):
            yield candidates[first : first + self.config.batch]

    def _brushnet(self, absent: bool) -> BrushNet:
        if not absent:
            return self._parts.brushnet
        if self._parts.brushnet_random is None:
            raise ModelError(
                "A negative prompt is repainted with BrushNet's weights for random masks, which were not given.",
                "Name their folder: config.json and diffusion_pytorch_model.safetensors, as published.",
            )
        return self._parts.brushnet_random

    @contextmanager
    def _placed(self, *networks: Any) -> Iterator[None]:
        """Networks on the device; with offloading only within the block."""
        moved: tuple[nn.Module, ...] = networks if self._offload else ()
        try:
            for network in moved:
                network.to(self._device)
            yield
        finally:
            for network in moved:
                network.to("cpu")

    def _check(
        self, images: Pixels, masks: Mask, prompts: Sequence[str], negative: Sequence[str], seeds: Sequence[int]
    ) -> None:
        if len({len(images), len(masks), len(prompts), len(negative), len(seeds)}) > 1:
            raise ConfigError("Images, masks, prompts and seeds differ in number.", "Give one of each per image.")
        if images.shape[:3] != masks.shape or images.shape[1] % self._coder.stride:
            raise ConfigError(
                f"Images {images.shape} and masks {masks.shape} cannot be repainted.",
                f"Give squares of one size, a multiple of {self._coder.stride} pixels.",
            )
        if any(negative):
            self._brushnet(absent=True)
