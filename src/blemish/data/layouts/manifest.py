"""The manifest: one row per image in a CSV or JSON-lines file."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from blemish.data.layouts.boxes import format_boxes, number, parse_boxes
from blemish.data.layouts.listing import NORMAL_NAMES, Listing
from blemish.data.layouts.table import JSON_SUFFIXES, TABLE_SUFFIXES, Row, read_rows
from blemish.data.problem import Problem
from blemish.data.sample import SEVERAL_DEFECTS, Label, Sample, Split
from blemish.errors import DataError
from blemish.files import replaced

COLUMNS = ("path", "product", "split", "label", "defect", "mask", "group", "box")
_ALIASES = {
    "path": ("path", "image", "filename"),
    "product": ("product", "object", "clsname"),
    "defect": ("defect", "label_name"),
    "mask": ("mask", "maskname"),
}
_LABELS: dict[str, Label] = {
    **dict.fromkeys(("normal", "good", "ok", "0"), "normal"),
    **dict.fromkeys(("defective", "defect", "anomaly", "anomalous", "abnormal", "bad", "ko", "ng", "1"), "defective"),
}
_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}


def read_manifest_folder(root: Path) -> Listing | None:
    """The manifest `manifest.csv` or `manifest.jsonl` of a folder, or None."""
    for name in ("manifest.csv", "manifest.jsonl"):
        if (root / name).is_file():
            return read_manifest(root / name)
    return None


def read_manifest(file: Path, *, layout: str = "manifest", base: Path | None = None) -> Listing:
    """All images that a manifest lists and that exist.

    Columns: `path` (or `image`, `filename`), `product` (or `object`, `clsname`; default: the folder's name), `split`
    (`train`, `test`; default: the file's name where it is one of these), `label` (`normal`, `defective` and their
    usual synonyms, 0, 1; any other word is the name of a defect; default: defective where defect, mask or box is
    given), `defect` (or `label_name`), `mask` (or `maskname`), `group`, `box` (`left,top,right,bottom` in pixels, see
    `boxes.parse_boxes`). Only `path` is required. Paths are relative to `base`, by default the manifest's folder.
    A row that repeats another is dropped and counted. Rows of one image that differ in box and defect alone are one
    sample with all their boxes, whose defect is `combined` where they name several.

    Raises:
        DataError: the file is no table, a value has no meaning, rows contradict each other, or no image exists.
    """
    base = file.parent if base is None else base
    samples: dict[Path, Sample] = {}
    lines: dict[Path, int] = {}
    repeats: dict[Path, int] = {}
    unsplit: list[Row] = []
    problems: list[Problem] = []
    rows = list(read_rows(file, base))
    for row in rows:
        sample, has_split = read_sample(row)
        if not has_split:
            unsplit.append(row)
        if sample.path not in samples:
            samples[sample.path] = sample
            lines[sample.path] = row.line
        elif samples[sample.path] == sample:
            repeats[sample.path] = repeats.get(sample.path, 1) + 1
        elif (both := _with_boxes_of(samples[sample.path], sample)) is not None:
            samples[sample.path] = both
        else:
            raise DataError(
                f"{row} contradicts line {lines[sample.path]}: both list {sample.path}.",
                "Keep one row for every image.",
            )
    if unsplit and len(unsplit) < len(rows):
        raise DataError(f"{unsplit[0]} has no split, but other rows have.", "Give every row a split, or none.")
    if repeats:
        dropped = sum(repeats.values()) - len(repeats)
        message = (
            f"{file} lists {len(repeats)} images {min(repeats.values())} to {max(repeats.values())} times; "
            f"{dropped} repeated rows were dropped."
        )
        problems.append(Problem(file, "warning", message, "Nothing to do, unless the repetition was meant as weight."))
    kept, missing = _existing(samples.values())
    if not kept:
        first = f", such as {missing[0].path}" if missing else ""
        raise DataError(
            f"{file} lists {len(samples)} images and none of them exists{first}.", f"Write paths relative to {base}."
        )
    return Listing(base, layout, tuple(kept), has_split=not unsplit, problems=(*problems, *missing))


def _value(row: Row, column: str) -> str:
    return next((row.values[name] for name in _ALIASES.get(column, (column,)) if row.values.get(name)), "")


def _with_boxes_of(first: Sample, second: Sample) -> Sample | None:
    """Two samples of one image as one with the boxes of both; None where more than box and defect differs."""
    if not first.boxes or not second.boxes or replace(first, boxes=second.boxes, defect=second.defect) != second:
        return None
    defect = first.defect if first.defect == second.defect else SEVERAL_DEFECTS
    return replace(first, boxes=tuple(dict.fromkeys(first.boxes + second.boxes)), defect=defect)


def read_sample(row: Row) -> tuple[Sample, bool]:
    """A row's sample, which may not exist on disk, and whether the row says in which split it is.

    Raises:
        DataError: no image is named, or a value has no meaning; names file and line.
    """
    path, mask, defect = _value(row, "path"), _value(row, "mask"), _value(row, "defect")
    if not path:
        raise DataError(
            f"{row} names no image.", f"A manifest needs the column 'path'; all columns: {', '.join(COLUMNS)}."
        )
    if defect.lower() in NORMAL_NAMES:
        defect = ""
    boxes = parse_boxes(_value(row, "box"), str(row))
    written = _value(row, "label")
    label: Label = "defective" if defect or mask or boxes else "normal"
    if written.lower() in _LABELS:
        label = _LABELS[written.lower()]
    elif written:  # the category itself, or its number
        if defect and defect != written and not written.isdecimal():
            raise DataError(
                f"{row} has the label '{written}' and the defect '{defect}'.",
                "Write 'normal' or 'defective' as label, or one name of the defect.",
            )
        label, defect = "defective", defect or written
    if label == "normal" and defect:
        raise DataError(f"{row} is labelled normal and has the defect '{defect}'.", "Correct the label or the defect.")
    split = _value(row, "split").lower() or (row.file.stem.lower() if row.file.stem.lower() in _SPLITS else "")
    if split and split not in _SPLITS:
        raise DataError(f"{row} has the split '{split}'.", "Write 'train' or 'test'.")
    sample = Sample(
        path=row.resolve(path),
        product=_value(row, "product") or row.base.name or "product",
        split=_SPLITS.get(split, "train"),
        label=label,
        defect=defect or None,
        # masks of normal images are empty
        mask=row.resolve(mask) if mask and label == "defective" else None,
        group=_value(row, "group") or None,
        boxes=boxes if label == "defective" else (),
    )
    return sample, bool(split)


def _existing(samples: Iterable[Sample]) -> tuple[list[Sample], list[Problem]]:
    """The samples whose image exists, without masks that do not, and a warning for each file that is missing."""
    kept: list[Sample] = []
    missing: list[Problem] = []
    for sample in samples:
        if not os.path.isfile(sample.path):
            missing.append(Problem(sample.path, "warning", f"The image {sample.path} is listed but does not exist."))
            continue
        if sample.mask is not None and not os.path.isfile(sample.mask):
            missing.append(Problem(sample.mask, "warning", f"The mask {sample.mask} is listed but does not exist."))
            sample = replace(sample, mask=None)
        kept.append(sample)
    return kept, missing


def write_manifest(samples: Iterable[Sample], file: Path) -> None:
    """Write samples as a manifest that `read_manifest` reads back: CSV, or JSON lines for `.jsonl` and `.json`.

    Paths are written relative to the manifest where that is possible. The file appears whole or not at all.

    Raises:
        DataError: the suffix is no manifest's, or a file name is not valid Unicode.
        BlemishError: the file cannot be written.
    """
    if file.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(f"{file} is no manifest name.", "End it in .csv or .jsonl.")
    base = Path(os.path.abspath(file.parent))
    as_json = file.suffix.lower() in JSON_SUFFIXES
    rows = [
        {
            "path": _relative(sample.path, base),
            "product": sample.product,
            "split": sample.split,
            "label": sample.label,
            "defect": sample.defect,
            "mask": None if sample.mask is None else _relative(sample.mask, base),
            "group": sample.group,
            "box": [list(map(number, box)) for box in sample.boxes] if as_json else format_boxes(sample.boxes),
        }
        for sample in samples
    ]
    buffer = io.StringIO()
    if as_json:
        buffer.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    try:
        content = buffer.getvalue().encode("utf-8")
    except UnicodeEncodeError as error:
        name = error.object[max(error.start - 40, 0) : error.end].encode("ascii", "backslashreplace").decode()
        raise DataError(f"A file name is not valid Unicode: …{name}.", "Rename the file.") from error
    with replaced(file) as temporary:
        temporary.write_bytes(content)


def _relative(path: Path, base: Path) -> str:
    try:
        return Path(os.path.relpath(path, base)).as_posix()
    except ValueError:  # another drive
        return path.as_posix()
