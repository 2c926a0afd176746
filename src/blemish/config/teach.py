"""How a model learns categories, and the presets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from blemish.config.base import Config, PresetName, parsed, preset_values

_STEPS, _STEPS_PER_CATEGORY = 250, 30
Blending = Literal["paste", "feather", "poisson"]


class TeachConfig(Config):
    """How categories are learned (UniADC §3 and its release).

    Attributes:
        preset: the preset these values started from.
        embeddings: of the categories: `anchors` (unit vectors that need no text model), `clip:<folder>` or
            `file:<safetensors>`, see `backbones.embeddings`.
        width: T, of embeddings and discriminator; anchors are wider where there are more categories.
        components: principal components of each backbone level the discriminator sees; 0: all channels (paper).
        error: the discriminator also sees OneNIP's signed reconstruction error.
        context: side of a window, as a share of the image's, over which the deepest level is averaged for a tap of its
            own; features are then seen as they differ from the image's mean. 0: neither (the paper, whose backbone sees
            the whole image).
        members: discriminators whose logits are averaged.
        prototypes: share of the categories' mean features in a finding's name, beside the discriminators'; 0: none (the
            paper).
        images: synthetic images per category and product.
        painted: share of the synthetic defects that are painted where there are examples too, if name or description
            say how and the category is not bound to its position.
        blending: of transplants, one or several that are drawn from.
        own_place: share of transplants that stay at the place of their example, besides position-bound categories.
        defective_bases: share of the synthetic images that start from a defective image, whose own defects stay.
        normal_share: share of the synthetic images without a synthetic defect.
        alter: the images are altered as a whole: brightness, contrast, sharpness, section.
        foreground: where defects may be: `none` (everywhere) or `auto`.
        steps: of the optimiser; None: 30 for each category, at least 250.
        batch, learning_rate, weight_decay, clip, schedule: of the optimiser.
        temperature: ε at the start (the paper: 1).
        focal, dice, entropy: weights of the losses of detection and of classification (the paper: 1, 1, 0.5).
        loss_stride: the losses are computed at every so manieth pixel; 1: at all (the paper).
        detection_share: how much the discriminator's detection counts in the anomaly map; 0: the map stays OneNIP's.
        certainty: least score that a region's category needs, else the defect is unknown.
        seed: of all draws.
        precision: as Lightning Fabric names it.
        checkpoint_minutes: a checkpoint is written this often.
    """

    preset: PresetName = "paper"
    embeddings: str = Field(default="anchors", pattern=r"^(anchors|clip:.+|file:.+)$")
    width: int = Field(default=1024, ge=8)
    components: int = Field(default=0, ge=0)
    error: bool = False
    context: float = Field(default=0, ge=0, le=1)
    members: int = Field(default=1, ge=1, le=16)
    prototypes: float = Field(default=0, ge=0, le=1)
    images: int = Field(default=16, ge=1)
    painted: float = Field(default=0, ge=0, le=1)
    blending: tuple[Blending, ...] = Field(default=("paste",), min_length=1)
    own_place: float = Field(default=0, ge=0, le=1)
    defective_bases: float = Field(default=0, ge=0, le=1)
    normal_share: float = Field(default=0.2, ge=0, le=1)
    alter: bool = False
    foreground: Literal["none", "auto"] = "auto"
    steps: int | None = Field(default=250, ge=1)
    batch: int = Field(default=16, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    clip: float = Field(default=0.1, gt=0)
    schedule: Literal["step", "cosine", "polynomial"] = "polynomial"
    temperature: float = Field(default=1.0, gt=0)
    focal: float = Field(default=1, ge=0)
    dice: float = Field(default=1, ge=0)
    entropy: float = Field(default=0.5, ge=0)
    loss_stride: Literal[1, 2, 4, 8] = 1
    detection_share: float = Field(default=0.4, ge=0, le=1)
    certainty: float = Field(default=0.1, ge=0, le=1)
    seed: int = Field(default=0, ge=0)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    checkpoint_minutes: float = Field(default=1, gt=0)

    def steps_for(self, categories: int) -> int:
        """Optimiser steps for so many categories."""
        return self.steps or max(_STEPS, _STEPS_PER_CATEGORY * categories)

    @classmethod
    def of(cls, preset: PresetName = "fast", **changes: Any) -> TeachConfig:
        """A preset with changes.

        Raises:
            ConfigError: a value is unknown or out of range.
        """
        return parsed(cls, preset_values(_PRESETS, preset, changes))

    def portable(self) -> TeachConfig:
        """The same without paths of this machine, for a model folder, with which the embeddings travel."""
        kind, _, source = self.embeddings.partition(":")
        return self.model_copy(update={"embeddings": f"{kind}:{Path(source).name}" if source else kind})


_FAST: dict[str, Any] = {
    "width": 32,
    "components": 96,
    "error": True,
    "context": 0.4,
    "members": 2,
    "prototypes": 0.5,
    "images": 60,
    "painted": 0.33,
    "blending": ("feather", "paste"),
    "own_place": 0.25,
    "defective_bases": 0.5,
    "alter": True,
    "steps": None,
    "learning_rate": 2e-3,
    "clip": 1.0,
    "schedule": "cosine",
    "temperature": 0.1,
    "loss_stride": 4,
}
_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "fast": _FAST,
    "accurate": {**_FAST, "width": 64, "members": 5, "images": 120, "steps": 500},
}
