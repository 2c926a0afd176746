"""Reads state dicts of the authors' releases: key names to ours, sizes from shapes."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from blemish.errors import ModelError

_ATTENTION = r"(in_proj_weight|in_proj_bias|out_proj\.weight|out_proj\.bias)"
_AFFINE = r"(weight|bias)"

_COMMON = [
    (r"pos_embed\.row_embed\.weight", "position.rows"),
    (r"pos_embed\.col_embed\.weight", "position.columns"),
    (rf"(input_proj|output_proj)\.{_AFFINE}", r"\1.\2"),
    (rf"transformer\.encoder\.layers\.(\d+)\.self_attn\.{_ATTENTION}", r"encoder.layers.\1.attention.\2"),
    (rf"transformer\.encoder\.layers\.(\d+)\.(linear[12])\.{_AFFINE}", r"encoder.layers.\1.mlp.\2.\3"),
    (rf"transformer\.encoder\.layers\.(\d+)\.(norm[12])\.{_AFFINE}", r"encoder.layers.\1.\2.\3"),
    (rf"transformer\.decoder\.layers\.(\d+)\.(norm[123])\.{_AFFINE}", r"decoder.layers.\1.\2.\3"),
    (rf"transformer\.decoder\.norm\.{_AFFINE}", r"decoder.norm.\1"),
]
_UNIAD = [
    (r"transformer\.decoder\.layers\.(\d+)\.learned_embed\.weight", r"decoder.layers.\1.query"),
    (rf"transformer\.decoder\.layers\.(\d+)\.self_attn\.{_ATTENTION}", r"decoder.layers.\1.attend_encoded.\2"),
    (rf"transformer\.decoder\.layers\.(\d+)\.multihead_attn\.{_ATTENTION}", r"decoder.layers.\1.attend_previous.\2"),
    (rf"transformer\.decoder\.layers\.(\d+)\.(linear[12])\.{_AFFINE}", r"decoder.layers.\1.mlp.\2.\3"),
]
_ONENIP = [
    (
        rf"transformer\.decoder\.layers\.(\d+)\.cross_attn_prompt_to_image\.{_ATTENTION}",
        r"decoder.layers.\1.prompt_to_target.\2",
    ),
    (
        rf"transformer\.decoder\.layers\.(\d+)\.cross_attn_image_to_prompt\.{_ATTENTION}",
        r"decoder.layers.\1.target_to_prompt.\2",
    ),
    (rf"transformer\.decoder\.layers\.(\d+)\.mlp\.lin([12])\.{_AFFINE}", r"decoder.layers.\1.mlp.linear\2.\3"),
    (rf"transformer\.decoder\.final_attn_token_to_image\.{_ATTENTION}", r"decoder.final_attention.\1"),
    (r"seghead\.upconv([12])\.0\.weight", r"refiner.block\1.0.weight"),
    (
        r"seghead\.upconv([12])\.1\.(weight|bias|running_mean|running_var|num_batches_tracked)",
        r"refiner.block\1.1.\2",
    ),
    (rf"seghead\.upconv([12])\.3\.{_AFFINE}", r"refiner.block\1.3.\2"),
    (rf"seghead\.predictor\.{_AFFINE}", r"refiner.predictor.\1"),
]


def read_uniad(state: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Sizes for `UniAD(...)` and its state dict."""
    weights = _rename(state, _COMMON + _UNIAD)
    return _sizes(weights), weights


def read_onenip(state: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Sizes for `OneNIP(...)` and its state dict; without refiner weights the model has no refiner."""
    weights = _rename(state, _COMMON + _ONENIP)
    sizes = _sizes(weights)
    sizes["refiner"] = "refiner.predictor.weight" in weights
    if sizes["refiner"]:
        sizes["refiner_channels"] = weights["refiner.predictor.weight"].shape[1]
    return sizes, weights


def _rename(state: dict[str, Tensor], table: list[tuple[str, str]]) -> dict[str, Tensor]:
    weights = {}
    for key, value in state.items():
        name = key.removeprefix("module.")
        if name.startswith(("backbone.", "neck.")):  # frozen parts of a whole checkpoint
            continue
        name = name.removeprefix("reconstruction.")
        for pattern, ours in table:
            if match := re.fullmatch(pattern, name):
                weights[match.expand(ours)] = value.float() if value.is_floating_point() else value
                break
        else:
            raise ModelError(f"The reference state dict has the unknown key '{key}'.", "Is it of another model?")
    return weights


def _sizes(weights: dict[str, Tensor]) -> dict[str, Any]:
    try:
        width, channels = weights["input_proj.weight"].shape
        return {
            "channels": channels,
            "width": width,
            "grid": (len(weights["position.rows"]), len(weights["position.columns"])),
            "encoder_layers": _count(weights, "encoder"),
            "decoder_layers": _count(weights, "decoder"),
            "feedforward": len(weights["encoder.layers.0.mlp.linear1.weight"]),
        }
    except KeyError as error:
        raise ModelError(f"The reference state dict lacks the weights of {error}.", "Is the file complete?") from None


def _count(weights: dict[str, Tensor], part: str) -> int:
    return 1 + max((int(key.split(".")[2]) for key in weights if key.startswith(f"{part}.layers.")), default=-1)
