"""Shape of a BrushNet, as its published `config.json` states it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from torch import nn

from blemish.errors import ModelError
from blemish.synthesis.diffusion.diffusers_import import import_diffusers

_DOWN, _UP = "DownBlock2D", "UpBlock2D"
# resnets of the middle block beyond the first
_MID_LAYERS = {"MidBlock2D": 1, "UNetMidBlock2D": 0}
# what other networks of the family have, and this one has not
_ABSENT = ("class_embed_type", "addition_embed_type", "encoder_hid_dim_type", "num_class_embeds")


@dataclass(frozen=True)
class BrushNetConfig:
    """The published values; the defaults are those for Stable Diffusion 1.5.

    Attributes:
        in_channels: of the latents.
        conditioning_channels: of the condition: latents and mask.
        layers_per_block: resnets of a down block, one number for all or one for each; an up block has one more.
        others: whatever else the configuration holds; kept when it is written again.
    """

    in_channels: int = 4
    conditioning_channels: int = 5
    flip_sin_to_cos: bool = True
    freq_shift: int = 0
    down_block_types: tuple[str, ...] = (_DOWN,) * 4
    mid_block_type: str = "MidBlock2D"
    up_block_types: tuple[str, ...] = (_UP,) * 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int | tuple[int, ...] = 2
    downsample_padding: int = 1
    mid_block_scale_factor: float = 1.0
    act_fn: str = "silu"
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    resnet_time_scale_shift: str = "default"
    others: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> BrushNetConfig:
        """Read a published configuration; unknown keys are kept, None means the default.

        Raises:
            ModelError: it asks for attention, class or text embeddings, or contradicts itself.
        """
        known = {one.name for one in fields(cls)} - {"others"}
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in config.items()
            if key in known and value is not None
        }
        parsed = cls(**values, others={key: value for key, value in config.items() if key not in known})
        parsed._check(config)
        return parsed

    @property
    def layers(self) -> tuple[int, ...]:
        """Resnets of each down block."""
        layers, levels = self.layers_per_block, len(self.block_out_channels)
        return (layers,) * levels if isinstance(layers, int) else layers

    @property
    def time_channels(self) -> int:
        """Channels of the time embedding."""
        return self.block_out_channels[0] * 4

    def published(self) -> dict[str, Any]:
        """The configuration as it is published."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "others"}
        return {"_class_name": "BrushNetModel", **self.others, **values}

    def down_blocks(self) -> Iterator[nn.Module]:
        """Blocks of the down path."""
        blocks = import_diffusers("diffusers.models.unets.unet_2d_blocks")
        before = self.block_out_channels[0]
        for level, (channels, layers) in enumerate(zip(self.block_out_channels, self.layers, strict=True)):
            yield blocks.DownBlock2D(
                in_channels=before,
                out_channels=channels,
                num_layers=layers,
                add_downsample=level < len(self.block_out_channels) - 1,
                downsample_padding=self.downsample_padding,
                **self._common(),
            )
            before = channels

    def mid_block(self) -> nn.Module:
        """The block between both paths."""
        blocks = import_diffusers("diffusers.models.unets.unet_2d_blocks")
        block: nn.Module = blocks.UNetMidBlock2D(
            in_channels=self.block_out_channels[-1],
            num_layers=_MID_LAYERS[self.mid_block_type],
            output_scale_factor=self.mid_block_scale_factor,
            add_attention=False,
            **self._common(),
        )
        return block

    def up_blocks(self) -> Iterator[nn.Module]:
        """Blocks of the up path."""
        blocks = import_diffusers("diffusers.models.unets.unet_2d_blocks")
        widths = self.block_out_channels[::-1]
        before = widths[0]
        for level, (channels, layers) in enumerate(zip(widths, self.layers[::-1], strict=True)):
            yield blocks.UpBlock2D(
                in_channels=widths[min(level + 1, len(widths) - 1)],
                prev_output_channel=before,
                out_channels=channels,
                num_layers=layers + 1,
                add_upsample=level < len(widths) - 1,
                **self._common(),
            )
            before = channels

    def _common(self) -> dict[str, Any]:
        return {
            "temb_channels": self.time_channels,
            "resnet_eps": self.norm_eps,
            "resnet_act_fn": self.act_fn,
            "resnet_groups": self.norm_num_groups,
            "resnet_time_scale_shift": self.resnet_time_scale_shift,
        }

    def _check(self, config: Mapping[str, Any]) -> None:
        for key in _ABSENT:
            if config.get(key) is not None:
                raise ModelError(f"{key} is {config[key]!r}: this is no BrushNet for Stable Diffusion 1.5.")
        for key, wanted in (("down_block_types", _DOWN), ("up_block_types", _UP)):
            if strange := set(getattr(self, key)) - {wanted}:
                raise ModelError(f"{key} names {min(strange)}; BrushNet has no attention, only {wanted}.")
        if self.mid_block_type not in _MID_LAYERS:
            raise ModelError(f"mid_block_type is {self.mid_block_type}, not one of {', '.join(_MID_LAYERS)}.")
        levels = len(self.block_out_channels)
        if not len(self.down_block_types) == len(self.up_block_types) == len(self.layers) == levels:
            raise ModelError(f"block types, layers_per_block and the {levels} block_out_channels differ in number.")
