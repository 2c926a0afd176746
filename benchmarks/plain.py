"""The yardstick of `speed.py`: OneNIP as the paper draws it, with nothing cached, fused or laid out for speed.

The weights are those of a trained `PromptedNetwork`, so that both give the same answers.
"""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from blemish.backbones.backbone import Backbone
from blemish.models.dropout import Dropout
from blemish.models.prompted import PromptedNetwork
from blemish.models.transformer import Attention
from blemish.models.uniad import upsample
from blemish.synthesis.pseudo import PseudoAnomalies

_CLIP, _RATE, _DECAY = 0.1, 1e-4, 1e-4


class PlainAttention(nn.Module):
    """PyTorch's own module with the weights of ours; it also computes the attention maps, as it does by default."""

    def __init__(self, ours: Attention) -> None:
        super().__init__()
        width = ours.out_proj.in_features
        self.inner = nn.MultiheadAttention(width, ours.heads, dropout=ours.dropout, batch_first=True)
        self.inner.load_state_dict(ours.state_dict())

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        attended: Tensor = self.inner(query, key, value, attn_mask=mask)[0]
        return attended


def _plain(module: nn.Module) -> nn.Module:
    """With PyTorch's own attention and dropout."""
    for name, child in module.named_children():
        if isinstance(child, Attention):
            setattr(module, name, PlainAttention(child))
        elif isinstance(child, Dropout):
            setattr(module, name, nn.Dropout(child.share))
        else:
            _plain(child)
    return module


class PlainOneNIP(nn.Module):
    """Query and prompt images in, maps out: backbone and encoder run on both.

    Args:
        network: without a prompt bank.
        prompts: uint8 P×S×S×3, the products' prompt images.
    """

    def __init__(self, network: PromptedNetwork, prompts: NDArray[np.uint8]) -> None:
        super().__init__()
        self.model = _plain(deepcopy(network.model))
        self.backbone = deepcopy(network.backbone).to(memory_format=torch.contiguous_format)
        self.layout = network.layout
        self.prompts = torch.from_numpy(prompts)

    def features(self, images: Tensor) -> Tensor:
        """uint8 B×S×S×3 → B×C×h×w, every level resized on its own."""
        backbone: Backbone = self.backbone
        x = (images.permute(0, 3, 1, 2).float() / 255 - backbone.get_buffer("mean")) / backbone.get_buffer("std")
        with torch.no_grad():
            levels = backbone.network(x.contiguous())
        grid = self.layout.grid
        resized = [F.interpolate(level, (grid, grid), mode="bilinear", align_corners=True) for level in levels]
        return torch.cat(resized, dim=1)

    @torch.no_grad()
    def inspect(self, images: NDArray[np.uint8], product: int) -> tuple[Tensor, Tensor]:
        """Reconstruction map and refiner map, B×S×S each."""
        query = self.features(torch.from_numpy(np.array(images)))
        prompt = self.features(self.prompts[[product] * len(images)])
        found = self.model(query, prompt)
        return found.reconstruction_map.squeeze(1), found.refiner_map.squeeze(1)


class PlainTraining:
    """Training steps as the release makes them: three images of each sample go through the backbone in each step.

    Args:
        plain: what is trained.
        pixels: uint8 N×S×S×3 of one product.
        batch: samples of a step.
    """

    def __init__(self, plain: PlainOneNIP, pixels: NDArray[np.uint8], batch: int) -> None:
        self._plain, self._pixels, self._batch = plain, pixels, batch
        self._synthesis = PseudoAnomalies(pixels.shape[1], 0)
        self._rng = np.random.default_rng(0)
        self._step = 0
        parameters = list(plain.model.parameters())
        self._optimizer = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=_DECAY)
        plain.model.train()

    def step(self) -> float:
        """One step; the loss."""
        plain, model, batch = self._plain, self._plain.model, self._batch
        rows, prompts = self._rng.integers(len(self._pixels), size=(2, batch))
        keys = range(self._step * batch, (self._step + 1) * batch)
        anomalous, masks = self._synthesis.make(self._pixels[rows], list(keys))
        clean = plain.features(torch.from_numpy(self._pixels[rows]))
        broken = plain.features(torch.from_numpy(anomalous))
        prompt = plain.features(torch.from_numpy(self._pixels[prompts]))
        mask = torch.from_numpy(masks).unsqueeze(1).float()
        total = torch.zeros(())
        for inputs, target in ((clean, torch.zeros_like(mask)), (broken, mask)):
            encoded, guided = model.encode(_jittered(inputs)), model.encode(_jittered(prompt))
            reconstruction = model.decode(encoded, guided)
            seen = upsample(model.refiner((inputs - reconstruction).abs()), mask.shape[-2:]).sigmoid()
            overlap = (seen * target).flatten(1).sum(1)
            sizes = (seen.square() + target.square()).flatten(1).sum(1)
            total = total + F.mse_loss(reconstruction, clean) / 2 + (1 - (overlap + 1) / (sizes + 1)).mean() / 4
        self._optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        self._optimizer.step()
        self._step += 1
        return float(total.detach())


def _jittered(features: Tensor) -> Tensor:
    scale = 20 / features.shape[1] * features.norm(dim=1, keepdim=True)
    return features + scale * torch.randn_like(features)
