"""A plain folder of normal images: one product, nothing to test."""

from __future__ import annotations

import re
from pathlib import Path

from blemish.data.files import folders_in, images_in
from blemish.data.layouts.listing import DEFECTIVE_NAMES, MASK_NAMES, Listing, ignored_folders, product_name
from blemish.data.problem import Problem
from blemish.data.sample import Sample

_PARTS = frozenset({"train", "test", "val", "valid", "validation", "images", "imgs"})
_MASK = re.compile(r"(.+)_mask", re.IGNORECASE)


def read_plain(root: Path) -> Listing | None:
    """All images directly in `root` as normal training images of one product, or None.

    Folders whose name says that they hold defects, masks or a part of another layout are never taken for a product:
    defects among the training images would be learned as normal.
    """
    images = images_in(root)
    if not images or root.name.lower() in DEFECTIVE_NAMES | MASK_NAMES | _PARTS:
        return None
    stems = {path.stem for path in images}
    masks = [path for path in images if (match := _MASK.fullmatch(path.stem)) and match[1] in stems]
    samples = [Sample(path, product_name(root), "train", "normal") for path in images if path not in set(masks)]
    problems = [
        Problem(mask, "warning", f"{mask} looks like the mask of an image beside it and was left out.", "Move it away.")
        for mask in masks
    ]
    problems += ignored_folders(folders_in(root), f"{root} itself holds images and was read as one product")
    return Listing(root, "plain folder", tuple(samples), has_split=True, problems=tuple(problems))
