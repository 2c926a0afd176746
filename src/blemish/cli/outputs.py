"""The folder that `blemish inspect` fills while images stream by."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from blemish.calibration import Calibration
from blemish.data.decode import read_image
from blemish.errors import BlemishError, ImageError
from blemish.evaluation.report import Case, ReportWriter, colour_range, coloured_outlines, overlay
from blemish.files import writing
from blemish.inspection import SCHEMA_VERSION, Failure, Inspection

INSPECTIONS, REPORT = "inspections.jsonl", "report.html"
MAPS, MASKS, OVERLAYS = "maps", "masks", "overlays"
MAX_OVERLAY_SIDE = 1024
_NAME_LENGTH = 48


def json_line(result: Inspection | Failure, paths: Mapping[str, str] | None = None) -> dict[str, Any]:
    """One line of `inspections.jsonl`: an inspection, or why there is none.

    Args:
        result: of one image.
        paths: of its map, mask and overlay, by the names of their folders.
    """
    if isinstance(result, Failure):
        return {
            "schema_version": SCHEMA_VERSION,
            "source": result.source,
            "error": result.error.message,
            "remedy": result.error.remedy,
        }
    paths = paths or {}
    line = result.to_dict(map_path=paths.get(MAPS), mask_path=paths.get(MASKS))
    return {**line, "overlay": paths.get(OVERLAYS)}


class OutputFolder:
    """Writes inspections to a folder; holds nothing but what its report shows.

    - `inspections.jsonl`: one line per image, in order, written before the next image is looked at;
    - `maps/NAME.npy`: the anomaly map, float32 at model resolution, exact (`numpy.load`);
    - `masks/NAME.png`: defective pixels white, at model resolution; only for defective images;
    - `overlays/NAME.png`: the image under its heat map, at most 1024 px a side; not for unknown products;
    - `report.html`, at the end.

    NAME is the image's number and, for people, its folder and name as far as these are plain letters and digits: no
    two images share one, whatever they are called.

    Args:
        path: the folder; made if need be.
        calibration: of the model.
        details: how the results were made, for the report.
        overwrite: replace the results of an earlier inspection.
        overlays: whether to write overlays.

    Raises:
        BlemishError: the folder holds something else, or earlier results without `overwrite`.
    """

    def __init__(
        self, path: Path, calibration: Calibration, details: Mapping[str, Any], *, overwrite: bool, overlays: bool
    ) -> None:
        self._path = path
        self._products = calibration.products
        self._overlays = overlays
        self._number = 0
        with writing(path):
            _make_room(path, overwrite)
            for name in (MAPS, MASKS, *([OVERLAYS] if overlays else [])):
                (path / name).mkdir()
        self._report = ReportWriter(path / REPORT, "Inspection", calibration=calibration, details=details)

    def __enter__(self) -> OutputFolder:
        path = self._path / INSPECTIONS
        with writing(self._path):
            # lone surrogates, which stand for undecodable bytes of file names, become valid JSON escapes
            self._lines = open(path, "w", encoding="utf-8", errors="backslashreplace", newline="\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the list and write the report, also when the user has seen enough, but not after an error."""
        self._lines.close()
        if error is None or isinstance(error, KeyboardInterrupt):
            self._report.finish()

    def add(self, result: Inspection | Failure) -> dict[str, Any]:
        """Write one result; returns its line.

        Raises:
            BlemishError: the folder cannot be written.
        """
        self._number += 1
        with writing(self._path):
            if isinstance(result, Failure):
                self._report.add_unreadable(result.source, result.error.message)
                line = json_line(result)
            else:
                line = json_line(result, self._pictures(result))
            self._lines.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._lines.flush()
        return line

    def _pictures(self, inspection: Inspection) -> dict[str, str]:
        """Write map, mask and overlay; returns their paths relative to the folder."""
        name = f"{self._number:06d}{_plain(inspection.source)}"
        paths = {MAPS: f"{MAPS}/{name}.npy"}
        np.save(self._path / paths[MAPS], inspection.anomaly_map, allow_pickle=False)
        if inspection.mask.any():
            paths[MASKS] = f"{MASKS}/{name}.png"
            Image.fromarray(inspection.mask.astype(np.uint8) * 255).save(self._path / paths[MASKS])
        if not self._overlays or not inspection.known:
            self._report.add(Case(inspection, lambda: self._picture(inspection)))
            return paths
        picture = self._picture(inspection)
        self._report.add(Case(inspection, picture))
        calibration = self._products.get(inspection.product)
        scale = colour_range(inspection.anomaly_map, calibration.pixel_threshold if calibration else None)
        paths[OVERLAYS] = f"{OVERLAYS}/{name}.png"
        if inspection.categories:
            outlines = coloured_outlines(inspection, picture.size)
            covered = overlay(picture, inspection.anomaly_map, *scale, outlines=outlines)
        else:
            covered = overlay(picture, inspection.anomaly_map, *scale, mask=inspection.mask)
        covered.save(self._path / paths[OVERLAYS], compress_level=1)
        return paths

    def _picture(self, inspection: Inspection) -> Image.Image:
        """The image, at most 1024 px a side; grey where the file has gone since it was inspected."""
        calibration = self._products.get(inspection.product)
        try:
            pixels = read_image(
                inspection.source or "", intensity_range=calibration.intensity_range if calibration else None
            )
        except ImageError:
            return Image.new("RGB", inspection.size, (128, 128, 128))
        picture = Image.fromarray(pixels)
        picture.thumbnail((MAX_OVERLAY_SIDE, MAX_OVERLAY_SIDE), Image.Resampling.BILINEAR, reducing_gap=2)
        return picture


def _make_room(path: Path, overwrite: bool) -> None:
    """Take away earlier results, and nothing else."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        path.mkdir(parents=True, exist_ok=True)
        return
    if not (path / INSPECTIONS).is_file():
        raise BlemishError(f"{path} exists and holds no {INSPECTIONS}, so nothing is written to it.", "Choose another.")
    if not overwrite:
        raise BlemishError(f"{path} holds earlier results.", "Choose another folder with -o, or say --overwrite.")
    for name in (MAPS, MASKS, OVERLAYS):
        shutil.rmtree(path / name, ignore_errors=True)
    for name in (REPORT, INSPECTIONS):
        (path / name).unlink(missing_ok=True)


def _plain(source: str | None) -> str:
    """The last two parts of a path without anything that some file system could mind."""
    path = PurePath(source or "")
    words = re.findall(r"\w+", f"{path.parent.name} {path.stem}".encode("utf-8", "ignore").decode("utf-8"))
    return "".join(f"-{word}" for word in words)[: _NAME_LENGTH + 1]
