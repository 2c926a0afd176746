"""Labelled defects in a data set that `blemish train` could read."""

from __future__ import annotations

from pathlib import Path

from blemish.data.dataset import Dataset
from blemish.data.defects.draft import Draft
from blemish.data.defects.tables import add_sample
from blemish.data.sample import Sample
from blemish.errors import DataError

_GUESSED = frozenset({"plain folder", "good/ and bad/"})


def read_set(root: Path, draft: Draft) -> bool:
    """Defects with a name of a data set in a known layout; False where it is none.

    Of a layout with a split (MVTec AD's `train/<category>`) only what trains is read, of one without all. Plain
    folders, and `good/` beside folders other than `bad/`, are no answer: there folders may be categories.
    """
    try:
        data = Dataset.from_folder(root)
    except DataError:
        return False
    layouts = {layout.layout for layout in data.layouts}
    unsplit = {product for layout in data.layouts if not layout.has_split for product in layout.products}
    usable = [sample for sample in data if sample.split == "train" or sample.product in unsplit]
    named = [sample for sample in usable if sample.defective and sample.defect is not None]
    if not named and layouts <= _GUESSED:
        return False
    for problem in data.problems:
        draft.problem(problem.path, problem.message, problem.remedy, "warning")
    unnamed = [sample for sample in usable if sample.defective and sample.defect is None]
    if unnamed:
        message = f"{len(unnamed)} defective images have no category and were left out, such as {unnamed[0].path}."
        draft.problem(unnamed[0].path.parent, message, "Sort them into one folder per category.")
    for sample in usable:
        if not sample.defective or sample.defect is not None:
            _add(sample, draft)
    tested = sum(sample.defective for sample in data) - len(named) - len(unnamed)
    if tested:
        message = f"{tested} defective images of {root} are in the split 'test' and were left out."
        draft.problem(root, message, "Move what may be learned to train/<category>.", "info")
    return True


def _add(sample: Sample, draft: Draft) -> None:
    with draft.entry(sample.path):
        add_sample(sample, draft, str(sample.path), product=sample.product)
