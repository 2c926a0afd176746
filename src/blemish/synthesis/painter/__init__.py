"""The painter: defects painted procedurally where there is neither a real example nor a diffusion model."""

from __future__ import annotations

from blemish.data.priors.words import default_shapes, infer_appearance
from blemish.synthesis.painter.paint import PAINTS, VISIBLE, paint
from blemish.synthesis.painter.scene import margin

__all__ = ["PAINTS", "VISIBLE", "default_shapes", "infer_appearance", "margin", "paint"]
