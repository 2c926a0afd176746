"""Where annotation files and their images lie."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

HELD_OUT = frozenset({"test", "val", "valid", "validation"})
_WORD = re.compile(r"[a-z]+")


def files_below(root: Path, suffixes: Collection[str]) -> list[Path]:
    """All visible files at or below `root` with one of these suffixes (lower case, with the dot), sorted.

    Links to folders are not followed; folders that cannot be listed are passed over.
    """
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(folder, name)
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes
        ]
    return sorted(found, key=lambda path: path.as_posix())


def held_out(path: Path, root: Path, *, by_name: bool = False) -> bool:
    """Whether a folder between `root` and `path` says that it holds a test or validation set.

    Args:
        by_name: whether the file's own name may say so too, as in `instances_val2017.json`.
    """
    parts = path.relative_to(root).parts
    names = [part.lower() for part in parts[:-1]]
    words = {word for name in names for word in (name, *_WORD.findall(name))} if by_name else set(names)
    if by_name:
        words |= set(_WORD.findall(Path(parts[-1]).stem.lower()))
    return bool(words & HELD_OUT)


def found_file(name: str, *folders: Path) -> Path | None:
    """The file that an annotation names, relative to the first of the folders that holds it; None: none does.

    Backslashes separate folders unless a file is named so. Names may lead anywhere: annotations are the user's own.
    """
    for spelling in dict.fromkeys((name, name.replace("\\", "/"))):
        for folder in folders:
            path = os.path.abspath(folder / spelling)
            if spelling and "\0" not in spelling and os.path.isfile(path):
                return Path(path)
    return None
