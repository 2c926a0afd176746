"""Frozen feature extractors: `embedded` (ours, ships with the package) and `timm:<name>`.

Rule for the levels of a timm model, unless they are named: of a convolutional network the last level at each of the
configured strides (4, 8, 16) that it has; of a network with one stride (vision transformers) four blocks evenly spread
to the last.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blemish.backbones.timm_import import import_timm
from blemish.config import BackboneConfig
from blemish.errors import ConfigError, ModelError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """A frozen network with several feature levels.

    Args:
        network: images → levels.
        strides, channels: of its levels.
        rows: which of them to use; None: all.

    Attributes:
        strides: pixels per cell of each level.
        channels: channels of each level.
    """

    def __init__(
        self,
        network: nn.Module,
        strides: tuple[int, ...],
        channels: tuple[int, ...],
        rows: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self._rows = tuple(range(len(strides))) if rows is None else rows
        self._channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"  # timm's Swin and its like
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.strides = tuple(strides[row] for row in self._rows)
        self.channels = tuple(channels[row] for row in self._rows)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Backbone:
        """Stays in evaluation mode: its batch-norm statistics are frozen too."""
        return super().train(False)

    @torch.no_grad()
    def levels(self, images: Tensor) -> list[Tensor]:
        """Features of every level.

        Args:
            images: uint8 B×H×W×3 RGB.

        Returns:
            float32 B×C_i×h_i×w_i, in the order of `strides`.
        """
        x = images.permute(0, 3, 1, 2).to(self.get_buffer("mean").dtype).div(255)
        x = (x - self.get_buffer("mean")) / self.get_buffer("std")
        levels = self.network(x.contiguous(memory_format=torch.channels_last))
        if self._channels_last:
            levels = [level.permute(0, 3, 1, 2) for level in levels]
        return [levels[row].float() for row in self._rows]

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.levels(images)


def load_backbone(config: BackboneConfig, size: int, *, offline: bool = False) -> Backbone:
    """Build a backbone and load its weights.

    Args:
        config: which one; `config.weights` is read for a timm model, else its hub is asked (unless `offline`).
        size: side of the square input in pixels, needed by vision transformers.
        offline: never touch the network.

    Raises:
        ConfigError: no such model or level.
        ModelError: the weights are missing or do not fit; says how to supply a file.
    """
    if config.name == "embedded":
        from blemish.backbones.embedded import load_embedded

        embedded = load_embedded()
        return Backbone(embedded, embedded.strides, embedded.channels, _rows(embedded.strides, config.strides))
    name = config.name.removeprefix("timm:")
    if config.weights is None and offline:
        raise ModelError(f"The weights of '{name}' would have to be downloaded.", _remedy(name))
    network = _timm(name, config, size, pretrained=config.weights is None)
    if config.weights is not None:
        _load_weights(network, config.weights, name)
    return _wrap(network)


def build_backbone(config: BackboneConfig, size: int) -> Backbone:
    """The same network without weights, for a model folder that brings its own."""
    if config.name == "embedded":
        return load_backbone(config, size)
    return _wrap(_timm(config.name.removeprefix("timm:"), config, size, pretrained=False))


def _timm(name: str, config: BackboneConfig, size: int, *, pretrained: bool) -> Any:
    timm = import_timm()
    if not timm.is_model(name.partition(".")[0]):
        close = ", ".join(get_close_matches(name, timm.list_models(), 5)) or "see timm.list_models()"
        raise ConfigError(f"timm has no model '{name}'.", f"Similar: {close}.")
    options: dict[str, Any] = {"features_only": True, "pretrained": pretrained}
    if name.startswith(("vit", "deit", "beit", "eva")):
        options["img_size"] = size
    try:
        info = timm.create_model(name, **{**options, "pretrained": False}).feature_info.info
        indices = config.levels or _levels_by_rule([level["reduction"] for level in info], config.strides)
        if not all(0 <= index < len(info) for index in indices):
            raise ConfigError(f"'{name}' has levels 0 to {len(info) - 1}, not {indices}.", "Choose other levels.")
        return timm.create_model(name, out_indices=indices, **options)
    except ConfigError:
        raise
    except Exception as error:  # timm raises whatever its hub client, its registry or the model itself raises
        if pretrained:
            raise ModelError(f"The weights of '{name}' could not be fetched: {error}.", _remedy(name)) from error
        raise ConfigError(f"timm cannot build '{name}' with these levels: {error}.", "Choose other levels.") from error


def _levels_by_rule(found: list[int], wanted: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(found)) == 1:
        return tuple(len(found) * part // 4 - 1 for part in (1, 2, 3, 4))
    return tuple(sorted(_rows(tuple(found), wanted)))  # timm gives levels in its own order


def _rows(found: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The last level at each of the wanted strides that the network has."""
    rows = tuple(max(row for row, stride in enumerate(found) if stride == one) for one in wanted if one in found)
    if not rows:
        raise ConfigError(f"The backbone's levels have strides {found}, none of {wanted}.", "Choose another backbone.")
    return rows


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
    if missing or wrong:
        found = f"it lacks {len(missing)} of {len(wanted)} tensors, such as {missing[0]}" if missing else f"{wrong[0]}"
        raise ModelError(f"{path} does not hold the weights of '{name}': {found}.", _remedy(name))
    network.load_state_dict({key: state[key].float() for key in wanted if key in state}, strict=False)


def _wrap(network: Any) -> Backbone:
    info = network.feature_info
    return Backbone(network, tuple(info.reduction()), tuple(info.channels()))


def _remedy(name: str) -> str:
    return f"Give a safetensors file with timm's key names for '{name}': --backbone-weights FILE."
