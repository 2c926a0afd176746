"""Everything that can be set, validated at the door and written beside the weights.

A preset is a named value of these models, not a code path: `TrainConfig.of("fast", seed=3)`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from blemish.errors import ConfigError

PresetName = Literal["paper", "fast", "accurate"]
DecoderName = Literal["dynamic", "static", "uniad", "none"]

HUB_ID = r"[\w.-]+/[\w.-]+"


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BackboneConfig(_Config):
    """The frozen feature extractor.

    Attributes:
        name: `embedded`, `timm:<model>`, or `transformers:<folder>`: a folder that transformers saved, or an id on the
            Hugging Face Hub.
        weights: safetensors file for a timm model; None fetches that model's own weights from its hub.
        strides: of the levels to use; a model's last level at each of them that it has.
        levels: indices of the feature levels of a timm or transformers model, instead of `strides`; of a vision
            transformer the numbers of its blocks, by default the last of each quarter.
    """

    name: str = Field(default="embedded", pattern=r"^(embedded|timm:.+|transformers:.+)$")
    weights: Path | None = None
    strides: tuple[int, ...] = (4, 8, 16)
    levels: tuple[int, ...] | None = None

    @model_validator(mode="after")
    def _own_weights(self) -> BackboneConfig:
        if self.name == "embedded" and self.weights is not None:
            raise ValueError("the embedded backbone brings its weights: name the network of this file, timm:<name>")
        if self.name.startswith("transformers:") and self.weights is not None:
            raise ValueError("the folder of a transformers model holds its weights: give no other file")
        return self

    def portable(self) -> BackboneConfig:
        """The same without paths of this machine, for a model folder, with which the weights travel."""
        kind, _, source = self.name.partition(":")
        local = kind == "transformers" and (Path(source).is_dir() or not re.fullmatch(HUB_ID, source))
        name = f"{kind}:{Path(source).resolve().name}" if local else self.name
        return self.model_copy(update={"weights": None, "name": name})


class ModelConfig(_Config):
    """The network (OneNIP §3; the release's constants are the defaults).

    Attributes:
        size: side of the square input in pixels, a multiple of 16.
        detail: 1: every level is resized to one cell per token (the paper). 2: finer levels keep 2×2 cells per
            token, so that error map and refiner see twice the resolution.
        neighbourhood: each level is averaged over so many cells squared before anything else; 1: not (the paper).
        equal_levels: in the search for nearest patches and in the reconstruction map each level counts the same,
            however many channels it has; else each channel does (the paper).
        distance_stride: levels of a finer stride count neither in that search nor in that map. 0: all count.
        standardise: features to mean 0 and standard deviation 1 per channel over the training images.
        principal_start: the decoder's input and output projection start as the features' principal components.
        neighbour_window: odd size of the masked neighbourhood; None: half the grid, as in the release.
        decoder: `dynamic` is OneNIP's, `static` and `uniad` are the ablations of Tab. 4; `none`: the composed prompt
            itself is the reconstruction.
        prompt_patches: patches of normal images per product, of which a prompt is composed for each query; the
            reconstruction is that prompt plus what the network adds. 0: one image as prompt (the paper).
        error_smoothing: the signed error is averaged over so many cells squared before its norm; 1: not (the paper).
        refiner: whether there is a refiner.
        refiner_bottleneck: channels of a 1×1 convolution before the refiner; 0: none (the paper).
        refiner_sees_features: the refiner's input is the error and the features themselves, not the error alone.
    """

    size: int = Field(default=224, ge=64, le=1024, multiple_of=16)
    detail: Literal[1, 2] = 1
    neighbourhood: Literal[1, 3, 5] = 1
    equal_levels: bool = False
    distance_stride: int = Field(default=0, ge=0)
    standardise: bool = False
    principal_start: bool = False
    width: int = Field(default=256, ge=16, multiple_of=2)
    heads: int = Field(default=8, ge=1)
    encoder_layers: int = Field(default=4, ge=1)
    decoder_layers: int = Field(default=4, ge=1)
    feedforward: int = Field(default=1024, ge=16)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    neighbour_window: int | None = Field(default=None, ge=0)
    decoder: DecoderName = "dynamic"
    prompt_patches: int = Field(default=0, ge=0)
    error_smoothing: Literal[1, 3, 5] = 1
    refiner: bool = True
    refiner_channels: int = Field(default=128, ge=8)
    refiner_bottleneck: int = Field(default=0, ge=0)
    refiner_sees_features: bool = False

    @property
    def grid(self) -> int:
        """Tokens per side."""
        return self.size // 16

    @property
    def window(self) -> int:
        """Size of the masked neighbourhood."""
        return self.grid // 2 if self.neighbour_window is None else self.neighbour_window

    @model_validator(mode="after")
    def _consistent(self) -> ModelConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.decoder == "none" and not self.prompt_patches:
            raise ValueError("without a decoder the prompt must be composed: set prompt_patches")
        if self.window // 2 * 2 + 1 >= self.grid:
            raise ValueError(f"a neighbour window of {self.window} hides all of a {self.grid}×{self.grid} grid")
        return self


class PseudoAnomalyShares(_Config):
    """Shares of the pseudo-anomalies; the rest are OneNIP's CutPaste and Perlin pastes, half and half.

    Attributes:
        self_paste: the image's own texture from elsewhere through a soft mask.
        photometric: local darkening, brightening and stains.
        warp: small local displacements.
        blur: local blur.
        keep_grey: anomalies of an image whose channels are equal keep them equal.
        minimum_change: draws that change fewer grey levels on average inside the mask are drawn again.
        textures: folder of texture images for the Perlin pastes; None: procedural textures.
    """

    self_paste: float = Field(default=0, ge=0, le=1)
    photometric: float = Field(default=0, ge=0, le=1)
    warp: float = Field(default=0, ge=0, le=1)
    blur: float = Field(default=0, ge=0, le=1)
    keep_grey: bool = False
    minimum_change: float = Field(default=0, ge=0)
    textures: Path | None = None


class TrainConfig(_Config):
    """How a model is trained (OneNIP §3 and its release).

    Attributes:
        preset: the preset these values started from.
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
        pool: pseudo-anomalous versions of each training image that are made ahead; 0: a fresh one for every draw.
        refresh: share of that pool that is made anew over one training.
        refiner_share: of the refiner's map in the fusion, once the reconstruction map is brought to scale 1.
        evidence: the refiner enters the fusion as −ln(1 − probability), else as its probability (the paper).
        hold_out: share of the normal training images kept for calibration, whole groups at a time.
        precision: as Lightning Fabric names it.
        checkpoint_minutes: a checkpoint is written this often.
    """

    preset: PresetName = "paper"
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
    evidence: bool = False
    hold_out: float = Field(default=0.15, gt=0, lt=1)
    false_alarm_rate: float = Field(default=0.01, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    checkpoint_minutes: float = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if self.model.decoder == "none" and not self.refines:
            raise ValueError("with neither a decoder nor a refiner there is nothing to train")
        if self.model.decoder == "none" and (self.restoration or self.model.principal_start):
            raise ValueError("restoration and principal_start need a decoder: set them to false")
        return self

    @property
    def refines(self) -> bool:
        """Whether a refiner is trained."""
        return self.model.refiner and self.refiner_weight > 0

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
        if preset not in _PRESETS:
            raise ConfigError(f"There is no preset '{preset}'.", f"Choose one of {', '.join(_PRESETS)}.")
        return cls.parse(_merged({**_PRESETS[preset], "preset": preset}, changes))

    @classmethod
    def parse(cls, data: dict[str, Any]) -> TrainConfig:
        """Validate plain data. Raises ConfigError."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise ConfigError(f"Configuration{f' value {place}' if place else ''}: {message}.") from None


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            value = _merged(merged[key], value)
        merged[key] = value
    return merged


_FAST: dict[str, Any] = {
    "model": {
        "detail": 2,
        "neighbourhood": 3,
        "error_smoothing": 3,
        "equal_levels": True,
        "distance_stride": 8,
        "prompt_patches": 20_000,
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
    "pool": 1,
    "evidence": True,
    "refiner_share": 0.6,
}
_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"backbone": {"name": "timm:tf_efficientnet_b4.aa_in1k", "levels": (0, 1, 2, 3)}},
    "fast": _FAST,
    "accurate": _merged(
        _FAST,
        {
            "model": {"decoder": "dynamic", "principal_start": True, "feedforward": 512, "dropout": 0.0},
            "restoration": True,
            "learning_rate": 1e-3,
            "steps": 4000,
            "pool": 4,
            "refresh": 2,
        },
    ),
}
