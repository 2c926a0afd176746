"""Files that are named by their content: uploaded images, anomaly maps, masks."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from blemish.data.duplicates import file_hash
from blemish.errors import BlemishError
from blemish.files import writing

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ABANDONED = 3600  # seconds after which a temporary file belongs to nobody


class Blobs:
    """A folder of immutable files. Whatever `add` has answered is on the disk; the same content is stored once.

    Args:
        folder: created where it is missing; temporary files that a crash left in it are removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fingerprints: dict[str, str] = {}
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*/*.tmp"):
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - _ABANDONED:
                    path.unlink()

    def add(self, content: bytes) -> str:
        """Store bytes; returns their SHA-256. Raises BlemishError when they cannot be written."""
        digest = hashlib.sha256(content).hexdigest()
        path = self._place(digest)
        if path.exists():
            return digest
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            with writing(path):
                if not path.parent.exists():
                    path.parent.mkdir(exist_ok=True)
                    _flush_folder(self._folder)
                with open(temporary, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, path)
                _flush_folder(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink()
        return digest

    def path(self, digest: str) -> Path:
        """Where it lies. Raises BlemishError where it does not."""
        path = self._place(digest)
        if not path.is_file():
            raise BlemishError(f"There is no stored file {digest}.", "It was removed, by age or by size.")
        return path

    def read(self, digest: str) -> bytes:
        """The content. Raises as `path`."""
        return self.path(digest).read_bytes()

    def fingerprint(self, digest: str) -> str:
        """`data.duplicates.file_hash` of a file, by which models know what they have seen; empty where it is gone."""
        if digest not in self._fingerprints:
            self._fingerprints[digest] = file_hash(self._place(digest))
        return self._fingerprints[digest]

    def remove(self, digest: str) -> None:
        """Forget it; one that is not there is no error."""
        with suppress(FileNotFoundError):
            self._place(digest).unlink()

    def written(self, digest: str) -> int:
        """When, milliseconds since 1970; the present where it is gone."""
        with suppress(FileNotFoundError):
            return self._place(digest).stat().st_mtime_ns // 1_000_000
        return time.time_ns() // 1_000_000

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Digest and bytes of every file."""
        for path in self._folder.glob("*/*"):
            digest = path.parent.name + path.name
            if _DIGEST.fullmatch(digest):
                with suppress(FileNotFoundError):
                    yield digest, path.stat().st_size

    def _place(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise BlemishError(f"'{digest}' names no stored file.")
        return self._folder / digest[:2] / digest[2:]


def _flush_folder(folder: Path) -> None:
    """A new name survives a power cut once its folder is on the disk; Windows keeps no handle on folders."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
