"""COCO JSON: one file with images, annotations and categories."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from blemish.data.defects.draft import Draft
from blemish.data.defects.example import Marking, Point
from blemish.data.defects.fields import Document, key_of, numbers, objects, pairs, stated_size
from blemish.data.defects.frame import Frame
from blemish.data.defects.places import found_file
from blemish.data.defects.raster import fill_parts
from blemish.data.defects.runs import Runs, decode_counts
from blemish.data.layouts.listing import NORMAL_NAMES
from blemish.data.sample import Box
from blemish.errors import DataError, ImageError

_SPLIT_NAME = re.compile(r"^(instances|annotations|labels)?[_-]*|[_.-]*(coco)?$", re.IGNORECASE)


def is_coco(data: Any) -> bool:
    """Whether a JSON file holds COCO's three lists; the categories may be missing."""
    return isinstance(data, dict) and isinstance(data.get("images"), list) and isinstance(data.get("annotations"), list)


def read_coco(documents: Iterable[Document], draft: Draft) -> None:
    """All annotations of COCO files.

    Polygons of several parts and run lengths become `Marking.runs`, one polygon and boxes (x, y, width, height) stay
    what they are; a segmentation that cannot be understood leaves its box, and an annotation without either its
    category. `iscrowd` makes no difference: many defects in one mask are defective too. A file name is relative to the
    folder of the JSON file, to `images/` in it or beside it, or to the folder that the JSON file is named after
    (`annotations/instances_train2017.json`: `train2017/`). Images without an annotation are normal.
    """
    for document in documents:
        _File(document, draft).read()


class _File:
    """One file: its images and the names of its categories by identifier."""

    def __init__(self, document: Document, draft: Draft) -> None:
        self.file, self.data, self.draft = document.file, document.data, draft
        self.images: dict[str, tuple[Path, Frame]] = {}
        self.missing: set[str] = set()
        self.names: dict[str, str] = {}

    def read(self) -> None:
        for index, item in objects(self.data.get("categories")):
            with self.draft.entry(self.file):
                self._category(item, f"{self.file}, category number {index}")
        for index, item in objects(self.data["images"]):
            with self.draft.entry(self.file):
                self._image(item, f"{self.file}, image number {index}")
        for index, item in objects(self.data["annotations"]):
            key = key_of(item.get("id")) if item else None
            where = f"{self.file}, annotation " + (f"number {index}" if key is None else key)
            with self.draft.entry(self.file):
                self._annotation(item, where)

    def _category(self, item: dict[str, Any] | None, where: str) -> None:
        key, name = (None, None) if item is None else (key_of(item.get("id")), key_of(item.get("name")))
        if key is None or name is None:
            raise DataError(f"{where} has no id or no name.", "Give every category both.")
        if self.names.setdefault(key, name) != name:
            raise DataError(f"{where} has the id {key}, as has '{self.names[key]}'.", "Give each an id of its own.")

    def _image(self, item: dict[str, Any] | None, where: str) -> None:
        key, name = (None, None) if item is None else (key_of(item.get("id")), item.get("file_name"))
        if item is None or key is None or not isinstance(name, str):
            raise DataError(f"{where} has no id or no file_name.", "Give every image both.")
        if key in self.images or key in self.missing:
            raise DataError(f"{where} has the id {key}, as has another image.", "Give each an id of its own.")
        folder = self.file.parent
        named = _SPLIT_NAME.sub("", self.file.stem) or "images"
        path = found_file(
            name, folder, folder / "images", folder.parent / "images", folder.parent / named, folder.parent
        )
        if path is None:
            self.missing.add(key)
            raise DataError(
                f"{where}: there is no file {name} in {folder} or in images/ in it or beside it.",
                "Put the images there.",
            )
        if self.draft.size(path) is None:
            self.missing.add(key)
            return
        try:
            frame = Frame.of(path, stated_size(item.get("width"), item.get("height")))
        except ImageError as error:  # it has changed since it was opened
            self.missing.add(key)
            raise DataError(error.message, error.remedy) from error
        self.images[key] = path, frame
        self.draft.normal(path)
        if frame.scaled:
            self.draft.problem(self.file, f"{where}: {scaled_message(path, frame)}", "Export it at the image's size.")

    def _annotation(self, item: dict[str, Any] | None, where: str) -> None:
        if item is None:
            raise DataError(f"{where} is no JSON object.", "Remove it.")
        key = key_of(item.get("image_id"))
        if key is not None and key in self.missing:
            return  # said already
        if key is None or key not in self.images:
            raise DataError(f"{where} belongs to the image {key}, which is not listed.", "Correct its image_id.")
        path, frame = self.images[key]
        with self.draft.entry(self.file, path):
            category = key_of(item.get("category_id"))
            if category is None or category not in self.names:
                raise DataError(
                    f"{where} has the category {category}, which is not listed.", "Correct its category_id."
                )
            if self.names[category].strip().lower() in NORMAL_NAMES:
                return
            self.draft.mark(path, self._marking(item, self.names[category], frame, where), where)

    def _marking(self, item: dict[str, Any], name: str, frame: Frame, where: str) -> Marking:
        segmentation = item.get("segmentation")
        if not segmentation:
            return Marking(name, box=_box(item, frame, where))
        try:
            return _shape(segmentation, name, frame, where)
        except DataError as error:
            box = _box(item, frame, where)
            if box is None:
                raise
            self.draft.problem(self.file, f"{error.message} Its box is used.", error.remedy)
            return Marking(name, box=box)


