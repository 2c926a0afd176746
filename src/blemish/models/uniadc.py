"""UniADC's discriminator: where is a defect, and which category claims it (UniADC §3, "multi-task discriminator")."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blemish.errors import ModelError

_UNUSED = "fusionnets.0.resConfUnit1."


class Neck(nn.Module):
    """A tap's features brought to the width of the category embeddings: Linear without bias → ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, width, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """B×N×C → B×N×T."""
        return F.relu(self.project(features))


class ResidualUnit(nn.Module):
    """z + BN(conv3×3(ReLU(z)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)

    def forward(self, z: Tensor) -> Tensor:
        return z + self.bn1(self.conv1(F.relu(z)))  # type: ignore[no-any-return]


class FusionBlock(nn.Module):
    """Takes one more tap in: out = x + unit₁(tap), then unit₂, then a 1×1 convolution.

    The deepest block has no second input. Its unit₁ exists in the release and is never used; here it does not exist.
    """

    def __init__(self, width: int, *, deepest: bool) -> None:
        super().__init__()
        if not deepest:
            self.resConfUnit1 = ResidualUnit(width)
        self.resConfUnit2 = ResidualUnit(width)
        self.out_conv = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, tap: Tensor | None = None) -> Tensor:
        if tap is not None:
            x = x + self.resConfUnit1(tap)
        return self.out_conv(self.resConfUnit2(x))  # type: ignore[no-any-return]


class Discriminator(nn.Module):
    """Feature fusion from the deepest tap to the shallowest, compared with one embedding per category.

    There is no embedding for "normal": a normal place is one that no category claims.

    Args:
        channels: of each tap, shallow to deep.
        width: T, of the category embeddings.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.necks = nn.ModuleList(Neck(count, width) for count in channels)
        self.fusionnets = nn.ModuleList(FusionBlock(width, deepest=block == 0) for block in range(len(channels)))
        self.epsilon = nn.Parameter(torch.ones(()))

    @classmethod
    def from_reference_checkpoint(cls, checkpoint: Mapping[str, Any]) -> Discriminator:
        """Build the authors' discriminator from their checkpoint.

        Args:
            checkpoint: `necks`, `fusionnets` (state dicts) and `epsilon`, or the same flat: `necks.0.project.weight` …

        Returns:
            The discriminator in evaluation mode: its answers depend on no other image of a batch.

        Raises:
            ModelError: a key is missing, unknown or of a wrong shape.
        """
        state = {_own_name(name): tensor.float() for name, tensor in _flat(checkpoint)}
        state = {name: tensor for name, tensor in state.items() if not name.startswith(_UNUSED)}
        weights: list[Tensor] = []
        while (weight := state.get(f"necks.{len(weights)}.project.weight")) is not None and weight.dim() == 2:
            weights.append(weight)
        if not weights:
            raise ModelError("The checkpoint has no necks 0, 1, …", "Give the authors' checkpoint of a discriminator.")
        if "epsilon" in state and state["epsilon"].numel() == 1:
            state["epsilon"] = state["epsilon"].reshape(())
        network = cls([weight.shape[1] for weight in weights], weights[0].shape[0])
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise ModelError(f"The checkpoint does not fit: {error}.", "Give one with necks and fusionnets.") from None
        return network.eval()

    def fuse(self, features: Sequence[Tensor]) -> Tensor:
        """Taps, shallow to deep, each B×N×C (N a square) or B×C×h×w of one size → B×T×h×w."""
        taps = [self._project(neck, tap) for neck, tap in zip(self.necks, features, strict=True)]
        deepest, *blocks = self.fusionnets
        fused: Tensor = deepest(taps[-1])
        for block, tap in zip(blocks, taps[-2::-1], strict=True):
            fused = block(fused, tap)
        return fused

    def logits(self, features: Sequence[Tensor], embeddings: Tensor) -> Tensor:
        """cos(F, e_k) / ε at the taps' resolution: B×K×h×w.

        Args:
            features: as for `fuse`.
            embeddings: K×T category embeddings.
        """
        fused = F.normalize(self.fuse(features), dim=1)
        return torch.einsum("bthw,kt->bkhw", fused, F.normalize(embeddings, dim=1)) / self.epsilon

    def decode(
        self, features: Sequence[Tensor], category_embeddings: Tensor, size: int | tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Detection and classification at image size.

        Args:
            features: taps, shallow to deep, each B×N×C or B×C×h×w.
            category_embeddings: K×T.
            size: H, W of the result, or the side of a square.

        Returns:
            Detection logits B×1×H×W, the mean of the classification logits B×K×H×W over the categories.
        """
        shape = (size, size) if isinstance(size, int) else size
        logits = F.interpolate(
            self.logits(features, category_embeddings), size=shape, mode="bilinear", align_corners=False
        )
        return logits.mean(dim=1, keepdim=True), logits

    def _project(self, neck: nn.Module, tap: Tensor) -> Tensor:
        if tap.dim() == 4:
            height, width = tap.shape[-2:]
            tap = tap.flatten(2).transpose(1, 2)
        else:
            height = width = math.isqrt(tap.shape[1])
        projected: Tensor = neck(tap)
        return projected.transpose(1, 2).reshape(projected.shape[0], -1, height, width)


def _flat(checkpoint: Mapping[str, Any]) -> list[tuple[str, Tensor]]:
    entries: list[tuple[str, Tensor]] = []
    for name, value in checkpoint.items():
        if isinstance(value, Tensor):
            entries.append((name, value))
        elif isinstance(value, Mapping):
            entries += [(f"{name}.{inner}", tensor) for inner, tensor in _flat(value)]
        elif isinstance(value, (list, tuple)) and all(isinstance(one, Mapping) for one in value):
            entries += [
                (f"{name}.{index}.{inner}", tensor) for index, one in enumerate(value) for inner, tensor in _flat(one)
            ]
        else:
            try:
                entries.append((name, torch.as_tensor(value)))
            except (TypeError, ValueError, RuntimeError):
                raise ModelError(f"'{name}' of the checkpoint is no tensor.", "Give the authors' checkpoint.") from None
    return entries


def _own_name(name: str) -> str:
    return name.replace(".project.0.", ".project.")
