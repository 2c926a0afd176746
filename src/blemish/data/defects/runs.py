"""A mask as run lengths."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blemish.data.decode import MAX_PIXELS
from blemish.errors import DataError


@dataclass(frozen=True)
class Runs:
    """A mask as run lengths down the columns, leftmost column first: the order of COCO's RLE.

    Attributes:
        size: width and height of the mask.
        counts: lengths of alternating runs of normal and defective pixels; the first is normal and may be 0.

    Raises:
        DataError: a length is negative, the lengths do not add up to width · height, or the mask is larger than any
            image that Blemish reads.
    """

    size: tuple[int, int]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        width, height = self.size
        if not (0 < width <= MAX_PIXELS and 0 < height <= MAX_PIXELS and width * height <= MAX_PIXELS):
            raise DataError(f"A mask of {width} × {height} pixels cannot be used.", "Correct its size.")
        if any(count < 0 for count in self.counts):
            raise DataError("A mask in run lengths has a negative length.", "Export it again.")
        if sum(self.counts) != width * height:
            found = f"A mask of {width} × {height} pixels in run lengths covers {sum(self.counts)} pixels"
            raise DataError(f"{found}, not {width * height}.", "Export it again.")

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Runs:
        """The run lengths of a mask, bool H×W, at least one pixel."""
        height, width = mask.shape
        values = mask.T.ravel()
        edges = np.flatnonzero(np.diff(values, prepend=False))
        lengths = np.diff(np.concatenate([[0], edges, [values.size]]))
        return cls((width, height), tuple(map(int, lengths)))

    def mask(self) -> NDArray[np.bool_]:
        """bool, H×W."""
        width, height = self.size
        defective = np.arange(len(self.counts)) % 2 == 1
        return np.ascontiguousarray(np.repeat(defective, self.counts).reshape(width, height).T)

    @property
    def empty(self) -> bool:
        """Whether no pixel is defective."""
        return not any(self.counts[1::2])


def decode_counts(text: str) -> tuple[int, ...]:
    """COCO's compressed run lengths.

    Every number is written in groups of five bits, lowest first, one character (48 + group) each, bit 5 set where more
    follow; the highest bit of the last group is the sign. From the fourth number on it is the difference to the number
    two before.

    Raises:
        DataError: a character or number cannot be.
    """
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 60:
            raise DataError(f"Compressed run lengths hold '{character}' where none can be.", "Export it again.")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise DataError("Compressed run lengths end within a number.", "Export it again.")
    return tuple(counts)


def encode_counts(counts: Iterable[int]) -> str:
    """The text that `decode_counts` reads back equal."""
    lengths = list(counts)
    text = []
    for index, count in enumerate(lengths):
        value = count - lengths[index - 2] if index > 2 else count
        more = True
        while more:
            group, value = value & 31, value >> 5
            more = value != (-1 if group & 16 else 0)
            text.append(chr(48 + group + 32 * more))
    return "".join(text)
