"""Writing files so that a reader sees the old content or the new, never half of either."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from blemish.errors import BlemishError


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turns an OSError of the block into a BlemishError that names `path` (disk full, no permission)."""
    try:
        yield
    except OSError as error:
        raise BlemishError(
            f"{path} cannot be written: {error.strerror or error}.", "Free some space or choose another place."
        ) from error


@contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path` to write to; it takes the place of `path` when the block ends well.

    The folder is created. Nothing is left behind, and `path` is untouched, when the block raises.

    Raises:
        BlemishError: the file cannot be written (disk full, no permission).
    """
    path = Path(path)
    temporary = _beside(path)
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def replaced_folder(path: str | Path, *, overwrite: bool = False, marker: str = "config.json") -> Iterator[Path]:
    """A temporary folder beside `path` to fill; it takes the place of `path` when the block ends well.

    Args:
        path: the folder; it may exist when it is empty. Of a link, the folder behind it is replaced.
        overwrite: whether a folder that is not empty may be replaced.
        marker: a folder without this file is never replaced, so that a mistyped path costs nothing.

    Raises:
        BlemishError: `path` exists and may not be replaced, or cannot be written.
    """
    path = Path(os.path.realpath(path))
    check_target(path, overwrite=overwrite, marker=marker)
    temporary = _beside(path)
    try:
        with writing(path):
            temporary.mkdir(parents=True)
            yield temporary
            readers = temporary.stat().st_mode & 0o666
            for file in temporary.rglob("*"):
                if file.is_file():
                    _flush(file)
                    file.chmod(readers)  # some writers leave files that nobody else may read
            _swap(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_target(path: Path, *, overwrite: bool, marker: str) -> None:
    """Raises BlemishError unless `path` is free or may be replaced; long work asks before it starts."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise BlemishError(f"{path} exists already.", "Choose another name, or say --overwrite.")
    if not (path / marker).is_file():
        raise BlemishError(f"{path} exists and holds no {marker}, so it is not replaced.", "Choose another name.")


def write_json(path: str | Path, data: Any) -> None:
    """Write `data` as indented JSON, atomically."""
    with replaced(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def _beside(path: Path) -> Path:
    """A free name in the same folder, short even where `path` has the longest name that a file system takes."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.tmp")


def _swap(temporary: Path, path: Path) -> None:
    """Put `temporary` in the place of `path`; if that fails, the old folder is put back."""
    if not path.exists():
        os.replace(temporary, path)
        return
    old = _beside(path)
    os.replace(path, old)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    with open(path, "r+b") as file:
        os.fsync(file.fileno())
