"""Defects repainted by a latent diffusion model under BrushNet: UniADC's controllable inpainting, without training.

The networks are those of unmodified diffusers and transformers (the extra `diffusion`); weights are read from folders
that the user names, never from the network.
"""

from __future__ import annotations

from blemish.synthesis.diffusion.brushnet import BrushNet, Residuals
from blemish.synthesis.diffusion.controlled import ControlledUNet

__all__ = ["BrushNet", "ControlledUNet", "Residuals"]
