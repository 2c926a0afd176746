"""Contact sheets: rows of equal pictures with a name beside each row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Row = tuple[str, Sequence[NDArray[np.uint8]]]

PAPER, INK, FAINT = (250, 249, 246), (38, 42, 48), (120, 126, 134)
_GAP, _MARGIN = 8, 24


def sheet(rows: Sequence[Row], *, title: str, note: str = "", cell: int = 128, columns: int = 1) -> Image.Image:
    """A picture of all rows, one below the other, in `columns` blocks side by side.

    Args:
        rows: name and pictures (uint8 H×W×3 each, scaled to `cell` px wide); a line break in a name starts a fainter
            line.
        title: stands above.
        note: a smaller line below the title.
        cell: width of a picture in pixels.
    """
    name_font, title_font = ImageFont.load_default(15), ImageFont.load_default(24)
    small = ImageFont.load_default(13)
    widest = max((len(pictures) for _, pictures in rows), default=1)
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    lines = [(name.partition("\n")[0], name.partition("\n")[2]) for name, _ in rows]
    label = max((int(max(ruler.textlength(a, name_font), ruler.textlength(b, small))) for a, b in lines), default=0)
    heights = [max((_height(one, cell) for one in pictures), default=cell) for _, pictures in rows]
    per_block = -(-len(rows) // columns) or 1
    block = label + 2 * _GAP + widest * (cell + _GAP)
    tallest = max(
        (sum(heights[start : start + per_block]) + _GAP * per_block for start in range(0, len(rows), per_block)),
        default=0,
    )
    top = _MARGIN + 34 + (22 if note else 0) + _GAP
    width = _MARGIN * 2 + columns * block + (columns - 1) * _MARGIN
    picture = Image.new("RGB", (max(width, 480), top + tallest + _MARGIN), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((_MARGIN, _MARGIN), title, INK, title_font)
    if note:
        draw.text((_MARGIN, _MARGIN + 34), note, FAINT, small)
    y = top
    for index, ((_, pictures), (name, more), height) in enumerate(zip(rows, lines, heights, strict=True)):
        if index % per_block == 0:
            y = top
        x = _MARGIN + (index // per_block) * (block + _MARGIN)
        draw.text((x, y + height // 2 - (18 if more else 9)), name, INK, name_font)
        if more:
            draw.text((x, y + height // 2 + 2), more, FAINT, small)
        for number, one in enumerate(pictures):
            tile = Image.fromarray(one).resize((cell, _height(one, cell)), Image.Resampling.BOX)
            picture.paste(tile, (x + label + 2 * _GAP + number * (cell + _GAP), y))
        y += height + _GAP
    return picture


def _height(picture: NDArray[np.uint8], cell: int) -> int:
    height, width = (int(side) for side in picture.shape[:2])
    return round(height * cell / width)
