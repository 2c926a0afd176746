"""Boxes in a cell of a manifest: text to numbers and back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from blemish.data.sample import Box
from blemish.errors import DataError

_BETWEEN = re.compile(r"[,\s]+")
_FARTHEST = 1e6  # no image is as wide
_REMEDY = "Write left,top,right,bottom in pixels; several boxes are separated by ';'."


def parse_boxes(text: str, where: str) -> tuple[Box, ...]:
    """`left,top,right,bottom`, in pixels of the upright image, right and bottom exclusive; several separated by `;`.

    Blanks may stand for commas. In JSON lines a box may be a list of four numbers, several a list of such lists.

    Args:
        text: the cell; empty: no box.
        where: file and line, for messages.

    Raises:
        DataError: a box has other than four finite numbers, or no area.
    """
    if not text:
        return ()
    try:
        found: Any = json.loads(text) if text.startswith("[") else _split(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list) and found and not isinstance(found[0], list):
        found = [found]
    if not isinstance(found, list):
        raise DataError(f"{where} has the box '{text[:60]}', which is no list of numbers.", _REMEDY)
    return tuple(checked_box(box, where) for box in found)


def checked_box(values: Any, where: str) -> Box:
    """Four finite numbers, the left below the right and the top below the bottom.

    Raises:
        DataError: they are not.
    """
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 4:
        raise DataError(f"{where} has a box of other than four numbers.", _REMEDY)
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        raise DataError(f"{where} has a box that holds more than numbers.", _REMEDY)
    # compared before it becomes a float: an integer may be too large for one
    if not all(-_FARTHEST <= value <= _FARTHEST for value in values):
        raise DataError(f"{where} has a box with a coordinate that no image can have.", _REMEDY)
    left, top, right, bottom = map(float, values)
    if not (left < right and top < bottom):
        raise DataError(f"{where} has the box {format_boxes([(left, top, right, bottom)])} without area.", _REMEDY)
    return left, top, right, bottom


def format_boxes(boxes: Iterable[Box]) -> str:
    """The cell that `parse_boxes` reads back equal."""
    return ";".join(",".join(str(number(value)) for value in box) for box in boxes)


def number(value: float) -> int | float:
    """The shortest number that is equal: an integer where there is one."""
    value = float(value)
    return int(value) if math.isfinite(value) and value.is_integer() else value


def _split(text: str) -> list[list[float]]:
    parts = [part.strip(", \t") for part in text.split(";")]
    return [[float(value) for value in _BETWEEN.split(part)] for part in parts if part]
