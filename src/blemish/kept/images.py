"""Normal images that stay with their model, so that it can learn categories later without the data it came from."""

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

FOLDER, TABLE = "normals", "normals.json"
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class KeptImages:
    """Normal images of one product at model size, whole.

    Attributes:
        train: uint8 N×M×M×3, some of the images that trained the model.
        rows: place of each among all training images of the product, N numbers.
        parts: for every training image of the product the number of the physical part that it shows. Patches of a
            prompt bank go round the tiles of these images: patch p is of tile p mod (tiles of an image · len(parts)).
        held: uint8 H×M×M×3, images that calibrated the model.
        groups: the part that each held image shows, H names.
        shown: the number of that part among `parts` where training images show it too, else −1; H numbers, or none
            where no image trained.
    """

    train: Pixels
    rows: tuple[int, ...]
    parts: tuple[int, ...]
    held: Pixels
    groups: tuple[str, ...]
    shown: tuple[int, ...] = ()

    @property
    def compared(self) -> bool:
        """Whether held images show parts that training images show too."""
        return any(part >= 0 for part in self.shown)

    def own_patches(self, row: int, patches: int, tiles: int = 1) -> NDArray[np.bool_]:
        """Which of a bank's patches show the same part as training image `row`, at so many tiles an image."""
        return self._patches(self.parts[row], patches, tiles)

    def held_patches(self, patches: int, tiles: int = 1) -> list[NDArray[np.bool_]]:
        """The same for every held image; empty where training images show none of their parts."""
        return [self._patches(part, patches, tiles) for part in self.shown] if self.compared else []

    def _patches(self, part: int, patches: int, tiles: int) -> NDArray[np.bool_]:
        parts = np.repeat(self.parts, tiles)
        return np.asarray(parts[np.arange(patches) % len(parts)] == part)


class KeptFolder(PerProduct[KeptImages]):
    """The kept images of a model folder.

    Args:
        folder: the model's.
        products: in the model's order.
    """

    def __init__(self, folder: Path, products: tuple[str, ...]) -> None:
        super().__init__(folder / FOLDER, products, TABLE)

    def read(self, folder: Path) -> KeptImages:
        """See `PerProduct.read`."""
        table: dict[str, Any] = json.loads((folder / TABLE).read_text(encoding="utf-8"))
        rows, parts = (tuple(int(number) for number in table[key]) for key in ("rows", "parts"))
        if not all(0 <= row < len(parts) for row in rows):
            raise ValueError(f"rows {rows} of {len(parts)} images")
        groups = tuple(str(group) for group in table["groups"])
        shown = tuple(int(number) for number in table.get("shown", ()))
        if len(shown) not in (0, len(groups)):
            raise ValueError(f"parts {shown} of {len(groups)} held images")
        train, held = _read(folder, "train", len(rows)), _read(folder, "held", len(groups))
        return KeptImages(train, rows, parts, held, groups, shown)


def write_kept(folder: Path, products: tuple[str, ...], kept: Mapping[str, KeptImages]) -> None:
    """Write the kept images into a model folder, as PNG: `normals/<number of the product>/train-0.png` …"""
    for index, product in enumerate(products):
        if product not in kept:
            continue
        images = kept[product]
        target = folder / FOLDER / str(index)
        target.mkdir(parents=True)
        for kind, pixels in (("train", images.train), ("held", images.held)):
            for number, one in enumerate(pixels):
                plain(one).save(target / f"{kind}-{number}.png")
        table = {"rows": images.rows, "parts": images.parts, "groups": images.groups, "shown": images.shown}
        (target / TABLE).write_text(json.dumps(table) + "\n", encoding="utf-8", newline="\n")


def plain(pixels: Pixels) -> Image.Image:
    """Grey where all channels agree, a third of the size."""
    grey = (pixels == pixels[..., :1]).all()
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))


def _read(folder: Path, kind: str, count: int) -> Pixels:
    return stacked([read_image(folder / f"{kind}-{number}.png") for number in range(count)])


def stacked(images: list[Pixels]) -> Pixels:
    """Images of one size as one array, which may be empty."""
    return np.stack(images) if images else np.zeros((0, 0, 0, 3), np.uint8)
