"""YOLO: one text file per image, a line per object."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from blemish.data.defects.draft import Draft
from blemish.data.defects.example import Marking
from blemish.data.defects.fields import is_number, key_of, pairs, read_text
from blemish.data.defects.places import files_below, held_out
from blemish.data.files import IMAGE_SUFFIXES, is_image_name
from blemish.errors import DataError

YAML_SUFFIXES = frozenset({".yaml", ".yml"})
_CLASS_FILES = ("classes.txt", "obj.names", "labels/classes.txt", "classes.names")
_SLACK = 0.01  # rounding may lead a little outside the image


def read_yolo(root: Path, draft: Draft) -> bool:
    """All labels of a folder in YOLO's format, or of the folder of a `data.yaml`; False where there are none.

    A line is `class cx cy width height` or `class x1 y1 x2 y2 x3 y3 …`, as shares of the image's sides. The label file
    of `images/…/x.jpg` is `labels/…/x.txt`, or `x.txt` beside the image. Names of the classes come from a YAML file
    with `names` in the folder, `classes.txt` or `obj.names`; without them the numbers are the names. An image with an
    empty label file is normal; one without a label file is left out. Folders called test, val or valid are left out.

    Raises:
        DataError: the names cannot be read.
    """
    named = root if root.is_file() else None
    if named is not None and (named.suffix.lower() not in YAML_SUFFIXES):
        return False
    root = root.parent if named is not None else root
    labelled, lone = _label_files(root)
    if not labelled:
        return False
    names, source = _names(root, named)
    skipped = 0
    for label, image in labelled.items():
        if held_out(image, root):
            skipped += 1
        elif draft.size(image) is not None:
            _read(label, image, names, draft)
    if skipped:
        draft.problem(root, f"{skipped} images in folders for validation or testing were left out.", severity="info")
    for label in lone:
        draft.problem(label, f"{label} has no image.", "Put it beside the label file, or in images/ beside labels/.")
    if source is None:
        draft.problem(
            root, f"{root} says no names of its classes; their numbers are used.", "Write classes.txt, one name a line."
        )
    return True


def _label_files(root: Path) -> tuple[dict[Path, Path], list[Path]]:
    """Label file → image, and text files in folders called labels that have none."""
    texts = {path: None for path in files_below(root, {".txt"}) if path.name not in ("classes.txt", "readme.txt")}
    labelled: dict[Path, Path] = {}
    for image in (path for path in files_below(root, IMAGE_SUFFIXES) if is_image_name(path.name)):
        parts = list(image.relative_to(root).with_suffix(".txt").parts)
        swapped = list(parts)
        for index in range(len(parts) - 2, -1, -1):
            if parts[index].lower() == "images":
                swapped[index] = "labels"
                break
        for label in (root.joinpath(*swapped), root.joinpath(*parts)):
            if label in texts:
                labelled.setdefault(label, image)
                break
    lone = [path for path in texts if path not in labelled and "labels" in path.relative_to(root).parts[:-1]]
    return labelled, lone


def _names(root: Path, named: Path | None) -> tuple[dict[int, str], Path | None]:
    """Class number → name, and the file that says so; empty where none does."""
    for file in [named] if named is not None else files_in(root, YAML_SUFFIXES):
        text = read_text(file)
        try:
            data = yaml.safe_load(text)
        except Exception as error:  # next to its own errors PyYAML lets KeyError, AttributeError and others out
            raise DataError(f"{file} is not YAML: {' '.join(str(error).split())}.", "Correct it.") from error
        found = data.get("names") if isinstance(data, dict) else None
        if isinstance(found, list):
            found = dict(enumerate(found))
        if isinstance(found, dict):
            return _checked(found, file), file
    if named is not None:
        raise DataError(f"{named} has no 'names'.", "List the names of the classes there.")
    for name in _CLASS_FILES:
        if (root / name).is_file():
            lines = read_text(root / name).splitlines()
            while lines and not lines[-1].strip():
                lines.pop()
            return _checked(dict(enumerate(line.strip() for line in lines)), root / name), root / name
    return {}, None


def _checked(found: dict[Any, Any], file: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for number, value in found.items():
        key, name = key_of(number), key_of(value)
        if key is None or not key.isdecimal() or name is None:
            raise DataError(f"{file} has names that are not 'number: name'.", "Correct them.")
        names[int(key)] = name
    return names


def _read(label: Path, image: Path, names: dict[int, str], draft: Draft) -> None:
    with draft.entry(label, image):
        lines = read_text(label).splitlines()
        draft.normal(image)
        for number, line in enumerate(lines, start=1):
            if line.strip():
                where = f"{label}, line {number}"
                with draft.entry(label, image):
                    draft.mark(image, _marking(line.split(), names, draft.size(image) or (1, 1), where), where)


def _marking(cells: Sequence[str], names: dict[int, str], size: tuple[int, int], where: str) -> Marking:
    try:
        values = [float(cell) for cell in cells]
    except ValueError as error:
        raise DataError(f"{where} holds more than numbers.", "Write: class cx cy width height.") from error
    if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
        raise DataError(
            f"{where} has {len(values)} numbers.", "Write: class cx cy width height, or class x1 y1 x2 y2 x3 y3 …."
        )
    if not is_number(values[0]) or values[0] != int(values[0]) or values[0] < 0:
        raise DataError(f"{where} has the class {cells[0]}.", "Classes are numbered from 0.")
    if not all(-_SLACK <= value <= 1 + _SLACK for value in values[1:]):
        raise DataError(f"{where} has places outside 0…1.", "Write shares of the image's width and height.")
    index = int(values[0])
    if names and index not in names:
        raise DataError(f"{where} has the class {index}, which has no name.", "Add its name.")
    name = names.get(index, str(index))
    width, height = size
    if len(values) > 5:
        points = pairs(values[1:])
        return Marking(name, polygon=tuple((x * width, y * height) for x, y in points))
    x, y, across, down = values[1:]
    left, top = (x - across / 2) * width, (y - down / 2) * height
    return Marking(name, box=(left, top, left + across * width, top + down * height))


def files_in(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """The visible files directly in a folder with one of these suffixes, sorted."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    return [folder / name for name in names if os.path.splitext(name)[1].lower() in suffixes]
