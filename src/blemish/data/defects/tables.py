"""Labelled defects in a manifest."""

from __future__ import annotations

import os
from pathlib import Path

from blemish.data.defects.draft import Draft
from blemish.data.defects.example import Marking, markings_of
from blemish.data.layouts.manifest import read_sample
from blemish.data.layouts.table import TABLE_SUFFIXES, read_rows
from blemish.data.sample import SEVERAL_DEFECTS, Sample
from blemish.errors import DataError


def read_table(root: Path, draft: Draft) -> bool:
    """The rows of a manifest, or of a folder's `manifest.csv` or `manifest.jsonl`; False where there is none.

    Columns as in `layouts.manifest.read_manifest`, but one image may have any number of rows. Rows of the split `test`
    are left out. Defects without a name, and those called `combined`, teach no category and are left out.

    Raises:
        DataError: the file is no table.
    """
    if root.is_file() and root.suffix.lower() in TABLE_SUFFIXES:
        file = root
    else:
        names = [name for name in ("manifest.csv", "manifest.jsonl") if (root / name).is_file()]
        if not names:
            return False
        file = root / names[0]
    tested = 0
    for row in read_rows(file):
        with draft.entry(file):
            sample, has_split = read_sample(row)
            if has_split and sample.split == "test":
                tested += 1
            elif not os.path.isfile(sample.path):
                raise DataError(f"{row}: there is no image {sample.path}.", f"Write paths relative to {row.base}.")
            else:
                # a product that the row does not name is for the model to find out
                named = any(row.values.get(name) for name in ("product", "object", "clsname"))
                add_sample(sample, draft, str(row), product=sample.product if named else None)
    if tested:
        draft.problem(file, f"{tested} rows of {file} are in the split 'test' and were left out.", severity="info")
    return True


def add_sample(sample: Sample, draft: Draft, where: str, *, product: str | None) -> None:
    """Add a data set's sample to a draft.

    Raises:
        DataError: it has a defect that names no category.
    """
    if not sample.defective:
        draft.normal(sample.path, product=product, group=sample.group)
        return
    with draft.entry(sample.path, sample.path):
        if sample.defect is None:
            raise DataError(f"{where} has a defect without a name.", "Name it, to have it learned.")
        if sample.defect.lower() == SEVERAL_DEFECTS:
            raise DataError(f"{where} shows several kinds of defect.", "Mark each by a polygon or box of its own.")
        for marking in markings_of(sample, sample.defect):
            draft.mark(sample.path, _existing(marking, draft, where), where, product=product, group=sample.group)


def _existing(marking: Marking, draft: Draft, where: str) -> Marking:
    if marking.mask is None or os.path.isfile(marking.mask):
        return marking
    draft.problem(marking.mask, f"{where}: there is no mask {marking.mask}.", "Correct the path.")
    return Marking(marking.category)
