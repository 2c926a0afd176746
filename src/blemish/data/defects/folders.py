"""A folder per category, with or without masks."""

from __future__ import annotations

from pathlib import Path

from blemish.data.defects.draft import Draft
from blemish.data.defects.example import Marking
from blemish.data.defects.places import HELD_OUT
from blemish.data.files import folders_in, images_in
from blemish.data.layouts.listing import DEFECTIVE_NAMES, MASK_NAMES, NORMAL_NAMES, MaskFolder

_SUFFIX = "_mask"
_NO_PRODUCT = frozenset({"train", "images"})  # what a folder of categories may be called without being a product


def read_folders(root: Path, draft: Draft) -> bool:
    """Folders `<category>/` or `<product>/<category>/` of defective images; False where there are none.

    The mask of `<category>/x.jpg` is `<category>/x_mask.png`, `<category>/x.png` where the image is of another format,
    or `x` or `x_mask` in `masks/<category>/`, `ground_truth/<category>/`, `masks/` or `<category>/masks/`. An image
    without a mask has a defect somewhere. A folder `good/` holds normal images. Images in `bad/` have no category.
    """
    if not root.is_dir():
        return False
    found = _read_level(root, draft, None)
    for folder in folders_in(root):
        if folder.name.lower() not in MASK_NAMES | NORMAL_NAMES and not images_in(folder):
            if folder.name.lower() in HELD_OUT:
                draft.problem(folder, f"The folder {folder} for validation or testing was left out.", severity="info")
                continue
            product = None if folder.name.lower() in _NO_PRODUCT else folder.name
            found |= _read_level(folder, draft, product)
    loose = images_in(root)
    if found and loose:
        message = f"{len(loose)} images lie directly in {root} and were left out."
        draft.problem(root, message, "Move them to a folder per category.")
    return found


def _read_level(base: Path, draft: Draft, product: str | None) -> bool:
    """The categories directly in `base`."""
    folders = folders_in(base)
    truth = [folder for folder in folders if folder.name.lower() in MASK_NAMES]
    flat = [MaskFolder(folder) for folder in truth]
    found = False
    for folder in folders:
        images = images_in(folder)
        if folder in truth or not images:
            continue
        name = folder.name.lower()
        found = True
        if name in NORMAL_NAMES:
            for path in images:
                draft.normal(path, product=product)
        elif name in DEFECTIVE_NAMES:
            message = f"{len(images)} images in {folder} have no category and were left out."
            draft.problem(folder, message, "Sort them into one folder per category.")
        else:
            own = [place for place in truth if (place / folder.name).is_dir()]
            places = [MaskFolder(place / folder.name) for place in own]
            places += [MaskFolder(inner) for inner in folders_in(folder) if inner.name.lower() in MASK_NAMES]
            _read_category(folder, images, [*places, *flat], draft, product)
            for place in places:
                _note(place, draft)
    for place in flat:
        _note(place, draft)
    return found


def _read_category(
    folder: Path, images: list[Path], places: list[MaskFolder], draft: Draft, product: str | None
) -> None:
    by_stem: dict[str, list[Path]] = {}
    for path in images:
        by_stem.setdefault(path.stem.lower(), []).append(path)
    beside: dict[Path, Path] = {}
    for stem, files in by_stem.items():
        plain = stem.removesuffix(_SUFFIX)
        if stem != plain and plain in by_stem:
            beside.update((path, files[0]) for path in by_stem[plain])
        pictures = [path for path in files if path.suffix.lower() != ".png"]
        if pictures and len(pictures) < len(files):
            drawn = next(path for path in files if path.suffix.lower() == ".png")
            beside.update((path, drawn) for path in pictures)
    masks = set(beside.values())
    for path in (path for path in images if path not in masks):
        mask = beside.get(path) or next((found for place in places if (found := place.find(path))), None)
        with draft.entry(path, path):
            draft.mark(path, Marking(folder.name, mask=mask), str(path), product=product)


def _note(place: MaskFolder, draft: Draft) -> None:
    for problem in place.problems + place.orphans():
        draft.problem(problem.path, problem.message, problem.remedy)
