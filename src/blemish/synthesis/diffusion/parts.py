"""The networks that repainting takes, read from folders in diffusers' own layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from blemish.backbones.transformers_import import import_transformers, quiet
from blemish.errors import BlemishError, ModelError
from blemish.synthesis.diffusion.brushnet import BrushNet
from blemish.synthesis.diffusion.diffusers_import import import_diffusers
from blemish.synthesis.diffusion.folders import Alternatives, read_config, require

_BELONGS = (
    "A Stable Diffusion 1.5 folder holds unet/, vae/ and text_encoder/ (each config.json and safetensors weights), "
    "tokenizer/ and scheduler/, as the pipeline's save_pretrained of diffusers writes them."
)
_UNET, _VAE, _TEXT = "unet", "vae", "text_encoder"
_STEMS = {_UNET: "diffusion_pytorch_model", _VAE: "diffusion_pytorch_model", _TEXT: "model"}
_VARIANTS = ("", ".fp16")
_SCHEDULER = "scheduler/scheduler_config.json"


@dataclass(frozen=True)
class Parts:
    """Networks in evaluation mode, frozen, on the CPU.

    Attributes:
        unet, vae: of diffusers.
        text_encoder, tokenizer: CLIP's, of transformers.
        scheduler: the checkpoint's scheduler configuration.
        brushnet: with the weights for segmentation masks.
        brushnet_random: with the weights for random masks; None: not given.
    """

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: dict[str, Any]
    brushnet: BrushNet
    brushnet_random: BrushNet | None


def load_parts(stable_diffusion: Path, brushnet: Path, brushnet_random: Path | None, dtype: torch.dtype) -> Parts:
    """Read all networks; nothing is asked of the network.

    Raises:
        ModelError: a folder is missing, incomplete or of another kind; names what belongs there.
        MissingExtraError: diffusers or transformers is not installed.
    """
    require(stable_diffusion, _wanted(), _BELONGS)
    controls = [BrushNet.from_pretrained(folder) for folder in (brushnet, brushnet_random) if folder is not None]
    diffusers, transformers = import_diffusers(), import_transformers()
    parts = Parts(
        unet=_network(diffusers.UNet2DConditionModel, stable_diffusion, _UNET, dtype),
        vae=_network(diffusers.AutoencoderKL, stable_diffusion, _VAE, dtype),
        text_encoder=_network(transformers.CLIPTextModel, stable_diffusion, _TEXT, dtype),
        tokenizer=_read(stable_diffusion / "tokenizer", transformers.CLIPTokenizer.from_pretrained),
        scheduler=read_config(stable_diffusion / _SCHEDULER, _BELONGS),
        brushnet=controls[0].to(dtype),
        brushnet_random=controls[1].to(dtype) if len(controls) > 1 else None,
    )
    for control, folder in zip(controls, (brushnet, brushnet_random), strict=False):
        _check_fit(control, parts.unet, stable_diffusion / _UNET, folder)
    return parts


def _wanted() -> Alternatives:
    files: dict[str, tuple[str, ...]] = {f"{name}/config.json": (f"{name}/config.json",) for name in _STEMS}
    for name, stem in _STEMS.items():
        files[f"{name}/{stem}.safetensors"] = tuple(f"{name}/{stem}{v}.safetensors" for v in _VARIANTS)
    files["tokenizer/vocab.json"] = ("tokenizer/vocab.json", "tokenizer/tokenizer.json")
    files["tokenizer/merges.txt"] = ("tokenizer/merges.txt", "tokenizer/tokenizer.json")
    files[_SCHEDULER] = (_SCHEDULER,)
    return files


def _network(kind: Any, folder: Path, name: str, dtype: torch.dtype) -> nn.Module:
    folder = folder / name
    plain = (folder / f"{_STEMS[name]}.safetensors").is_file()
    options: dict[str, Any] = {} if plain else {"variant": "fp16"}
    if name == _TEXT:
        options["dtype"] = dtype
    else:
        options |= {"torch_dtype": dtype, "low_cpu_mem_usage": False}
    network: nn.Module = _read(folder, kind.from_pretrained, use_safetensors=True, **options)
    return network.eval().requires_grad_(False)


def _read(folder: Path, reader: Any, **options: Any) -> Any:
    try:
        with quiet():
            return reader(str(folder), local_files_only=True, **options)
    except BlemishError:
        raise
    except Exception as error:  # both libraries raise whatever their parsers and torch raise
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{folder} cannot be loaded: {reason}.", _BELONGS) from error


def _check_fit(control: BrushNet, unet: Any, unet_folder: Path, folder: Path | None) -> None:
    ours, theirs = control.config, unet.config
    levels = len(theirs.block_out_channels)
    layers = theirs.layers_per_block
    layers = (layers,) * levels if isinstance(layers, int) else tuple(layers)
    if (ours.block_out_channels, ours.layers) != (tuple(theirs.block_out_channels), layers):
        raise ModelError(
            f"The BrushNet of {folder} has widths {ours.block_out_channels} with {ours.layers} layers, the UNet of "
            f"{unet_folder} {tuple(theirs.block_out_channels)} with {layers}.",
            "Choose the BrushNet that was made for this UNet.",
        )
    if ours.in_channels != theirs.in_channels or ours.conditioning_channels != theirs.in_channels + 1:
        raise ModelError(
            f"The BrushNet of {folder} takes {ours.in_channels} + {ours.conditioning_channels} channels, where "
            f"{theirs.in_channels} + {theirs.in_channels + 1} are wanted: latents, and latents with a mask.",
            "Choose a BrushNet for inpainting.",
        )
