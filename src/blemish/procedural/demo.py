"""The demo data set: five drawn products in the MVTec AD layout, with defects and exact masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from blemish.errors import DataError
from blemish.files import replaced_folder, write_json
from blemish.procedural.noise import coordinates
from blemish.procedural.palette import Colours, to_pixels
from blemish.procedural.products import PRODUCTS, Flaw, Product
from blemish.procedural.seeding import generator

MARKER = "blemish-demo.json"
_VISIBLE = 0.05
_SMALLEST = 0.001
_REDRAWS = 20


def make_demo(
    folder: str | Path,
    *,
    seed: int = 0,
    train: int = 40,
    test_normal: int = 15,
    test_defective: int = 15,
    examples: int = 2,
    size: int = 256,
    overwrite: bool = False,
) -> None:
    """Write the demo data set to `folder`, which appears only when it is complete.

    The defects are drawn by `procedural.defects` and the products themselves, which share nothing with what training
    makes up.

    Args:
        folder: of the data set: `<product>/{train,test,ground_truth}/<good or defect>/NNN.png`.
        seed: the same seed gives the same images.
        train, test_normal, test_defective: images per product; the defective ones take turns through its categories.
        examples: labelled images of each category in `train/<defect>`, to learn its name from.
        size: side of the square images in pixels, at least 64.
        overwrite: replace an earlier demo data set.

    Raises:
        DataError: the images would be too small.
        BlemishError: `folder` cannot be written, or exists without `overwrite` set, or is no demo data set.
    """
    if size < 64:
        raise DataError(f"Demo images of {size} px are too small.", "Choose 64 px or more.")
    parameters = {
        "seed": seed,
        "train": train,
        "test_normal": test_normal,
        "test_defective": test_defective,
        "examples": examples,
    }
    with replaced_folder(folder, overwrite=overwrite, marker=MARKER) as beside:
        for product in PRODUCTS:
            home = beside / product.name
            for index in range(train):
                _save(normal_image(product, size, seed, "train", index), home / "train" / "good", index)
            for index in range(test_normal):
                _save(normal_image(product, size, seed, "test", index), home / "test" / "good", index)
            for index in range(test_defective):
                _save_defective(product, size, seed, index, home, "test")
            turns = -(-test_defective // len(product.defects)) * len(product.defects)
            for index in range(turns, turns + examples * len(product.defects)):
                _save_defective(product, size, seed, index, home, "train")
        write_json(beside / MARKER, parameters | {"examples": examples, "size": size})


def normal_image(product: Product, size: int, seed: int, split: str, index: int) -> NDArray[np.uint8]:
    """Picture `index` of a flawless part, as the camera sees it: size×size×3."""
    stream = f"demo {product.name} {split}"
    picture = product.draw(size, generator(seed, stream, index), None)
    return _photograph(picture, generator(seed, f"{stream} camera", index))


def defective_image(
    product: Product, size: int, seed: int, index: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], str]:
    """Picture `index` of a part with one defect, its mask and the name of the defect.

    The part is drawn twice, without and with the flaw; the mask is where the two differ visibly (by 0.05 of the range
    in some channel), with gaps of up to 2 % of the side closed. Flaws too small to see are drawn again.
    """
    stream = f"demo {product.name} defective"
    kind = product.defects[index % len(product.defects)]
    whole = product.draw(size, generator(seed, stream, index), None)
    for attempt in range(_REDRAWS):
        flaw = Flaw(kind, generator(seed, f"{stream} flaw {attempt}", index))
        flawed = product.draw(size, generator(seed, stream, index), flaw)
        mask = _closed(np.abs(np.clip(flawed, 0, 1) - np.clip(whole, 0, 1)).max(axis=2) > _VISIBLE)
        if mask.mean() >= _SMALLEST:
            break
    return _photograph(flawed, generator(seed, f"{stream} camera", index)), mask, kind


def _closed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with narrow gaps filled, so that a streak through a row of bars is one region."""
    reach = round(mask.shape[0] * 0.0125)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return mask
    window = tuple(slice(int(ends[0]), int(ends[-1]) + 1) for ends in (rows, columns))
    image = Image.fromarray(np.pad(mask[window].astype(np.uint8), 2 * reach))
    image = image.filter(ImageFilter.MaxFilter(2 * reach + 1)).filter(ImageFilter.MinFilter(2 * reach + 1))
    closed = np.zeros_like(mask)
    closed[window] = np.asarray(image)[2 * reach : -2 * reach, 2 * reach : -2 * reach] > 0
    return closed


def _photograph(picture: Colours, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Exposure within ±6 %, light that falls off a little to one side, slight blur, sensor noise."""
    y, x = coordinates(picture.shape[0])
    slope = rng.normal(0, 0.035, size=2)
    light = rng.uniform(0.94, 1.06) * (1 + x * float(slope[0]) + y * float(slope[1]))
    exposed = np.asarray(picture * light[:, :, None], dtype=np.float32)
    image = Image.fromarray(to_pixels(exposed)).filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 0.7)))
    noise = rng.standard_normal(picture.shape, dtype=np.float32) * rng.uniform(0.006, 0.012)
    return to_pixels(np.asarray(image, dtype=np.float32) / 255 + noise)


def _save_defective(product: Product, size: int, seed: int, index: int, folder: Path, split: str) -> None:
    pixels, mask, kind = defective_image(product, size, seed, index)
    number = index // len(product.defects)
    _save(pixels, folder / split / kind, number)
    _save(mask.astype(np.uint8) * 255, folder / "ground_truth" / kind, number, "_mask")


def _save(pixels: NDArray[np.uint8], folder: Path, index: int, suffix: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / f"{index:03d}{suffix}.png", compress_level=1)
