"""What the embedded backbone learns to do: imitate a teacher's features, or tell places of a picture apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from backbone_scenes import CELL, normalised
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from blemish.backbones.embedded import EmbeddedNetwork
from blemish.backbones.timm_import import import_timm
from blemish.errors import ModelError

Network = Callable[[Tensor], list[Tensor]]

PLACES = 48  # per pair and level, or all that both views show
TEMPERATURE = 0.1


def statistics(level: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of B×C×h×w, 1×C×1×1.

    A channel that hardly ever fires would become noise of unit variance: no deviation is below a tenth of the median's.
    """
    spread = level.std(dim=(0, 2, 3), keepdim=True)
    return level.mean(dim=(0, 2, 3), keepdim=True), spread.clamp(min=0.1 * float(spread.median()))


class Teacher:
    """A ResNet-18's levels 1–3, each channel with zero mean and unit variance over scenes."""

    def __init__(self, weights: Path, device: torch.device, half: bool) -> None:
        self.network = import_timm().create_model("resnet18", features_only=True, out_indices=(1, 2, 3)).eval()
        try:
            state = load_file(weights)
            self.network.load_state_dict({name: tensor.float() for name, tensor in state.items()})
        except (OSError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"{weights} holds no ResNet-18 up to layer3: {error}.", "Name another --teacher."
            ) from None
        self.type = torch.bfloat16 if half else torch.float32
        self.network.to(device, self.type, memory_format=torch.channels_last)
        self.shift = [torch.zeros(1, channels, 1, 1, device=device) for channels in EmbeddedNetwork.channels]
        self.scale = [torch.ones(1, channels, 1, 1, device=device) for channels in EmbeddedNetwork.channels]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        levels = self.network(images.to(self.type))
        return [(level.float() - a) * b for level, a, b in zip(levels, self.shift, self.scale, strict=True)]

    def standardise(self, scenes: NDArray[np.uint8]) -> None:
        """Measure every channel on N×H×W×3 scenes."""
        device = self.shift[0].device
        batches = [self(normalised(scenes[start : start + 8]).to(device)) for start in range(0, len(scenes), 8)]
        for index, level in enumerate(zip(*batches, strict=True)):
            self.shift[index], spread = statistics(torch.cat(level))
            self.scale[index] = 1 / spread


def imitation(levels: list[Tensor], targets: list[Tensor]) -> list[Tensor]:
    """Mean squared error of each level."""
    return [F.mse_loss(level.float(), target) for level, target in zip(levels, targets, strict=True)]


class Places(nn.Module):
    """Self-supervision without a teacher: a place must be found again in another view, among places of all views.

    Each level has a projection of its own, which is thrown away after training; the loss is the cross-entropy of cosine
    similarities between the same places of both views (InfoNCE), at random places that both views show.
    """

    def __init__(self) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, 128), nn.ReLU(inplace=True), nn.Linear(128, 64))
            for channels in EmbeddedNetwork.channels
        )

    def forward(self, levels: list[Tensor], offsets: Tensor, rng: np.random.Generator) -> tuple[list[Tensor], float]:
        """The loss of each level, and the share of places that are found at the deepest one.

        Args:
            levels: B×C×h×w each, the second half of a batch views the same scenes as the first.
            offsets: B/2×2 in cells of 16 px.
            rng: draws the places.
        """
        losses, found = [], 0.0
        for level, stride, projection in zip(levels, EmbeddedNetwork.strides, self.projections, strict=True):
            first, second = level.float().permute(0, 2, 3, 1).chunk(2)
            side, cells = first.shape[1], CELL // stride
            drawn = []
            for image, (down, right) in enumerate((offsets * cells).tolist()):
                height, width = side - abs(down), side - abs(right)
                place = rng.permutation(height * width)[:PLACES]
                row, column = place // width + max(0, down), place % width + max(0, right)
                drawn.append(np.stack([np.full_like(row, image), row, column, row - down, column - right]))
            at, row, column, row_too, column_too = torch.from_numpy(np.concatenate(drawn, axis=1)).to(level.device)
            one = F.normalize(projection(first[at, row, column]), dim=1)
            other = F.normalize(projection(second[at, row_too, column_too]), dim=1)
            similar = one @ other.T / TEMPERATURE
            wanted = torch.arange(len(similar), device=level.device)
            losses.append((F.cross_entropy(similar, wanted) + F.cross_entropy(similar.T, wanted)) / 2)
            found = float((similar.detach().argmax(1) == wanted).float().mean())
        return losses, found


@torch.no_grad()
def explained(student: Network, teacher: Network, groups: list[Tensor]) -> list[float]:
    """Share of the teacher's variance that the student predicts, per level, over all images and channels."""
    error, total = np.zeros(3), np.zeros(3)
    wanted = [teacher(images) for images in groups]
    means = [
        torch.cat([level.mean(dim=(2, 3)) for level in levels]).mean(dim=0) for levels in zip(*wanted, strict=True)
    ]
    for images, targets in zip(groups, wanted, strict=True):
        for index, (found, target) in enumerate(zip(student(images), targets, strict=True)):
            error[index] += float((found - target).square().sum())
            total[index] += float((target - means[index].view(1, -1, 1, 1)).square().sum())
    return [float(value) for value in 1 - error / total]
