"""From the pixels that an annotation means to those of the image as one sees it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.data.decode import image_size, opened, orientation, upright
from blemish.data.defects.example import Point
from blemish.data.sample import Box


@dataclass(frozen=True)
class Frame:
    """Coordinates of one annotation.

    An annotation that states a size tells which pixels it means. The size of the image as stored, where EXIF turns the
    image on its side, means the pixels before that turn. Any other size means a scaled copy.

    Attributes:
        size: width and height of the image after EXIF rotation.
        stated: width and height on which the annotation was drawn.
        turn: EXIF orientation, 1 to 8, by which its coordinates have to be turned; 1: they are upright.
    """

    size: tuple[int, int]
    stated: tuple[int, int]
    turn: int = 1

    @classmethod
    def of(cls, path: Path, stated: tuple[int, int] | None = None) -> Frame:
        """The frame of an annotation of an image; None: it states no size and means the upright image.

        Raises:
            ImageError: the image cannot be read.
        """
        size = image_size(path)
        if stated is None or stated == size:
            return cls(size, size)
        with opened(path) as image:
            turn = orientation(image)
        turned = turn >= 5 and stated == size[::-1]
        return cls(size, stated, turn if turned else 1)

    @property
    def scaled(self) -> bool:
        """Whether the annotation was drawn on a copy of another size."""
        return self.turn == 1 and self.stated != self.size

    def points(self, points: Iterable[Point]) -> tuple[Point, ...]:
        """Points of the annotation as pixels of the upright image."""
        if self.turn != 1:
            width, height = self.stated
            return tuple(_turned(x, y, width, height, self.turn) for x, y in points)
        across, down = self.size[0] / self.stated[0], self.size[1] / self.stated[1]
        return tuple((x * across, y * down) for x, y in points)

    def box(self, box: Box) -> Box:
        """A box of the annotation as pixels of the upright image."""
        (x0, y0), (x1, y1) = self.points([box[:2], box[2:]])
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of the annotation, turned upright; its scale stays, as masks are laid over the whole image."""
        return np.asarray(upright(Image.fromarray(mask), self.turn), dtype=np.bool_)


def _turned(x: float, y: float, width: float, height: float, turn: int) -> Point:
    """Where EXIF orientations 5 to 8 take a point of a stored image of this size."""
    return {5: (y, x), 6: (height - y, x), 7: (height - y, width - x), 8: (y, width - x)}[turn]
