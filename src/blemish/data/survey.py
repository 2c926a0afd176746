"""One look at every image of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blemish.data.atypical import describe
from blemish.data.dataset import Dataset
from blemish.data.decode import IntensityRange, bit_depth, intensity_range, read_image
from blemish.data.duplicates import content_hash
from blemish.data.masks import read_mask
from blemish.data.problem import Problem
from blemish.data.sample import Sample
from blemish.errors import ImageError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Look:
    """What one readable image is like.

    Attributes:
        size: width, height after EXIF rotation.
        depth: bits per channel.
        fingerprint: of its pixels, from `duplicates.content_hash`.
        descriptor: from `atypical.describe`; None unless it is a normal training image.
    """

    sample: Sample
    size: tuple[int, int]
    depth: int
    fingerprint: str
    descriptor: NDArray[np.float32] | None


@dataclass(frozen=True)
class Survey:
    """All readable images of a data set, and the problems met with images and masks."""

    looks: tuple[Look, ...]
    problems: tuple[Problem, ...]
    unreadable: tuple[Sample, ...]


def survey(dataset: Dataset, progress: Progress | None = None) -> Survey:
    """Decode every image and mask once, in the order of the data set.

    Args:
        progress: called after every image with the numbers of images done and of all.
    """
    ranges = {product: _range(dataset.train_normals(product)) for product in dataset.products}
    looks: list[Look] = []
    problems: list[Problem] = []
    unreadable: list[Sample] = []
    for done, sample in enumerate(dataset.samples, start=1):
        try:
            look = _look(sample, ranges[sample.product])
        except ImageError as error:
            unreadable.append(sample)
            problems.append(Problem(sample.path, "warning", error.message, error.remedy))
        else:
            looks.append(look)
            problems += _mask_problems(look) + _box_problems(look)
        if progress is not None:
            progress(done, len(dataset))
    return Survey(tuple(looks), tuple(problems), tuple(unreadable))


def _range(samples: Iterable[Sample]) -> IntensityRange | None:
    return intensity_range(sample.path for sample in samples)


def _look(sample: Sample, scale: IntensityRange | None) -> Look:
    pixels = read_image(sample.path, intensity_range=scale)
    height, width = pixels.shape[:2]
    trains = sample.split == "train" and not sample.defective
    return Look(
        sample,
        (width, height),
        bit_depth(sample.path),
        content_hash(pixels),
        describe(pixels) if trains else None,
    )


def _mask_problems(look: Look) -> list[Problem]:
    path = look.sample.mask
    if path is None:
        return []
    try:
        mask = read_mask(path)
    except ImageError as error:
        return [Problem(path, "warning", error.message, error.remedy)]
    height, width = mask.shape
    if (width, height) != look.size:
        found = f"The mask {path} has {width} × {height} pixels, its image {look.size[0]} × {look.size[1]}."
        turned = (height, width) == look.size
        remedy = "Turn it as its image is shown (EXIF)." if turned else "Draw it at the size of its image."
        return [Problem(path, "warning", found, remedy)]
    if not mask.any():
        return [Problem(path, "warning", f"The mask {path} of a defective image is empty.", "Draw the defect.")]
    return []


def _box_problems(look: Look) -> list[Problem]:
    width, height = look.size
    return [
        Problem(
            look.sample.path,
            "warning",
            f"A box of {look.sample.path} lies outside the image of {width} × {height} pixels.",
            "Write left,top,right,bottom in pixels of the image as it is shown (EXIF).",
        )
        for left, top, right, bottom in look.sample.boxes
        if left >= width or top >= height or right <= 0 or bottom <= 0
    ]
