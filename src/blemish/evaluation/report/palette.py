"""Colours of defect categories."""

from __future__ import annotations

from collections.abc import Sequence

from blemish.evaluation.report.overlay import FINDING_COLOUR, Colour, Outline, scaled
from blemish.inspection import Inspection

# Found by search. Any two of them, and each of them and the colours of unknown findings and of ground truth, lie at
# least 0.17 apart in OKLab; for people without long or middle cones 0.1, without short ones 0.08 (simulated as by
# Machado et al., 2009). Each has a contrast of at least 3 with the shadow below it.
PALETTE: tuple[Colour, ...] = (
    (0xF0, 0xB4, 0x1E),
    (0x5A, 0x96, 0xFF),
    (0xE1, 0x69, 0xB4),
    (0x00, 0x78, 0x5A),
    (0xA5, 0x00, 0xF0),
    (0xC3, 0xFF, 0x00),
    (0xD2, 0x0F, 0x0F),
    (0xD2, 0xB4, 0xFF),
    (0x78, 0xA5, 0x5A),
    (0x78, 0x5A, 0xA5),
)


def tone(category: str | None, categories: Sequence[str]) -> int | None:
    """Index of a category's colour: its place among the categories of its product, from the start again after ten.

    None for an unknown defect and for findings without a category, which are white.
    """
    return categories.index(category) % len(PALETTE) if category in categories else None


def colour(category: str | None, categories: Sequence[str]) -> Colour:
    """The colour of a category of a product; white for an unknown defect."""
    index = tone(category, categories)
    return FINDING_COLOUR if index is None else PALETTE[index]


def coloured_outlines(inspection: Inspection, size: tuple[int, int]) -> list[tuple[Outline, Colour]]:
    """Outlines of the regions in pixels of a picture of `size` (width, height), each in its category's colour."""
    fit = size[0] / inspection.size[0], size[1] / inspection.size[1]
    return [
        (scaled(region.polygon, fit), colour(region.category, inspection.categories)) for region in inspection.regions
    ]


def tone_class(index: int | None) -> str:
    """The style class that sets a colour; empty for white."""
    return "" if index is None else f"tone-{index}"


def style_sheet() -> str:
    """Sets the colour of each style class."""
    return "".join(f".tone-{index} {{ --hue: #{bytes(one).hex()}; }}\n" for index, one in enumerate(PALETTE))
