"""Networks of timm: convolutional ones with levels at several strides, and vision transformers with four taps.

A vision transformer is built at the size it was trained for and then brought to the model's size, by which timm
resamples its position embeddings. Images are normalised with mean and standard deviation of the weights that the name
stands for, so a tag matters: `vit_base_patch16_clip_224.openai`.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from blemish.backbones.description import Description
from blemish.backbones.network import Network, check_patches, checked_levels, quarters, rows_of
from blemish.backbones.timm_import import import_timm
from blemish.config import BackboneConfig
from blemish.errors import ConfigError, ModelError

_SIZED = ("vit", "deit", "beit", "eva", "flexivit", "aimv2", "cait")


def load_timm(config: BackboneConfig, size: int, *, offline: bool) -> Network:
    """Build a network and load its weights: `config.weights`, or those that its hub has (unless `offline`).

    Raises:
        ConfigError: no such model or level, or the size does not divide into its patches.
        ModelError: the weights are missing or do not fit; says how to supply a file.
    """
    name = _name(config)
    if config.weights is None and offline:
        raise ModelError(f"The weights of '{name}' would have to be downloaded.", _remedy(name))
    return _build(config, size, pretrained=config.weights is None, weights=config.weights)


def build_timm(config: BackboneConfig, size: int) -> Network:
    """The same network without weights. Raises ConfigError."""
    return _build(config, size, pretrained=False, weights=None)


def _name(config: BackboneConfig) -> str:
    return config.name.removeprefix("timm:")


def _build(config: BackboneConfig, size: int, *, pretrained: bool, weights: Path | None) -> Network:
    timm = import_timm()
    name = _name(config)
    if not timm.is_model(name.partition(".")[0]):
        close = ", ".join(get_close_matches(name, timm.list_models(), 5)) or "see timm.list_models()"
        raise ConfigError(f"timm has no model '{name}'.", f"Similar: {close}.")
    try:
        sketch = timm.create_model(name, features_only=True, pretrained=False)
        info = sketch.feature_info.info
        found = tuple(level["reduction"] for level in info)
        rule = quarters(len(found)) if len(set(found)) == 1 else rows_of(found, config.strides)
        levels = checked_levels(name, config.levels or rule, len(found))  # timm gives levels in its own order
        if len(set(found)) == 1 and hasattr(getattr(sketch, "model", None), "forward_intermediates"):
            check_patches(name, size, found[0])
            model = _transformer(timm, sketch.model, name, size, pretrained=pretrained, weights=weights)
            module: nn.Module = _Taps(model, levels)
        else:
            module = model = timm.create_model(name, features_only=True, pretrained=pretrained, out_indices=levels)
            _cut(model)
            if weights is not None:
                _load_weights(module, weights, name)
    except (ConfigError, ModelError):
        raise
    except Exception as error:  # timm raises whatever its hub client, its registry or the model itself raises
        if pretrained:
            raise ModelError(f"The weights of '{name}' could not be fetched: {error}.", _remedy(name)) from error
        raise ConfigError(f"timm cannot build '{name}' with these levels: {error}.", "Choose other levels.") from error
    channels = tuple(info[level]["num_chs"] for level in levels)
    description = Description(mean=tuple(model.pretrained_cfg["mean"]), std=tuple(model.pretrained_cfg["std"]))
    return Network(module, tuple(found[level] for level in levels), channels, description)


def _cut(model: Any) -> None:
    """Takes the stages behind the last level out; timm's EfficientNets and MobileNets compute them for nothing."""
    last = max(level.get("stage", 0) for level in model.feature_info.get_dicts())
    stages = getattr(model, "blocks", None)
    if isinstance(stages, nn.Sequential) and 0 < last < len(stages):
        model.blocks = stages[:last]


def _transformer(timm: Any, sketch: nn.Module, name: str, size: int, *, pretrained: bool, weights: Path | None) -> Any:
    """A vision transformer for images of `size` pixels."""
    resizable = hasattr(sketch, "set_input_size")
    sized = {} if resizable or not name.startswith(_SIZED) else {"img_size": size}
    model = timm.create_model(name, pretrained=pretrained, num_classes=0, **sized)
    if weights is not None:
        _load_weights(model, weights, name)
    if resizable:
        model.set_input_size(img_size=(size, size))
    if isinstance(getattr(model, "norm", None), nn.Identity) and isinstance(getattr(model, "fc_norm", None), nn.Module):
        model.norm, model.fc_norm = model.fc_norm, nn.Identity()  # some apply it to the mean of all tokens
    return model


class _Taps(nn.Module):
    """The patch tokens of some blocks of a vision transformer, each under the final norm.

    Args:
        model: timm's; it loses the blocks behind the last one asked for.
        levels: numbers of the blocks.
    """

    def __init__(self, model: Any, levels: tuple[int, ...]) -> None:
        super().__init__()
        self._levels = list(model.prune_intermediate_layers(list(levels), prune_norm=False))
        self._norm = isinstance(getattr(model, "norm", None), nn.Module)
        self.model = model

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images B×3×H×W → B×C×h×w per block; class and register tokens are left out."""
        taps: list[Tensor] = self.model.forward_intermediates(
            images, indices=self._levels, norm=self._norm, output_fmt="NCHW", intermediates_only=True
        )
        return taps


def _load_weights(network: nn.Module, path: Path, name: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ModelError(f"There is no weight file {path}.", _remedy(name))
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path} is not a safetensors file: {error}.", _remedy(name)) from error
    wanted = network.state_dict()
    # timm flattens some networks for their features: `features.conv0` is `features_conv0` there
    flat = {key.replace(".", "_"): tensor for key, tensor in state.items()}
    state = {key: flat[key.replace(".", "_")] for key in wanted if key.replace(".", "_") in flat}
    missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
    wrong = [key for key in wanted if key in state and state[key].shape != wanted[key].shape]
    if missing:
        found = f"it lacks {len(missing)} of {len(wanted)} tensors, such as {missing[0]}"
    elif wrong:
        found = f"{wrong[0]} has the shape {tuple(state[wrong[0]].shape)}, not {tuple(wanted[wrong[0]].shape)}"
    else:
        network.load_state_dict({key: state[key].float() for key in wanted if key in state}, strict=False)
        return
    raise ModelError(f"{path} does not hold the weights of '{name}': {found}.", _remedy(name))


def _remedy(name: str) -> str:
    return f"Give a safetensors file with timm's key names for '{name}': --backbone-weights FILE."
