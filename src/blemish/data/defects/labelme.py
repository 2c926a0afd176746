"""LabelMe: one JSON file per image."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import PngImagePlugin

from blemish.data.defects.coco import scaled_message
from blemish.data.defects.draft import Draft
from blemish.data.defects.example import Marking, Point
from blemish.data.defects.fields import Document, key_of, numbers, objects, stated_size
from blemish.data.defects.frame import Frame
from blemish.data.defects.places import found_file
from blemish.data.defects.raster import fill_polygon
from blemish.data.defects.runs import Runs
from blemish.data.files import IMAGE_SUFFIXES
from blemish.data.layouts.listing import NORMAL_NAMES
from blemish.errors import DataError, ImageError

CIRCLE_CORNERS = 64  # the polygon has 0.2 % less area than the circle
STROKE = 0.01  # width of a line as a share of the image's shorter side
MIN_STROKE = 3.0  # in pixels
POINT_BOX = 1 / 16  # side of the box around a point as a share of the image's shorter side


def is_labelme(data: Any) -> bool:
    """Whether a JSON file holds LabelMe's list of shapes."""
    return isinstance(data, dict) and isinstance(data.get("shapes"), list)


def read_labelme(documents: Iterable[Document], draft: Draft) -> None:
    """All shapes of LabelMe files.

    A polygon is an outline, a circle (centre, point on it) a polygon of 64 corners, a mask run lengths. A line or
    linestrip is a stroke as wide as 1 % of the image's shorter side, at least 3 pixels. A rectangle is a box. A point
    says where, not how large: a box of 1/16 of the shorter side around it; `points` are several. A file without shapes
    speaks for the whole image: each flag that is set is a category, without any the image is normal. The image is
    `imagePath` from the file's folder, or beside it, or in `images/` beside that, by its own name or the file's;
    `imageData` is not used.
    """
    for document in documents:
        with draft.entry(document.file):
            _read(document.file, document.data, draft)


def _read(file: Path, data: dict[str, Any], draft: Draft) -> None:
    path = _image(file, data.get("imagePath"))
    if draft.size(path) is None:
        return
    try:
        frame = Frame.of(path, stated_size(data.get("imageWidth"), data.get("imageHeight")))
    except ImageError as error:  # it has changed since it was opened
        raise DataError(error.message, error.remedy) from error
    if frame.scaled:
        draft.problem(file, f"{file}: {scaled_message(path, frame)}", "Annotate the image at its own size.")
    draft.normal(path)
    for index, item in objects(data["shapes"]):
        where = f"{file}, shape {index}"
        with draft.entry(file, path):
            name = None if item is None else key_of(item.get("label"))
            if item is None or name is None:
                raise DataError(f"{where} has no label.", "Name the defect.")
            if name.strip().lower() in NORMAL_NAMES:
                continue
            for marking in _markings(item, name, frame, where):
                draft.mark(path, marking, where)
    flags = data.get("flags")
    if not data["shapes"] and isinstance(flags, dict):
        for name in (name for name, on in flags.items() if on is True and name.lower() not in NORMAL_NAMES):
            with draft.entry(file, path):
                draft.mark(path, Marking(name), f"{file}, flag '{name}'")


def _image(file: Path, named: Any) -> Path:
    """The image of an annotation file.

    Raises:
        DataError: there is none.
    """
    places = file.parent, file.parent / "images", file.parent.parent / "images"
    name = named if isinstance(named, str) else ""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    for candidate in (name, last, *(file.stem + suffix for suffix in sorted(IMAGE_SUFFIXES))):
        if (path := found_file(candidate, *places)) is not None:
            return path
    raise DataError(
        f"{file} belongs to the image {name or file.stem}, which does not exist.", "Put it beside the JSON file."
    )


def _markings(item: dict[str, Any], name: str, frame: Frame, where: str) -> list[Marking]:
    kind = item.get("shape_type") or "polygon"
    rows = item.get("points")
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{where} has no points.", "Draw it again or remove it.")
    points = []
    for row in rows:
        values = numbers(row, where, "a point")
        if len(values) != 2:
            raise DataError(f"{where} has a point of {len(values)} numbers.", "A point has x and y.")
        points.append((values[0], values[1]))
    if kind == "mask":
        return [Marking(name, runs=_embedded_mask(item.get("mask"), points, frame, where))]
    upright = frame.points(points)
    shorter = min(frame.size)
    if kind in ("point", "points"):
        half = shorter * POINT_BOX / 2
        return [Marking(name, box=(x - half, y - half, x + half, y + half)) for x, y in upright]
    least = {"polygon": 3, "rectangle": 2, "circle": 2, "line": 2, "linestrip": 2}
    if not isinstance(kind, str) or kind not in least:
        known = "polygon, rectangle, circle, line, linestrip, point, mask"
        raise DataError(f"{where} is of the unknown type '{kind}'.", f"Draw it as one of: {known}.")
    if len(points) < least[kind]:
        raise DataError(f"{where}, a {kind}, has {len(points)} points.", f"It needs {least[kind]}.")
    if kind == "rectangle":
        x, y = np.asarray(upright).T
        return [Marking(name, box=(float(x.min()), float(y.min()), float(x.max()), float(y.max())))]
    if kind == "circle":
        return [Marking(name, polygon=frame.points(_circle(points[0], math.dist(points[0], points[1]))))]
    if kind == "polygon":
        return [Marking(name, polygon=upright)]
    return [Marking(name, runs=_stroke(upright, max(MIN_STROKE, shorter * STROKE), frame.size))]


def _circle(centre: Point, radius: float) -> list[Point]:
    angles = np.arange(CIRCLE_CORNERS) * (2 * math.pi / CIRCLE_CORNERS)
    return [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in angles]


def _stroke(points: tuple[Point, ...], width: float, size: tuple[int, int]) -> Runs:
    """A line of some width with round ends and corners."""
    mask = fill_polygon(_circle(points[0], width / 2), size)
    for (x0, y0), (x1, y1) in pairwise(points):
        length = math.dist((x0, y0), (x1, y1))
        if length > 0:
            across, down = (y0 - y1) / length * width / 2, (x1 - x0) / length * width / 2
            corners = [(x0 + across, y0 + down), (x1 + across, y1 + down), (x1 - across, y1 - down)]
            mask |= fill_polygon([*corners, (x0 - across, y0 - down)], size)
        mask |= fill_polygon(_circle((x1, y1), width / 2), size)
    return Runs.of(mask)


def _embedded_mask(text: Any, points: list[Point], frame: Frame, where: str) -> Runs:
    """A PNG in base64, laid with its upper left pixel on the first point."""
    try:
        stream = io.BytesIO(base64.b64decode(text, validate=True) if isinstance(text, str) else b"")
        with PngImagePlugin.PngImageFile(stream) as image:
            if image.size[0] > frame.stated[0] or image.size[1] > frame.stated[1]:
                raise ValueError("it is larger than its image")
            part = np.asarray(image.convert("L")) != 0
    except Exception as error:  # decoders fail on damaged data in ways of their own
        raise DataError(f"{where} has a mask that cannot be read: {error}.", "Draw it again.") from error
    width, height = frame.stated
    left, top = (math.floor(value) for value in points[0])
    mask = np.zeros((height, width), dtype=np.bool_)
    rows, columns = np.nonzero(part)
    rows, columns = rows + top, columns + left
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    mask[rows[inside], columns[inside]] = True
    return Runs.of(frame.mask(mask))
