"""`groups.csv`: which images show the same physical part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from blemish.data.layouts.listing import Listing
from blemish.data.layouts.table import read_rows
from blemish.data.problem import Problem

GROUPS_NAME = "groups.csv"


def with_groups(listings: Sequence[Listing], root: Path) -> list[Listing]:
    """What was found below `root`, with the groups of `root/groups.csv` where that exists.

    The first column is a path relative to `root`, the second the name of the group; a first line is required and may
    call them anything. Images that are not named stay as they are.

    Raises:
        DataError: the file is not a table.
    """
    file = root / GROUPS_NAME
    if not file.is_file() or not listings:
        return list(listings)
    groups: dict[Path, str] = {}
    for row in read_rows(file):
        path, group = [*row.values.values(), "", ""][:2]
        if path and group:
            groups[row.resolve(path)] = group
    grouped = [
        replace(
            listing,
            samples=tuple(replace(s, group=groups[s.path]) if s.path in groups else s for s in listing.samples),
        )
        for listing in listings
    ]
    if unknown := groups.keys() - {sample.path for listing in listings for sample in listing.samples}:
        message = f"{file} names {len(unknown)} files that are no images of this data set, such as {min(unknown)}."
        problem = Problem(file, "warning", message, "Write paths relative to the folder of groups.csv.")
        grouped[0] = replace(grouped[0], problems=(*grouped[0].problems, problem))
    return grouped
