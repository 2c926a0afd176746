"""Is a data set fit for training? What `blemish check` says."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blemish.data.atypical import Atypical, find_atypical
from blemish.data.dataset import Dataset, Recognised
from blemish.data.duplicates import Duplicates, find_duplicates
from blemish.data.problem import Problem
from blemish.data.sample import Sample
from blemish.data.survey import Look, Progress, Survey, survey

SCHEMA_VERSION = 1
UNNAMED = "(no name)"
_ORDER = {"fatal": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Sizes:
    """Image sizes of one product, each width, height: the commonest, and those of least and most pixels."""

    common: tuple[int, int]
    smallest: tuple[int, int]
    largest: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        return {"common": list(self.common), "smallest": list(self.smallest), "largest": list(self.largest)}


@dataclass(frozen=True)
class ProductCheck:
    """One product. All counts but `unreadable` are of files as listed, readable or not.

    Attributes:
        train_normal, test_normal: numbers of normal images.
        train_defective, test_defective: numbers of defective images by category.
        masks: number of defective images with a mask.
        sizes: None when no image can be read.
        depths: bits per channel that occur, sorted.
        leaks: number of images in test whose pixels also stand in train.
        atypical: the training images least like the others, at most five.
        unreadable: images that cannot be read.
    """

    product: str
    train_normal: int
    train_defective: dict[str, int]
    test_normal: int
    test_defective: dict[str, int]
    masks: int
    sizes: Sizes | None
    depths: tuple[int, ...]
    leaks: int
    atypical: tuple[Atypical, ...]
    unreadable: tuple[Sample, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "product": self.product,
            "train_normal": self.train_normal,
            "train_defective": self.train_defective,
            "test_normal": self.test_normal,
            "test_defective": self.test_defective,
            "masks": self.masks,
            "sizes": self.sizes.to_dict() if self.sizes else None,
            "bits_per_channel": list(self.depths),
            "duplicates_across_train_and_test": self.leaks,
            "atypical": [one.to_dict() for one in self.atypical],
            "unreadable": [sample.path.as_posix() for sample in self.unreadable],
        }


@dataclass(frozen=True)
class CheckReport:
    """All that `check` found: fatal problems first, then warnings, then notes."""

    layouts: tuple[Recognised, ...]
    products: tuple[ProductCheck, ...]
    duplicates: tuple[Duplicates, ...]
    problems: tuple[Problem, ...]

    @property
    def fatal(self) -> bool:
        """Whether training on this data set cannot give what was asked for."""
        return any(problem.severity == "fatal" for problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "schema_version": SCHEMA_VERSION,
            "fatal": self.fatal,
            "layouts": [
                {"root": one.root.as_posix(), "layout": one.layout, "products": list(one.products)}
                for one in self.layouts
            ],
            "products": [product.to_dict() for product in self.products],
            "duplicates": [same.to_dict() for same in self.duplicates],
            "problems": [problem.to_dict() for problem in self.problems],
        }


def check(dataset: Dataset, progress: Progress | None = None) -> CheckReport:
    """Read every image and mask of a data set and report what is in it and what is wrong with it.

    Duplicates are images whose decoded 8-bit RGB pixels are identical; near-duplicates are what groups are for.

    Args:
        progress: called after every image with the numbers of images done and of all.
    """
    found = survey(dataset, progress)
    duplicates = find_duplicates((look.sample, look.fingerprint) for look in found.looks)
    leaking = {sample for same in duplicates if same.leaks for sample in same.samples if sample.split == "test"}
    products = tuple(_product(dataset, product, found, leaking) for product in dataset.products)
    problems = [*dataset.problems, *found.problems]
    problems += [problem for same in duplicates for problem in _duplicate_problems(same)]
    for product in products:
        problems += _product_problems(product, dataset)
        problems += [
            Problem(
                one.path,
                "warning",
                f"{one.path} differs in {one.view} from the other training images of '{product.product}' "
                f"(robust z = {one.z:.1f}).",
                "Look at it: a defect filed under normal would be learned as normal.",
            )
            for one in product.atypical
        ]
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: _ORDER[problem.severity])
    return CheckReport(dataset.layouts, products, duplicates, tuple(ordered))


def _product(dataset: Dataset, product: str, found: Survey, leaking: set[Sample]) -> ProductCheck:
    samples = dataset.select(product=product).samples
    looks = [look for look in found.looks if look.sample.product == product]
    train = [sample for sample in samples if sample.split == "train"]
    test = [sample for sample in samples if sample.split == "test"]
    return ProductCheck(
        product=product,
        train_normal=sum(not sample.defective for sample in train),
        train_defective=_by_category(train),
        test_normal=sum(not sample.defective for sample in test),
        test_defective=_by_category(test),
        masks=sum(sample.mask is not None for sample in samples),
        sizes=_sizes([look.size for look in looks]),
        depths=tuple(sorted({look.depth for look in looks})),
        leaks=sum(sample in leaking for sample in test),
        atypical=_atypical(looks),
        unreadable=tuple(sample for sample in found.unreadable if sample.product == product),
    )


def _by_category(samples: Iterable[Sample]) -> dict[str, int]:
    counts = Counter(sample.defect or UNNAMED for sample in samples if sample.defective)
    return dict(sorted(counts.items()))


def _sizes(sizes: Sequence[tuple[int, int]]) -> Sizes | None:
    if not sizes:
        return None
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return Sizes(Counter(by_area).most_common(1)[0][0], by_area[0], by_area[-1])


def _atypical(looks: Iterable[Look]) -> tuple[Atypical, ...]:
    described = [(look.sample, look.descriptor) for look in looks if look.descriptor is not None]
    if not described:
        return ()
    return find_atypical(
        [sample.path for sample, _ in described],
        np.stack([descriptor for _, descriptor in described]),
        [sample.group for sample, _ in described],
    )


def _duplicate_problems(same: Duplicates) -> list[Problem]:
    first, *others = same.samples
    names = f"{first.path} and {', '.join(str(sample.path) for sample in others)}"
    if same.contradicts:
        message = f"The same pixels have different labels or products: {names}."
        return [Problem(first.path, "warning", message, "Keep the one that is filed rightly.")]
    if same.leaks:
        message = f"The same pixels are in train and in test: {names}."
        return [Problem(first.path, "warning", message, "Remove one: test results flatter.")]
    return []


def _folder(samples: Iterable[Sample]) -> Path:
    """The innermost folder that holds all samples."""
    parents = sorted({sample.path.parent for sample in samples})
    try:
        return Path(os.path.commonpath(parents))
    except ValueError:  # on different drives
        return parents[0]


def _product_problems(product: ProductCheck, dataset: Dataset) -> list[Problem]:
    samples = dataset.select(product=product.product).samples
    name, place = product.product, _folder(samples)
    problems: list[Problem] = []
    unreadable = set(product.unreadable)
    usable = sum(s not in unreadable for s in samples if s.split == "train" and not s.defective)
    if usable == 0:
        message = f"Product '{name}' has no normal training image that can be read."
        problems.append(Problem(place, "fatal", message, "Add normal images; a few dozen are a good start."))
    elif usable == 1:
        message = f"Product '{name}' has a single normal training image: no false-alarm rate can be promised."
        problems.append(Problem(place, "warning", message, "Add normal images; a few dozen are a good start."))
    elif len({s.group or s.path for s in samples if s.split == "train" and not s.defective}) == 1:
        message = (
            f"The normal training images of product '{name}' show a single part: no false-alarm rate can be promised."
        )
        problems.append(Problem(place, "warning", message, "Add normal images of other parts."))
    if not product.test_normal and not product.test_defective:
        problems.append(Problem(place, "info", f"Product '{name}' has no test images: it cannot be evaluated."))
    elif not product.test_defective:
        problems.append(Problem(place, "info", f"Product '{name}' has no defective test images: no recall."))
    elif not product.test_normal:
        problems.append(Problem(place, "info", f"Product '{name}' has no normal test images: no false-alarm rate."))
    if product.masks:
        problems += [
            Problem(
                sample.path,
                "warning",
                f"{sample.path} has no mask, other defective images of '{name}' have.",
                "Draw it, or pixel figures leave this image out.",
            )
            for sample in samples
            if sample.defective and sample.mask is None
        ]
    if len(product.depths) > 1:
        depths = " and ".join(map(str, product.depths))
        message = f"Product '{name}' mixes images of {depths} bits: their brightness is not comparable."
        problems.append(Problem(place, "warning", message, "Export all images of a product with the same depth."))
    return problems
