"""A UNet of diffusers to whose features BrushNet's residuals are added."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from blemish.errors import ModelError
from blemish.synthesis.diffusion.brushnet import Residuals

_REMEDY = "Choose the BrushNet that was made for this UNet."


class ControlledUNet(nn.Module):
    """diffusers' own `UNet2DConditionModel`, unchanged, with hooks that live for one call.

    A residual is added to what a layer gives before anything else sees it: the sum goes on to the next layer, and
    the same sum is what the skip connection carries to the up path. A layer is a resnet, or the attention after it
    where there is one. The first residual is the exception, as in the release: it is added to what enters the first
    block, while the skip connection carries the first convolution's own output.

    Raises:
        ModelError: the UNet has no middle block.
    """

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet
        if getattr(unet, "mid_block", None) is None:
            raise ModelError("The UNet has no middle block to add a residual to.", "Choose a Stable Diffusion 1.5.")

    def forward(self, latents: Tensor, timesteps: Tensor, text: Tensor, residuals: Residuals | None = None) -> Tensor:
        """Predicted noise, B×4×h×w.

        Args:
            latents: B×4×h×w, noisy.
            timesteps: B of them, or one for all.
            text: B×N×C, encoded prompts.
            residuals: of the same batch; None: what the UNet alone predicts.

        Raises:
            ModelError: the residuals are those for another UNet.
        """
        with self._adding(residuals):
            noise: Tensor = self.unet(latents, timesteps, encoder_hidden_states=text, return_dict=False)[0]
        return noise

    @contextmanager
    def _adding(self, residuals: Residuals | None) -> Iterator[None]:
        handles: list[Any] = []
        try:
            if residuals is not None:
                self._hook(residuals, handles)
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, residuals: Residuals, handles: list[Any]) -> None:
        """Register all hooks, each noted in `handles` at once."""
        unet: Any = self.unet
        down, up = list(_layers(unet.down_blocks)), list(_layers(unet.up_blocks))
        if (len(residuals.down), len(residuals.up)) != (len(down) + 1, len(up)):
            raise ModelError(
                f"BrushNet gives {len(residuals.down)} + {len(residuals.up)} residuals, but the UNet has "
                f"{len(down) + 1} + {len(up)} places for them.",
                _REMEDY,
            )
        entering = _before(residuals.down[0])
        handles.append(unet.down_blocks[0].register_forward_pre_hook(entering, with_kwargs=True))
        layers = [*down, unet.mid_block, *up]
        for layer, residual in zip(layers, (*residuals.down[1:], residuals.mid, *residuals.up), strict=True):
            handles.append(layer.register_forward_hook(_after(residual)))


def _layers(blocks: Any) -> Iterator[nn.Module]:
    for block in blocks:
        yield from getattr(block, "attentions", None) or block.resnets
        yield from getattr(block, "downsamplers", None) or getattr(block, "upsamplers", None) or ()


def _before(residual: Tensor) -> Callable[..., Any]:
    """A hook that adds to the features given to a block, which the UNet names."""

    def add(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if given:
            return (_sum(given[0], residual), *given[1:]), named
        return given, {**named, "hidden_states": _sum(named["hidden_states"], residual)}

    return add


def _after(residual: Tensor) -> Callable[..., Any]:
    """A hook that adds to the features a layer gives; attentions give a tuple."""

    def add(_: nn.Module, __: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (_sum(output[0], residual), *output[1:])
        return _sum(output, residual)

    return add


def _sum(features: Tensor, residual: Tensor) -> Tensor:
    if features.shape != residual.shape:
        raise ModelError(
            f"A residual of shape {tuple(residual.shape)} does not fit features of shape {tuple(features.shape)}.",
            _REMEDY,
        )
    return features + residual.to(features.dtype)
