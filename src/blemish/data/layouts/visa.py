"""VisA: `split_csv/1cls.csv` with the columns object, split, label, image, mask."""

from __future__ import annotations

from pathlib import Path

from blemish.data.layouts.listing import Listing
from blemish.data.layouts.manifest import read_manifest

SPLIT_FOLDER = "split_csv"


def read_visa(root: Path) -> Listing | None:
    """All products of VisA by its one-class split, or None; paths in the table are relative to `root`.

    VisA's defects have no category here. A known list repeats twelve training images 151 to 202 times: repeated rows
    are dropped.
    """
    file = root / SPLIT_FOLDER / "1cls.csv"
    return read_manifest(file, layout="VisA", base=root) if file.is_file() else None
