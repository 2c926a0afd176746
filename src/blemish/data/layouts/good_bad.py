"""`good/` beside `bad/`, with or without `masks/`: the way most people sort their images."""

from __future__ import annotations

from pathlib import Path

from blemish.data.files import folders_in, images_in
from blemish.data.layouts.listing import (
    DEFECTIVE_NAMES,
    MASK_NAMES,
    NORMAL_NAMES,
    Listing,
    MaskFolder,
    ignored_folders,
    product_name,
)
from blemish.data.problem import Problem
from blemish.data.sample import Sample


def read_good_bad(root: Path) -> Listing | None:
    """One product sorted into normal and defective images, or None.

    Images directly in `bad/` are defects without a name; a folder `bad/<category>` names its defects. The mask of
    `bad/[<category>/]x.png` is `masks/[<category>/]x.png` or `..._mask.png`. Without defective images all normal ones
    train, as there is nothing to test.
    """
    folders = folders_in(root)
    good = [folder for folder in folders if folder.name.lower() in NORMAL_NAMES]
    if not good:
        return None
    bad = [folder for folder in folders if folder.name.lower() in DEFECTIVE_NAMES]
    truth = [folder for folder in folders if folder.name.lower() in MASK_NAMES]
    product = product_name(root)
    samples = [Sample(path, product, "train", "normal") for folder in good for path in images_in(folder)]
    problems: list[Problem] = []

    flat = [MaskFolder(folder) for folder in truth]
    categories: list[tuple[str | None, Path, list[MaskFolder]]] = [(None, folder, []) for folder in bad]
    for folder in (category for parent in bad for category in folders_in(parent)):
        categories.append((folder.name, folder, [MaskFolder(parent / folder.name) for parent in truth]))
    for name, folder, own in categories:
        for path in images_in(folder):
            mask = next((found for place in own + flat if (found := place.find(path))), None)
            samples.append(Sample(path, product, "train", "defective", name, mask))
    for place in flat + [place for _, _, own in categories for place in own]:
        problems += place.problems + place.orphans()

    other = (folder for folder in folders if folder not in good + bad + truth)
    problems += ignored_folders(other, f"beside {good[0].name}/ defects are looked for in bad/ only")
    has_split = not any(sample.defective for sample in samples)
    return Listing(root, "good/ and bad/", tuple(samples), has_split, tuple(problems))
