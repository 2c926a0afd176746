"""How a model is trained, and the presets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from blemish.config.base import Config, PresetName, merged, parsed, preset_values
from blemish.config.network import BackboneConfig, ModelConfig


class PseudoAnomalyShares(Config):
    """Shares of the pseudo-anomalies; the rest are OneNIP's CutPaste and Perlin pastes, half and half.

    Attributes:
        self_paste: the image's own texture from elsewhere through a soft mask.
        photometric: local darkening, brightening and stains.
        warp: small local displacements.
        blur: local blur.
        painted: lines, pits, blots and steps of brightness, as the painter draws them.
        keep_grey: anomalies of an image whose channels are equal keep them equal.
        minimum_change: draws that change fewer grey levels on average inside the mask are drawn again.
        textures: folder of texture images for the Perlin pastes; None: procedural textures.
    """

    self_paste: float = Field(default=0, ge=0, le=1)
    photometric: float = Field(default=0, ge=0, le=1)
    warp: float = Field(default=0, ge=0, le=1)
    blur: float = Field(default=0, ge=0, le=1)
    painted: float = Field(default=0, ge=0, le=1)
    keep_grey: bool = False
    minimum_change: float = Field(default=0, ge=0)
    textures: Path | None = None


class TrainConfig(Config):
    """How a model is trained (OneNIP §3 and its release).

    Attributes:
        preset: the preset these values started from.
        init: `shipped`, the model that comes with the package, or a model folder: the network starts from its weights
            and keeps its backbone and standardisation. None: from random weights (the paper).
        restoration: whether pseudo-anomalous images are restored to their clean features (L_res).
        refiner_weight: λ; 0 trains no refiner.
        mean_over_streams: the release's ½(L_rec + L_res) and mean loss of the refiner over both streams; else the sums.
        dice: `paper` omits the factor 2 in the numerator, as the release does; `standard` has it.
        focal: weight, relative to Dice, of a focal loss (γ = 2) of the refiner, for Dice alone saturates; 0: none (the
            paper).
        jitter: scale of the feature noise on the network's inputs (release: 20); 0: none.
        prompts: `random`: a training image of the product, drawn anew for each sample; `fixed`: always the stored one.
        stored_prompts: each product's prompt for inspection: `central`: the training image nearest to the product's
            mean feature; `random`: any (Tab. 4).
        steps: optimiser steps; None: `epochs` decides.
        epochs: passes over the training images.
        balance: exponent e of product weights: an image of a product with n images is drawn with weight n^-e.
        schedule: `step`: learning rate × 0.1 after four fifths; `cosine`: 50 steps of warm-up, then cosine to 2 %.
        pool: about so many pseudo-anomalous images are made ahead, as many of each training image and at least one,
            though so few that each is drawn four times; 0: a fresh one for every draw.
        refresh: share of that pool that is made anew over one training.
        refiner_share: of the refiner's map in the fusion, once the reconstruction map is brought to scale 1.
        fusion_exponent: p of the mean ((1 − share) · reconstruction^p + share · refiner^p)^(1/p) that joins the two;
            1: their weighted sum (the paper). What categories detect joins them likewise.
        evidence: the refiner enters the fusion as −ln(1 − probability), else as its probability (the paper).
        hold_out: share of the normal training images kept for calibration, whole groups at a time. Where they cannot
            promise `false_alarm_rate` and prompts are composed, those that train calibrate too (`fit_products`).
        kept: normal images per product that stay in the model folder, of those that train and of those that calibrate,
            so that categories can be learned without the data; 0: none.
        precision: as Lightning Fabric names it.
        checkpoint_minutes: a checkpoint is written this often.
    """

    preset: PresetName = "paper"
    init: str | None = Field(default=None, min_length=1)
    backbone: BackboneConfig = BackboneConfig()
    model: ModelConfig = ModelConfig()
    pseudo_anomalies: PseudoAnomalyShares = PseudoAnomalyShares()
    restoration: bool = True
    refiner_weight: float = Field(default=0.5, ge=0)
    mean_over_streams: bool = True
    dice: Literal["paper", "standard"] = "paper"
    focal: float = Field(default=0, ge=0)
    jitter: float = Field(default=20, ge=0)
    prompts: Literal["random", "fixed"] = "random"
    stored_prompts: Literal["central", "random"] = "central"
    batch: int = Field(default=64, ge=2)
    steps: int | None = Field(default=None, ge=1)
    epochs: int = Field(default=1000, ge=1)
    balance: float = Field(default=0, ge=0, le=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    clip: float = Field(default=0.1, gt=0)
    schedule: Literal["step", "cosine"] = "step"
    pool: int = Field(default=0, ge=0)
    refresh: float = Field(default=0, ge=0)
    refiner_share: float = Field(default=0.5, ge=0, le=1)
    fusion_exponent: float = Field(default=1, gt=0, le=1)
    evidence: bool = False
    hold_out: float = Field(default=0.15, gt=0, lt=1)
    kept: int = Field(default=48, ge=0)
    false_alarm_rate: float = Field(default=0.01, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    checkpoint_minutes: float = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if self.model.decoder == "none" and (self.restoration or self.model.principal_start):
            raise ValueError("restoration and principal_start need a decoder: set them to false")
        return self

    @property
    def refines(self) -> bool:
        """Whether a refiner is trained."""
        return self.model.refiner and self.refiner_weight > 0

    def versions(self, images: int, steps: int) -> int:
        """Pseudo-anomalous versions of each of so many training images in the pool; 0: there is no pool."""
        wanted = min(self.pool, steps * self.batch // 4)
        return max(1, round(wanted / images)) if self.pool and self.uses_anomalies else 0

    @property
    def trains(self) -> bool:
        """Whether there is any loss; without one a bank of normal patches is all of the model."""
        return self.model.decoder != "none" or self.refines

    @property
    def uses_anomalies(self) -> bool:
        """Whether any loss looks at pseudo-anomalous images."""
        return self.restoration or self.refines

    @classmethod
    def of(cls, preset: PresetName = "fast", **changes: Any) -> TrainConfig:
        """A preset with changes; nested models are changed with dictionaries, `model={"width": 64}`.

        Raises:
            ConfigError: a value is unknown or out of range.
        """
        return cls.parse(preset_values(_PRESETS, preset, changes))

    @classmethod
    def parse(cls, data: dict[str, Any]) -> TrainConfig:
        """Validate plain data. Raises ConfigError."""
        return parsed(cls, data)


_FAST: dict[str, Any] = {
    "backbone": {"components": 256},
    "model": {
        "detail": 2,
        "neighbourhood": 3,
        "error_smoothing": 3,
        "equal_levels": True,
        "distance_stride": 8,
        "prompt_patches": 20_000,
        "discriminant": True,
        "standardise": True,
        "decoder": "none",
        "refiner_channels": 64,
        "refiner_bottleneck": 128,
        "refiner_sees_features": True,
    },
    "pseudo_anomalies": {
        "self_paste": 0.15,
        "photometric": 0.125,
        "warp": 0.05,
        "blur": 0.025,
        "painted": 0.35,
        "keep_grey": True,
        "minimum_change": 4,
    },
    "restoration": False,
    "refiner_weight": 1.0,
    "dice": "standard",
    "focal": 5,
    "batch": 16,
    "steps": 400,
    "balance": 0.5,
    "learning_rate": 3e-3,
    "clip": 1.0,
    "schedule": "cosine",
    "pool": 1600,
    "evidence": True,
    "refiner_share": 0.6,
    "fusion_exponent": 0.5,
}
_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"backbone": {"name": "timm:tf_efficientnet_b4.aa_in1k", "levels": (0, 1, 2, 3)}},
    "fast": _FAST,
    "accurate": merged(_FAST, {"model": {"prompt_patches": 60_000}, "steps": 1600, "pool": 6400}),
}
