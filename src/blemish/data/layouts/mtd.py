"""Magnetic Tile Defects as published: `MT_<Category>/Imgs/x.jpg` with its mask `x.png` beside it."""

from __future__ import annotations

from pathlib import Path

from blemish.data.files import folders_in, images_in
from blemish.data.layouts.listing import NORMAL_NAMES, Listing, mask_without_image, product_name
from blemish.data.problem import Problem
from blemish.data.sample import Sample

_PREFIX = "mt_"


def read_mtd(root: Path) -> Listing | None:
    """The magnetic tiles, or None.

    `MT_Free` is normal; its masks are empty and left out. Every other folder is a defect category named by its suffix
    in lower case. The publication has no split.
    """
    folders = [
        folder for folder in folders_in(root) if folder.name.lower().startswith(_PREFIX) and (folder / "Imgs").is_dir()
    ]
    if not folders:
        return None
    product = product_name(root)
    samples: list[Sample] = []
    problems: list[Problem] = []
    for folder in folders:
        files = images_in(folder / "Imgs")
        masks = {path.stem: path for path in files if path.suffix.lower() == ".png"}
        images = [path for path in files if path.suffix.lower() != ".png"]
        stems = {path.stem for path in images}
        problems += [mask_without_image(mask) for stem, mask in masks.items() if stem not in stems]
        if folder.name.lower() in NORMAL_NAMES:
            samples += [Sample(path, product, "train", "normal") for path in images]
        else:
            name = folder.name[len(_PREFIX) :].lower()
            samples += [Sample(path, product, "train", "defective", name, masks.get(path.stem)) for path in images]
    return Listing(root, "MTD", tuple(samples), has_split=False, problems=tuple(problems))
