"""One training step of OneNIP: three inputs per sample, the losses of §3."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blemish.config import TrainConfig
from blemish.models.onenip import OneNIP
from blemish.models.transformer import use_kernels
from blemish.models.uniad import upsample
from blemish.training.losses import dice, focal
from blemish.training.noise import NoiseTable

_log = logging.getLogger(__name__)


class Batch:
    """Inputs of one step. No dataclass, for Fabric rounds the tensors of one to bf16, the targets of losses too.

    Args:
        clean: standardised tokens of normal images, B×C×h×w.
        anomalous: the same of a pseudo-anomalous version of each; None where no loss looks at them.
        prompts: prompt tokens of the clean images, and of the anomalous ones where those differ (composed prompts).
        mask: B×1×S×S, 1 where an anomalous image is defective; None with `anomalous`.
    """

    def __init__(
        self, clean: Tensor, anomalous: Tensor | None, prompts: tuple[Tensor, ...], mask: Tensor | None
    ) -> None:
        self.clean, self.anomalous, self.prompts, self.mask = clean, anomalous, prompts, mask


class TrainingStep(nn.Module):
    """Losses of a batch, as one module so that data-parallel training wraps all of it.

    Args:
        model: the network that is trained.
        config: which losses, and their weights.
        noise: for the feature jitter.
    """

    def __init__(self, model: OneNIP, config: TrainConfig, noise: NoiseTable) -> None:
        super().__init__()
        self.model = model
        self._config = config
        self._noise = noise

    def fuse(self) -> None:
        """Let PyTorch compile the step and record its kernels: worth its minute on a GPU, where thousands follow.

        Attention goes by our own kernel.

        Where it cannot, for want of a compiler, a warning says so and the step stays as it is.
        """
        from torch._dynamo.exc import TorchDynamoException
        from torch._inductor.exc import InductorError

        plain, compiled = self._losses, torch.compile(self._losses, mode="reduce-overhead")
        with suppress(ImportError):  # the compiler will say what is missing
            use_kernels(self.model)

        def losses(*inputs: Any) -> dict[str, Tensor]:
            try:
                found = compiled(*inputs)  # in memory that the next step overwrites
                return {name: loss.clone() for name, loss in found.items()}
            except (TorchDynamoException, InductorError) as error:
                reason = " ".join(str(error).split("\n")[:2]) or type(error).__name__
                _log.warning("the training step cannot be compiled and takes longer: %s", reason)
                self._losses = plain  # type: ignore[method-assign]
                use_kernels(self.model, False)
                return plain(*inputs)

        self._losses = losses  # type: ignore[method-assign, assignment]

    def forward(self, batch: Batch, rng: np.random.Generator) -> dict[str, Tensor]:
        """`total` and its parts: the decoder's `reconstruction` and `restoration`, the refiner's `dice` and `focal`."""
        inputs = batch.clean if batch.anomalous is None else torch.cat([batch.clean, batch.anomalous])
        prompts = torch.cat(batch.prompts[: len(inputs) // len(batch.clean)])
        jitters = self.model.transforms and self._config.jitter > 0
        prompt_noise = self._noise.draw(prompts.shape, rng) if jitters and self.model.prompted else None
        noise = self._noise.draw(inputs.shape, rng) if jitters else None
        return self._losses(inputs, prompts, batch.clean, batch.mask, noise, prompt_noise)

    def _losses(
        self,
        inputs: Tensor,
        prompts: Tensor,
        clean: Tensor,
        mask: Tensor | None,
        noise: Tensor | None,
        prompt_noise: Tensor | None,
    ) -> dict[str, Tensor]:
        config, model = self._config, self.model
        reconstruction = self._reconstruct(inputs, prompts, noise, prompt_noise)

        losses: dict[str, Tensor] = {}
        total = inputs.new_zeros(())
        if model.transforms:
            parts = torch.split(reconstruction, len(clean))
            losses["reconstruction"] = F.mse_loss(parts[0], clean)
            if config.restoration:
                losses["restoration"] = F.mse_loss(parts[1], clean)
            total = torch.stack(list(losses.values())).sum()
            if config.mean_over_streams:
                total = total / len(losses)
        if config.refines:
            assert mask is not None
            size = (mask.shape[-2], mask.shape[-1])
            logits = upsample(model.refine(inputs, reconstruction).float(), size)
            target = torch.cat([torch.zeros_like(mask), mask])
            streams = 1 if config.mean_over_streams else 2
            losses["dice"] = streams * dice(logits.sigmoid(), target, config.dice).mean()
            total = total + config.refiner_weight * losses["dice"]
            if config.focal:
                losses["focal"] = streams * focal(logits, target).mean()
                total = total + config.refiner_weight * config.focal * losses["focal"]
        return {"total": total, **{name: value.detach() for name, value in losses.items()}}

    def _reconstruct(
        self, inputs: Tensor, prompts: Tensor, noise: Tensor | None, prompt_noise: Tensor | None
    ) -> Tensor:
        """One prompt for both streams is encoded once, together with them."""
        model = self.model
        repeats = len(inputs) // len(prompts)
        if not model.transforms:
            return torch.cat([prompts] * repeats)
        seen = self._jittered(inputs, noise)
        if model.prompted:
            both = model.encode(torch.cat([self._jittered(prompts, prompt_noise), seen]))
            encoded_prompt, encoded = both[: len(prompts)], both[len(prompts) :]
            added = model.decode(encoded, torch.cat([encoded_prompt] * repeats))
        else:
            encoded = model.encode(seen)
            added = model.decode(encoded, encoded)
        return torch.cat([prompts] * repeats) + added if model.adds_to_prompt else added

    def _jittered(self, tokens: Tensor, noise: Tensor | None) -> Tensor:
        """f + scale · (‖f‖₂ / C) · ε for every token (§3 and release)."""
        if noise is None:
            return tokens
        scale: Tensor = self._config.jitter / tokens.shape[1] * tokens.norm(dim=1, keepdim=True)
        return tokens + scale * noise
