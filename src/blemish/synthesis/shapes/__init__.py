"""The shape library: masks of defects, of every family and size, on the foreground of a product."""

from __future__ import annotations

from blemish.synthesis.shapes.catalogue import SHAPES, shapes_of
from blemish.synthesis.shapes.contact_sheet import contact_sheet
from blemish.synthesis.shapes.shape import Shape

__all__ = ["SHAPES", "Shape", "contact_sheet", "shapes_of"]
