"""AlphaCLIP's published file, read safely and under the names of transformers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from blemish.errors import ModelError

ALPHA = "conv1_alpha.weight"
BELONGS = "AlphaCLIP's vision weights come as clip_l14_336_grit_20m_4xe.pth."
_PLAIN = {
    "class_embedding": "vision_model.embeddings.class_embedding",
    "positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "ln_pre": "vision_model.pre_layrnorm",
    "ln_post": "vision_model.post_layernorm",
}
_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}


def read_vision_weights(path: Path) -> dict[str, Tensor]:
    """AlphaCLIP's published tensors under the names of transformers, and the mask's convolution under its own.

    Raises:
        ModelError: the file is missing, holds more than tensors, or lacks the mask's convolution.
    """
    if not path.is_file():
        raise ModelError(f"There is no file {path}.", BELONGS)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its archive reader and its unpickler raise
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is not a file of tensors: {reason}.", BELONGS) from None
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ModelError(f"{path} holds no plain table of tensors.", BELONGS)
    tensors = {key.removeprefix("visual."): value for key, value in loaded.items()}
    if ALPHA not in tensors:
        raise ModelError(f"{path} holds no {ALPHA}, the convolution of the mask.", BELONGS)
    return dict(pair for key, value in tensors.items() for pair in _renamed(key, value))


def _renamed(key: str, value: Tensor) -> list[tuple[str, Tensor]]:
    """A tensor of the release under the names of transformers; its query, key and value projections come as one."""
    if key == "proj":
        return [("visual_projection.weight", value.T)]
    layer = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", key)
    if layer is None:
        for theirs, ours in _PLAIN.items():
            if key == theirs or key.startswith(f"{theirs}."):
                return [(key.replace(theirs, ours, 1), value)]
        return [(key, value)]
    start, rest = f"vision_model.encoder.layers.{layer[1]}.", layer[2]
    if joint := re.fullmatch(r"attn\.in_proj[._](weight|bias)", rest):
        names = [f"{start}self_attn.{name}_proj.{joint[1]}" for name in "qkv"]
        return list(zip(names, value.chunk(3), strict=True))
    module, _, kind = rest.rpartition(".")
    return [(f"{start}{_LAYER.get(module, module)}.{kind}", value)]
