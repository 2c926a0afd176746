"""BrushNet: the copy of a UNet without cross-attention that guides inpainting (UniADC §3, after BrushNet §3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blemish.errors import ModelError
from blemish.files import replaced, write_json
from blemish.synthesis.diffusion.brushnet_config import BrushNetConfig
from blemish.synthesis.diffusion.diffusers_import import import_diffusers
from blemish.synthesis.diffusion.folders import read_config, read_tensors, require

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
_BELONGS = f"A BrushNet folder holds {CONFIG} and {WEIGHTS}, as published."


@dataclass(frozen=True)
class Residuals:
    """What is added to the features of a UNet.

    Attributes:
        down: B×C×h×w: after its first convolution, each layer of its down path and each downsampler.
        mid: B×C×h×w: after its middle block.
        up: B×C×h×w: after each layer of its up path and each upsampler.
    """

    down: tuple[Tensor, ...]
    mid: Tensor
    up: tuple[Tensor, ...]

    def repeated(self, times: int) -> Residuals:
        """The same for a batch that holds each sample `times` times, one copy of the batch after the other."""
        down, up = (tuple(torch.cat([one] * times) for one in side) for side in (self.down, self.up))
        return Residuals(down, torch.cat([self.mid] * times), up)


class BrushNet(nn.Module):
    """Residuals for a frozen UNet from noisy latents and the image around the hole.

    Built from the UNet blocks of diffusers; the names of its tensors are those of the published weights.
    """

    def __init__(self, config: BrushNetConfig) -> None:
        super().__init__()
        embeddings = import_diffusers("diffusers.models.embeddings")
        self.config = config
        channels = config.block_out_channels
        self.conv_in_condition = nn.Conv2d(
            config.in_channels + config.conditioning_channels, channels[0], kernel_size=3, padding=1
        )
        self.time_proj = embeddings.Timesteps(channels[0], config.flip_sin_to_cos, config.freq_shift)
        self.time_embedding = embeddings.TimestepEmbedding(channels[0], config.time_channels, act_fn=config.act_fn)
        self.down_blocks = nn.ModuleList(config.down_blocks())
        self.mid_block = config.mid_block()
        self.up_blocks = nn.ModuleList(config.up_blocks())
        self.brushnet_down_blocks = _zero_convolutions((channels[0], *_widths(self.down_blocks)))
        self.brushnet_mid_block = _zero_convolutions((channels[-1],))[0]
        self.brushnet_up_blocks = _zero_convolutions(tuple(_widths(self.up_blocks)))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> BrushNet:
        """A network of this published configuration, with the weights that training starts from.

        Raises:
            ModelError: the configuration asks for something that BrushNet has not.
            MissingExtraError: diffusers is not installed.
        """
        return cls(BrushNetConfig.parse(config))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> BrushNet:
        """The network of a folder in the published layout, float32, in evaluation mode and frozen.

        Raises:
            ModelError: a file is missing, unreadable or of another network; says what belongs there.
            MissingExtraError: diffusers is not installed.
        """
        folder = Path(folder)
        require(folder, {CONFIG: (CONFIG,), WEIGHTS: (WEIGHTS,)}, _BELONGS)
        try:
            network = cls.from_config(read_config(folder / CONFIG, _BELONGS))
        except ModelError as error:
            raise ModelError(f"{folder / CONFIG}: {error.message}", error.remedy or _BELONGS) from None
        tensors = read_tensors(folder / WEIGHTS, _BELONGS)
        wanted = network.state_dict()
        odd = [
            *(f"lacks {name}" for name in wanted if name not in tensors),
            *(f"has an unknown {name}" for name in tensors if name not in wanted),
            *(
                f"has {name} in another shape"
                for name in wanted
                if name in tensors and tensors[name].shape != wanted[name].shape
            ),
        ]
        if odd:
            raise ModelError(
                f"{folder / WEIGHTS} does not fit {CONFIG} beside it: it {odd[0]} ({len(odd)} such tensors).", _BELONGS
            )
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        return network.eval().requires_grad_(False)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the published layout. Raises BlemishError where it cannot be written."""
        from safetensors.torch import save_file

        folder = Path(folder)
        with replaced(folder / WEIGHTS) as temporary:
            save_file({name: tensor.contiguous().cpu() for name, tensor in self.state_dict().items()}, temporary)
        write_json(folder / CONFIG, self.config.published())

    def forward(self, latents: Tensor, timesteps: Tensor, condition: Tensor, scale: float = 1.0) -> Residuals:
        """Residuals for the UNet.

        Args:
            latents: B×4×h×w, noisy.
            timesteps: B of them, or one for all.
            condition: B×5×h×w: latents of the image around the hole, and a channel that is 1 where it is kept.
            scale: factor of all residuals.
        """
        steps = torch.as_tensor(timesteps, device=latents.device).reshape(-1).expand(len(latents))
        embedding = self.time_embedding(self.time_proj(steps).to(latents.dtype))
        features = self.conv_in_condition(torch.cat((latents, condition), dim=1))
        down, up = [features], []
        for block in self.down_blocks:
            features, states = block(features, embedding)
            down += states
        features = mid = self.mid_block(features, embedding)
        skips = list(down)
        blocks: Iterable[Any] = self.up_blocks
        for block in blocks:
            for resnet in block.resnets:
                features = resnet(torch.cat((features, skips.pop()), dim=1), embedding)
                up.append(features)
            for upsampler in block.upsamplers or ():
                features = upsampler(features, skips[-1].shape[2:])
                up.append(features)
        scale = float(scale)
        return Residuals(
            tuple(conv(one) * scale for conv, one in zip(self.brushnet_down_blocks, down, strict=True)),
            self.brushnet_mid_block(mid) * scale,
            tuple(conv(one) * scale for conv, one in zip(self.brushnet_up_blocks, up, strict=True)),
        )


def _widths(blocks: Iterable[Any]) -> Iterator[int]:
    """Channels of each feature of the blocks, in the order in which they appear."""
    for block in blocks:
        for resnet in block.resnets:
            yield resnet.out_channels
        for sampler in getattr(block, "downsamplers", None) or getattr(block, "upsamplers", None) or ():
            yield sampler.out_channels


def _zero_convolutions(widths: tuple[int, ...]) -> nn.ModuleList:
    convolutions = nn.ModuleList(nn.Conv2d(width, width, kernel_size=1) for width in widths)
    for parameter in convolutions.parameters():
        nn.init.zeros_(parameter)
    return convolutions