def scaled_message(path: Path, frame: Frame) -> str:
    """For people: that an annotation was drawn at another size than its image has."""
    (width, height), (w, h) = frame.size, frame.stated
    return f"{path} has {width} × {height} pixels and was annotated at {w} × {h}; all places were scaled."


def _box(item: dict[str, Any], frame: Frame, where: str) -> Box | None:
    if not item.get("bbox"):
        return None
    values = numbers(item["bbox"], where, "a bbox")
    if len(values) != 4:
        raise DataError(f"{where} has a bbox of {len(values)} numbers.", "Write x, y, width, height.")
    x, y, width, height = values
    if width <= 0 or height <= 0:
        raise DataError(f"{where} has a bbox without area.", "Correct or remove the entry.")
    return frame.box((x, y, x + width, y + height))


def _shape(segmentation: Any, name: str, frame: Frame, where: str) -> Marking:
    if isinstance(segmentation, dict):
        return Marking(name, runs=_runs(segmentation, frame, where))
    parts = [_polygon(part, where) for part in segmentation] if isinstance(segmentation, list) else []
    if not parts:
        raise DataError(f"{where} has a segmentation that is neither polygons nor run lengths.", "Export it again.")
    upright = [frame.points(part) for part in parts]
    if len(upright) == 1:
        return Marking(name, polygon=upright[0])
    return Marking(name, runs=Runs.of(fill_parts(upright, frame.size)))


def _polygon(values: Any, where: str) -> tuple[Point, ...]:
    coordinates = numbers(values, where, "a polygon")
    if len(coordinates) % 2 or len(coordinates) < 6:
        raise DataError(f"{where} has a polygon of {len(coordinates)} numbers.", "It needs three points, x and y each.")
    return pairs(coordinates)


def _runs(segmentation: dict[str, Any], frame: Frame, where: str) -> Runs:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    stated = stated_size(size[1], size[0]) if isinstance(size, list) and len(size) == 2 else None
    if stated is None:
        raise DataError(f"{where} has run lengths without a size [height, width].", "Export it again.")
    if not isinstance(counts, str) and not (isinstance(counts, list) and all(type(count) is int for count in counts)):
        raise DataError(f"{where} has run lengths that are no list of whole numbers.", "Export it again.")
    try:
        runs = Runs(stated, decode_counts(counts) if isinstance(counts, str) else tuple(counts))
    except DataError as error:
        raise DataError(f"{where}: {error.message}", error.remedy) from error
    if frame.turn != 1 and stated == frame.stated:
        return Runs.of(frame.mask(runs.mask()))
    return runs
