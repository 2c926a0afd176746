"""Five categories of a drawn product to learn, and UniADC's decoder as the paper has it, for the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blemish.data.dataset import Dataset
from blemish.data.defects import DefectExample
from blemish.procedural.demo import make_demo

# a decoder of width 1024 on all channels of the backbone, one, its losses at every pixel
PAPER_DECODER: dict[str, Any] = {
    "width": 1024,
    "components": 0,
    "error": False,
    "context": 0,
    "members": 1,
    "loss_stride": 1,
}
_CATEGORIES = 5


@dataclass(frozen=True)
class Lessons:
    """What there is to learn, of the product that has the most categories.

    Attributes:
        normal: training images without defects.
        examples: two of each category.
        test: unseen images of the same categories, and normal ones.
        categories: their number.
    """

    normal: Dataset
    examples: tuple[DefectExample, ...]
    test: Dataset
    categories: int

    @classmethod
    def drawn(cls, folder: Path, seed: int = 0, test: int = 1) -> Lessons:
        """Draw them to a folder, with so many test images of each category and four times as many normal ones."""
        make_demo(folder, seed=seed, train=24, test_normal=4 * test, test_defective=_CATEGORIES * test)
        dataset = Dataset.from_folder(folder)
        product = max(dataset.products, key=lambda one: len(_categories(dataset, one)))
        chosen = _categories(dataset, product)[:_CATEGORIES]
        samples = [one for one in dataset if one.product == product and (one.defect in chosen or not one.defective)]
        train = [one for one in samples if one.split == "train"]
        examples = [example for one in train if one.defective and (example := DefectExample.of(one))]
        return cls(
            Dataset(tuple(one for one in train if not one.defective)),
            tuple(examples),
            Dataset(tuple(one for one in samples if one.split == "test")),
            len(chosen),
        )


def _categories(dataset: Dataset, product: str) -> list[str]:
    return sorted({str(one.defect) for one in dataset if one.product == product and one.defective and one.defect})
