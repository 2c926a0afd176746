"""Labelled examples of defects that stay with their model, so that it can learn further categories later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.data.decode import read_image
from blemish.kept.folder import PerProduct
from blemish.kept.images import plain, stacked

FOLDER, TABLE = "examples", "examples.json"


@dataclass(frozen=True)
class KeptExamples:
    """Defective images of one product at model size.

    Attributes:
        images: uint8 N×S×S×3.
        labels: int16 N×S×S, −1 or the number of a category among the product's.
        sources: names of the image files.
        guessed: whether a mask came from the anomaly map, for want of a drawn one.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int16]
    sources: tuple[str, ...]
    guessed: tuple[bool, ...]


class ExamplesFolder(PerProduct[KeptExamples]):
    """The examples of a model folder.

    Args:
        folder: the model's.
        products: in the model's order.
    """

    def __init__(self, folder: Path, products: tuple[str, ...]) -> None:
        super().__init__(folder / FOLDER, products, TABLE)

    def read(self, folder: Path) -> KeptExamples:
        """See `PerProduct.read`."""
        table: list[dict[str, Any]] = json.loads((folder / TABLE).read_text(encoding="utf-8"))
        images = stacked([read_image(folder / f"{number}.png") for number in range(len(table))])
        numbers = [read_image(folder / f"{number}-labels.png")[..., 0] for number in range(len(table))]
        labels = np.stack(numbers).astype(np.int16) - 1 if numbers else np.zeros((0, 0, 0), np.int16)
        if images.shape[:3] != labels.shape:
            raise ValueError("images and labels differ in size")
        return KeptExamples(
            images,
            labels,
            tuple(str(row["source"]) for row in table),
            tuple(bool(row["guessed"]) for row in table),
        )


def write_examples(folder: Path, products: tuple[str, ...], kept: Mapping[str, KeptExamples]) -> None:
    """Write examples into a model folder: `examples/<number of the product>/0.png` with `0-labels.png`, whose grey
    values are the numbers of the categories from 1."""
    for index, product in enumerate(products):
        if product not in kept:
            continue
        examples = kept[product]
        target = folder / FOLDER / str(index)
        target.mkdir(parents=True)
        for number, (image, labels) in enumerate(zip(examples.images, examples.labels, strict=True)):
            plain(image).save(target / f"{number}.png")
            Image.fromarray((labels + 1).astype(np.uint8)).save(target / f"{number}-labels.png")
        table = [
            {"source": source, "guessed": guessed}
            for source, guessed in zip(examples.sources, examples.guessed, strict=True)
        ]
        text = json.dumps(table, ensure_ascii=False)
        (target / TABLE).write_text(text + "\n", encoding="utf-8", newline="\n")
