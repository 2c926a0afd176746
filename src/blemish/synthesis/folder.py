"""A folder of synthetic defects: images, masks and a manifest that says where each came from."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from PIL import Image

from blemish.data.layouts.table import read_rows
from blemish.errors import DataError
from blemish.files import check_target, replaced, write_json, writing
from blemish.synthesis.synthetic import Synthetic

if TYPE_CHECKING:
    from blemish.synthesis.task import Key

SETTINGS, MANIFEST = "synthesis.json", "manifest.jsonl"


class SyntheticFolder:
    """A folder that synthetic defects are added to one by one; `Dataset.from_folder` reads it.

    Images and masks are PNG: `images/<product>/<category>/<number>.png` and the same below `masks/`. `manifest.jsonl`
    has one line per image: the columns of a manifest and `number`, `size`, and all fields of `Provenance`. A line is
    appended once image and mask are written, so that an interrupted run leaves only whole items.

    Args:
        path: the folder; it is made.
        settings: what the images depend on, as JSON values; kept in `synthesis.json`.
        overwrite: whether an earlier folder of this kind is emptied first.
        resume: whether to go on with an earlier folder, whose settings must be the same.

    Raises:
        BlemishError: the folder exists and is neither empty, to be overwritten, nor to be resumed, or is no folder of
            this kind.
        DataError: it is to be resumed, and its settings differ or cannot be read.
    """

    def __init__(
        self, path: str | Path, settings: Mapping[str, Any], *, overwrite: bool = False, resume: bool = False
    ) -> None:
        self.path = Path(path)
        self._keys: set[Key] = set()
        started = resume and (self.path / SETTINGS).is_file()
        if not started:
            check_target(self.path, overwrite=overwrite, marker=SETTINGS)
            if self.path.exists():
                self._clear()
            write_json(self.path / SETTINGS, dict(settings))
        else:
            self._check(dict(settings))
            self._keys = self._written()

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def add(self, item: Synthetic, number: int) -> Path:
        """Write one item; returns the path of its image.

        Args:
            number: counts the images of one product and category; one that is there already is replaced.
        """
        place = Path(file_name(item.product)) / file_name(item.category) / f"{number:04d}.png"
        image, mask = Path("images") / place, Path("masks") / place
        _save(Image.fromarray(item.image), self.path / image)
        _save(Image.fromarray(item.mask.astype(np.uint8) * 255), self.path / mask)
        origin = item.provenance
        row = {
            "path": image.as_posix(),
            "product": item.product,
            "split": "train",
            "label": "defective",
            "defect": item.category,
            "mask": mask.as_posix(),
            "number": number,
            "size": item.mask.shape[0],
            "mode": origin.mode,
            "method": origin.method,
            "shape": origin.shape,
            "prompt": origin.prompt,
            "source": origin.source,
            "example": origin.example,
            "seed": origin.seed,
            "score": origin.score,
        }
        if (key := (item.product, item.category, number)) not in self._keys:
            self._append(json.dumps(row, ensure_ascii=True))
            self._keys.add(key)
        return self.path / image

    def _append(self, line: str) -> None:
        with writing(self.path / MANIFEST), open(self.path / MANIFEST, "ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _check(self, settings: dict[str, Any]) -> None:
        file = self.path / SETTINGS
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{file} cannot be read: {error}.", "Say --overwrite to start anew.") from error
        now = json.loads(json.dumps(settings))
        names = before.keys() | now.keys() if isinstance(before, dict) else {"settings"}
        differing = sorted(n for n in names if not isinstance(before, dict) or before.get(n) != now.get(n))
        if differing:
            raise DataError(
                f"{self.path} was begun with other settings: {', '.join(differing)}.",
                "Resume with the same ones, or say --overwrite to start anew.",
            )

    def _written(self) -> set[Key]:
        """The items whose line, image and mask are there; a line that was cut off is removed."""
        manifest = self.path / MANIFEST
        if not manifest.exists():
            return set()
        with writing(manifest), open(manifest, "r+b") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
        keys: set[Key] = set()
        for row in read_rows(manifest):
            there = all(row.resolve(row.values.get(name, "")).is_file() for name in ("path", "mask"))
            number = row.values.get("number", "")
            if there and number.isdecimal():
                keys.add((row.values.get("product", ""), row.values.get("defect", ""), int(number)))
        return keys

    def _clear(self) -> None:
        with writing(self.path):
            for name in ("images", "masks"):
                shutil.rmtree(self.path / name, ignore_errors=True)
            for name in (MANIFEST, SETTINGS):
                (self.path / name).unlink(missing_ok=True)


def file_name(name: str) -> str:
    """A product's or category's name as a folder is called: letters, digits, `_`, `-` and `.` stay; a checksum tells
    names apart that others of its letters were taken from."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._")[:60]
    return plain if plain and plain == name else f"{plain or 'name'}-{crc32(name.encode('utf-8', 'surrogatepass')):08x}"


def _save(image: Image.Image, path: Path) -> None:
    with replaced(path) as temporary:
        image.save(temporary, format="PNG")
