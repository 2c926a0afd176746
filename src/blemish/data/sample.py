"""One image of a data set and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "test"]
Label = Literal["normal", "defective"]
Box = tuple[float, float, float, float]

SEVERAL_DEFECTS = "combined"  # the category of images that show several kinds of defect, as in MVTec AD


@dataclass(frozen=True)
class Sample:
    """One image file with its labels, all taken from the file list and never from pixels.

    Attributes:
        path: the image file.
        product: name of the product it shows.
        split: `train` or `test`. Labelled defects may stand in `train` (shots for few-shot learning).
        label: `normal` or `defective`.
        defect: name of the defect category; None for normal images and for defects without a name.
        mask: image file whose non-zero pixels are defective; None when there is none.
        group: images of one group show the same physical part and are never split apart; None: on its own.
        boxes: left, top, right, bottom around each defect in pixels, right and bottom exclusive; empty when none is
            known. A box says where to look and is no mask: figures of pixels leave it out.
    """

    path: Path
    product: str
    split: Split
    label: Label
    defect: str | None = None
    mask: Path | None = None
    group: str | None = None
    boxes: tuple[Box, ...] = ()

    @property
    def defective(self) -> bool:
        return self.label == "defective"
