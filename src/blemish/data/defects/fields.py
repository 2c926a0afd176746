"""Values of annotation files that anybody may have written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blemish.data.decode import MAX_PIXELS
from blemish.data.defects.example import Point
from blemish.errors import DataError

_FARTHEST = 1e6  # no image is as wide


@dataclass(frozen=True)
class Document:
    """A JSON file.

    Attributes:
        file: where it is.
        data: what it holds, without embedded images; None where it cannot be read.
        error: why not.
    """

    file: Path
    data: Any
    error: DataError | None = None


def read_document(file: Path) -> Document:
    """A JSON file, read or with the reason why not."""
    try:
        data = json.loads(read_text(file))
    except DataError as error:
        return Document(file, None, error)
    except (ValueError, RecursionError) as error:
        return Document(file, None, DataError(f"{file} is not JSON: {error}.", "Export it again."))
    if isinstance(data, dict):
        data.pop("imageData", None)  # LabelMe's copy of the image, many times the rest
    return Document(file, data)


def read_text(file: Path) -> str:
    """The text of a UTF-8 file.

    Raises:
        DataError: it cannot be read or is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.", "Check that it is readable.") from error


def is_number(value: Any) -> bool:
    """Whether a value is a finite number that a pixel can have."""
    # compared before it becomes a float: an integer may be too large for one
    return isinstance(value, int | float) and not isinstance(value, bool) and -_FARTHEST <= value <= _FARTHEST


def numbers(values: Any, where: str, what: str) -> list[float]:
    """A list of finite numbers that pixels can have.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(values, list) or not all(map(is_number, values)):
        raise DataError(f"{where} has {what} that is no list of numbers.", "Correct or remove the entry.")
    return [float(value) for value in values]


def stated_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height that a file states; None unless both are whole positive numbers that an image can have."""
    if not (is_number(width) and is_number(height)) or width != int(width) or height != int(height):
        return None
    return (int(width), int(height)) if width > 0 and height > 0 and width * height <= MAX_PIXELS else None


def pairs(values: Sequence[float]) -> tuple[Point, ...]:
    """x0, y0, x1, y1, … as points, without a last one that repeats the first."""
    points = tuple(zip(values[::2], values[1::2], strict=True))
    return points[:-1] if len(points) > 1 and points[0] == points[-1] else points


def objects(values: Any) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """The members of a list with their numbers from 1; None for what is no JSON object."""
    for index, value in enumerate(values if isinstance(values, list) else (), start=1):
        yield index, value if isinstance(value, dict) else None


def key_of(value: Any) -> str | None:
    """An identifier, number or text, as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        return str(value)
    except ValueError:  # an integer of thousands of digits
        return None
