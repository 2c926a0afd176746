"""Image files in folders: which names count as images, and a walk that always ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from blemish.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})


def is_image_name(name: str) -> bool:
    """True for a visible file name with an image suffix, in upper or lower case."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Visible folder names and image names directly in `folder`, each sorted.

    A broken symbolic link with an image suffix counts as an image: reading it will say what is wrong.
    """
    folders, images = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if _is_folder(entry):
                    folders.append(entry.name)
                elif is_image_name(entry.name):
                    images.append(entry.name)
    except OSError as error:
        raise DataError(
            f"The folder {folder} cannot be listed: {error.strerror or error}.", "Check that it exists and is readable."
        ) from error
    return sorted(folders), sorted(images)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a symbolic link that points at itself
        return False


def folders_in(folder: Path) -> list[Path]:
    """The visible folders directly in `folder`, sorted by name."""
    return [folder / name for name in _entries(folder)[0]]


def images_in(folder: Path) -> list[Path]:
    """The visible image files directly in `folder`, sorted by name."""
    return [folder / name for name in _entries(folder)[1]]


def image_files(path: str | Path) -> list[Path]:
    """All image files at or below `path`, sorted by folder and name.

    Hidden files and folders are skipped. Symbolic links are followed, each real folder once, so loops end. A file is
    returned as it is, whatever its suffix: who names a file wants it read.

    Raises:
        DataError: nothing is there, or a folder cannot be listed.
    """
    path = Path(path)
    if path.is_dir():
        return list(_walk(path, set()))
    if not path.exists():
        raise DataError(f"There is no file or folder {path}.", "Check the path.")
    return [path]


def _walk(folder: Path, visited: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    folders, images = _entries(folder)
    for name in images:
        yield folder / name
    for name in folders:
        yield from _walk(folder / name, visited)
