"""The frozen backbone and the network on top of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from blemish.config.base import Config
from blemish.tiling import Tiling

DecoderName = Literal["dynamic", "static", "uniad", "none"]

MOST_TILES = 16  # per axis
HUB_ID = r"[\w.-]+/[\w.-]+"


class BackboneConfig(Config):
    """The frozen feature extractor.

    Attributes:
        name: `embedded`, `timm:<model>`, or `transformers:<folder>`: a folder that transformers saved, or an id on the
            Hugging Face Hub.
        weights: safetensors file for a timm model; None fetches that model's own weights from its hub.
        strides: of the levels to use; a model's last level at each of them that it has.
        levels: indices of the feature levels of a timm or transformers model, instead of `strides`; of a vision
            transformer the numbers of its blocks, by default the last of each quarter.
        components: principal components that are kept of a level with more channels; 0: all channels (the paper).
    """

    name: str = Field(default="embedded", pattern=r"^(embedded|timm:.+|transformers:.+)$")
    weights: Path | None = None
    strides: tuple[int, ...] = (4, 8, 16)
    levels: tuple[int, ...] | None = None
    components: int = Field(default=0, ge=0)

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


class ModelConfig(Config):
    """The network (OneNIP §3; the release's constants are the defaults).

    Attributes:
        size: side of the square input in pixels, a multiple of 16.
        tiles: per axis, each of that size, into which images are cut; neighbours overlap by a quarter. 1: the whole
            image at once (the paper).
        detail: 1: every level is resized to one cell per token (the paper). 2: finer levels keep 2×2 cells per
            token, so that error map and refiner see twice the resolution.
        neighbourhood: each level is averaged over so many cells squared before anything else; 1: not (the paper).
        equal_levels: in the search for nearest patches and in the reconstruction map each level counts the same,
            however many channels it has; else each channel does (the paper).
        distance_stride: levels of a finer stride count neither in that search nor in that map. 0: all count.
        standardise: features to mean 0 and standard deviation 1 per channel over the training images; the principal
            components of a backbone have mean 0 anyway and keep their spread.
        principal_start: the decoder's input and output projection start as the features' principal components.
        neighbour_window: odd size of the masked neighbourhood; None: half the grid, as in the release.
        decoder: `dynamic` is OneNIP's, `static` and `uniad` are the ablations of Tab. 4; `none`: the composed prompt
            itself is the reconstruction.
        prompt_patches: patches of normal images per product, of which a prompt is composed for each query; the
            reconstruction is that prompt plus what the network adds. 0: one image as prompt (the paper).
        discriminant: products are told apart by linear discriminants of their images' mean features, else by mean
            features as they are (the paper).
        error_smoothing: the signed error is averaged over so many cells squared before its norm; 1: not (the paper).
        refiner: whether there is a refiner.
        refiner_bottleneck: channels of a 1×1 convolution before the refiner; 0: none (the paper).
        refiner_sees_features: the refiner's input is the error and the features themselves, not the error alone.
    """

    size: int = Field(default=224, ge=64, le=1024, multiple_of=16)
    tiles: int = Field(default=1, ge=1, le=MOST_TILES)
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
    discriminant: bool = False
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
    def tiling(self) -> Tiling:
        """How images are divided."""
        return Tiling(self.size, self.tiles)

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
