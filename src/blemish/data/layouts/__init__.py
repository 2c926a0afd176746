"""Layouts: the ways in which data sets lie on disk. A new one is one file here and one line in `LAYOUTS`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from blemish.data.files import folders_in, images_in
from blemish.data.layouts.good_bad import read_good_bad
from blemish.data.layouts.groups import with_groups
from blemish.data.layouts.listing import Listing, product_name
from blemish.data.layouts.manifest import read_manifest, read_manifest_folder
from blemish.data.layouts.mtd import read_mtd
from blemish.data.layouts.mvtec import read_mvtec
from blemish.data.layouts.plain import read_plain
from blemish.data.layouts.table import TABLE_SUFFIXES
from blemish.data.layouts.visa import SPLIT_FOLDER, read_visa
from blemish.data.problem import Problem
from blemish.errors import DataError


class Layout(NamedTuple):
    """One way in which a data set lies on disk: what it looks like, and a reader that answers None to all others."""

    shape: str
    read: Callable[[Path], Listing | None]


LAYOUTS = (
    Layout(
        "manifest.csv or manifest.jsonl (path, product, split, label, defect, mask, group, box)", read_manifest_folder
    ),
    Layout("VisA: split_csv/1cls.csv", read_visa),
    Layout("MTD: MT_Free/Imgs, MT_Blowhole/Imgs, …", read_mtd),
    Layout("MVTec AD or BTAD: train/good, test/good, test/<category>, ground_truth/<category>", read_mvtec),
    Layout("good/ and bad/ (or bad/<category>/), with or without masks/", read_good_bad),
    Layout("a plain folder of normal images", read_plain),
)
_NOTHING = "nothing"
_DEPTH = 2  # a folder of products, or of folders of products


def recognise(root: Path) -> list[Listing]:
    """Read one data set root: a manifest file, one product, a folder of products, or a folder of such folders.

    Args:
        root: absolute path.

    Raises:
        DataError: nothing is there or nothing is recognised; says what was found.
    """
    if root.is_file():
        return [_read_file(root)]
    if not root.is_dir():
        raise DataError(f"There is no file or folder {root}.", "Check the path.")
    listings = _find(root, _DEPTH, {os.path.realpath(root)})
    if not listings:
        raise DataError(f"{root} is not a data set that Blemish knows: it holds {_contents(root)}.", _remedy())
    if not any(listing.samples for listing in listings):
        raise DataError(f"{root} looks like {listings[0].layout}, but its folders hold no images.", "Add images.")
    return listings


def _read_file(file: Path) -> Listing:
    if file.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(f"{file} is neither a folder nor a manifest.", "Name a folder, or a .csv or .jsonl file.")
    if file.parent.name == SPLIT_FOLDER:
        return read_manifest(file, layout="VisA", base=file.parent.parent)
    return read_manifest(file)


def _find(root: Path, depth: int, seen: set[str]) -> list[Listing]:
    """What `root` holds, looking `depth` levels down; `seen` has the real folders met so far, so that links end."""
    for layout in LAYOUTS:
        if (layout.read is not read_plain or depth >= _DEPTH - 1) and (listing := layout.read(root)) is not None:
            return with_groups([listing], root)
    if depth == 0:
        return []
    children, again = [], []
    for folder in folders_in(root):
        real = os.path.realpath(folder)
        if real in seen:
            again.append(_seen_before(folder))
            continue
        seen.add(real)
        children.append((folder, _find(folder, depth - 1, seen)))
    return with_groups(_combined(root, children, again), root)


def _combined(root: Path, children: Iterable[tuple[Path, list[Listing]]], problems: Iterable[Problem]) -> list[Listing]:
    """Folders below `root` that are one product each as one listing per layout; what lies deeper as it is."""
    own: dict[tuple[str, bool], Listing] = {}
    below: list[Listing] = []
    unknown: list[Path] = []
    for folder, found in children:
        if not found:
            unknown.append(folder)
        for listing in found:
            if listing.root != folder or listing.products not in ((), (product_name(folder),)):
                below.append(listing)
                continue
            key = (listing.layout, listing.has_split)
            before = own.get(key, replace(listing, root=root, samples=(), problems=()))
            empty = () if listing.samples else (_empty(folder),)
            own[key] = replace(
                before,
                samples=before.samples + listing.samples,
                problems=(*before.problems, *listing.problems, *empty),
            )
    listings = [*own.values(), *below]
    if listings:
        left_out = [_left_out(folder) for folder in unknown]
        listings[0] = replace(listings[0], problems=(*listings[0].problems, *left_out, *problems))
    return listings


def _empty(folder: Path) -> Problem:
    message = f"The product folder {folder} holds no images."
    return Problem(folder, "fatal", message, "Add normal images or remove the folder.")


def _seen_before(folder: Path) -> Problem:
    message = f"The folder {folder} was left out: it is a link to a folder that is read anyway."
    return Problem(folder, "warning", message, "Remove the link.")


def _left_out(folder: Path) -> Problem:
    contents = _contents(folder)
    if contents == _NOTHING:
        return _empty(folder)
    message = f"The folder {folder} was left out: it holds {contents}, which is no known layout."
    return Problem(folder, "warning", message, "Move it away if it is no product.")


def _contents(folder: Path) -> str:
    names = [f"{child.name}/" for child in folders_in(folder)]
    images = images_in(folder)
    parts = []
    if names:
        more = ", …" if len(names) > 6 else ""
        parts.append(f"{len(names)} folder{'s' * (len(names) > 1)} ({', '.join(names[:6])}{more})")
    if images:
        parts.append(f"{len(images)} image{'s' * (len(images) > 1)}")
    if others := len(list(folder.iterdir())) - len(names) - len(images):
        parts.append(f"{others} other file{'s' * (others > 1)}")
    return " and ".join(parts) or _NOTHING


def _remedy() -> str:
    shapes = "; ".join(layout.shape for layout in LAYOUTS)
    return f"Known layouts, for one product or a folder of products: {shapes}."
