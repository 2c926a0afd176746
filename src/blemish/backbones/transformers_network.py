"""Vision transformers of the transformers library: DINOv3, DINOv2, CLIP, SigLIP and ViT, with four taps.

A model is a folder that transformers saved: `config.json`, `model.safetensors` and, where there is one,
`preprocessor_config.json` for mean and standard deviation. Only classes that transformers itself ships are built and
only safetensors are read; code that a folder brings is never run.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn

from blemish.backbones.description import IMAGENET_MEAN, IMAGENET_STD, Description
from blemish.backbones.network import Network, check_patches, checked_levels, quarters
from blemish.backbones.transformers_folder import FILES, locate, read_json
from blemish.backbones.transformers_import import import_transformers, quiet
from blemish.config import BackboneConfig
from blemish.errors import ModelError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)
_TAILS = ("pooler", "head")  # what they make of the tokens of the whole image is not used
# Of the machine and library that saved it, or about how it is run: no part of the network.
_FOREIGN = frozenset(
    {
        "architectures",
        "attn_implementation",
        "auto_map",
        "dtype",
        "id2label",
        "label2id",
        "quantization_config",
        "torch_dtype",
        "transformers_version",
    }
)


@dataclass(frozen=True)
class _Family:
    """How one of transformers' models is built: its classes, its final norm, and its colours where none are stated."""

    config: str
    model: str
    norm: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


_CLIP = _Family("CLIPVisionConfig", "CLIPVisionModel", "post_layernorm", CLIP_MEAN, CLIP_STD)
_SIGLIP = _Family("SiglipVisionConfig", "SiglipVisionModel", "post_layernorm", _HALF, _HALF)
_FAMILIES = {
    "dinov3_vit": _Family("DINOv3ViTConfig", "DINOv3ViTModel", "norm"),
    "dinov2": _Family("Dinov2Config", "Dinov2Model", "layernorm"),
    "dinov2_with_registers": _Family("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel", "layernorm"),
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "vit": _Family("ViTConfig", "ViTModel", "layernorm", _HALF, _HALF),
}


def load_transformers(config: BackboneConfig, size: int, *, offline: bool) -> Network:
    """Build a network and load its weights from a folder, or from the hub (unless `offline`).

    Raises:
        ConfigError: no such level, or the size does not divide into its patches.
        ModelError: the folder is missing, incomplete, damaged or of another kind of model.
        MissingExtraError: transformers is not installed.
    """
    transformers = import_transformers("This backbone")
    folder = locate(config.name.removeprefix("transformers:"), offline=offline)
    family = _family(read_json(folder / "config.json"), folder)
    try:
        with quiet():
            own = getattr(transformers, family.config).from_pretrained(folder, local_files_only=True)
            model, loading = getattr(transformers, family.model).from_pretrained(
                folder,
                config=own,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                attn_implementation="sdpa",
                output_loading_info=True,
            )
    except Exception as error:  # transformers raises errors of a dozen libraries
        first = str(error).strip().partition("\n")[0]
        raise ModelError(f"{folder} cannot be read as a transformers model: {first}.", FILES) from error
    missing = sorted(key for key in loading["missing_keys"] if not set(key.split(".")) & set(_TAILS))
    if missing:
        raise ModelError(f"{folder} does not hold all weights: {missing[0]} and {len(missing) - 1} more lack.", FILES)
    architecture = {
        name: value
        for name, value in json.loads(own.to_json_string(use_diff=False)).items()
        if name not in _FOREIGN and not name.startswith("_")
    }
    mean, std = _colours(folder, family)
    try:
        description = Description(mean=mean, std=std, architecture=architecture)
    except ValidationError as error:
        raise ModelError(f"{folder / 'preprocessor_config.json'} is damaged: {error}.", FILES) from None
    return _network(model.float(), family, config, size, description)


def build_transformers(config: BackboneConfig, size: int, description: Description) -> Network:
    """The same network without weights, from the description that travels with them.

    Raises:
        ConfigError: no such level, or the size does not divide into its patches.
        ModelError: there is no architecture in the description, or it is of another kind of model.
        MissingExtraError: transformers is not installed.
    """
    name = config.name.removeprefix("transformers:")
    if description.architecture is None:
        raise ModelError(f"The architecture of '{name}' is not written beside its weights.", "Train the model again.")
    transformers = import_transformers("This backbone")
    family = _family(description.architecture, name)
    plain = {key: value for key, value in description.architecture.items() if key not in _FOREIGN}
    try:
        own = getattr(transformers, family.config).from_dict(plain)
        model = getattr(transformers, family.model)(own)
    except Exception as error:  # whatever a damaged architecture leads to
        raise ModelError(f"The architecture of '{name}' cannot be built: {error}.", "Copy the model again.") from error
    return _network(model, family, config, size, description)


def _family(architecture: dict[str, Any], source: object) -> _Family:
    kind = architecture.get("model_type")
    if not isinstance(kind, str) or kind not in _FAMILIES:
        raise ModelError(
            f"{source} is a model of the type '{kind}', which gives no taps here.", f"Known: {', '.join(_FAMILIES)}."
        )
    return _FAMILIES[kind]


def _colours(folder: Path, family: _Family) -> tuple[Any, Any]:
    path = folder / "preprocessor_config.json"
    stated = read_json(path) if path.is_file() else {}
    return stated.get("image_mean", family.mean), stated.get("image_std", family.std)


def _network(model: Any, family: _Family, config: BackboneConfig, size: int, description: Description) -> Network:
    name = config.name.removeprefix("transformers:")
    patch = model.config.patch_size
    patch = patch if isinstance(patch, int) else patch[0]
    check_patches(name, size, patch)
    blocks = model.config.num_hidden_layers
    levels = checked_levels(name, config.levels or quarters(blocks), blocks)
    module = _Taps(model, family.norm, levels, patch)
    return Network(module, (patch,) * len(levels), (model.config.hidden_size,) * len(levels), description)


class _Taps(nn.Module):
    """The patch tokens of some blocks, each under the final norm.

    Args:
        model: of transformers; its final norm is taken out of it, so that all of its hidden states come without.
        norm: name of that norm.
        levels: numbers of the blocks.
        patch: side of a patch in pixels.
    """

    def __init__(self, model: Any, norm: str, levels: tuple[int, ...], patch: int) -> None:
        super().__init__()
        inner = getattr(model, "vision_model", model)  # the name of CLIP's tower in some versions
        self.norm = getattr(inner, norm)
        setattr(inner, norm, nn.Identity())
        for tail in _TAILS:
            if hasattr(inner, tail):
                setattr(inner, tail, None)
        inner.use_head = False
        self.model = model
        self._levels, self._patch = levels, patch
        resizes = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
        self._options = {"interpolate_pos_encoding": True} if resizes else {}

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images B×3×H×W → B×C×h×w per block; class and register tokens, which come first, are left out."""
        height, width = (side // self._patch for side in images.shape[-2:])
        states = self.model(pixel_values=images, output_hidden_states=True, **self._options).hidden_states
        taps = (self.norm(states[level + 1][:, -height * width :]) for level in self._levels)
        return [tap.transpose(1, 2).unflatten(2, (height, width)) for tap in taps]
