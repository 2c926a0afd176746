"""Where the textures of Perlin pastes come from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blemish.data.decode import load_square
from blemish.data.files import image_files
from blemish.errors import DataError, ImageError
from blemish.procedural.scenes import scene
from blemish.procedural.seeding import generator
from blemish.procedural.textures import texture

_KEPT = 1024
_log = logging.getLogger(__name__)


class TextureSource(Protocol):
    """Numbered square textures, all of one size."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Texture `index` in 0 … len − 1: size×size×3."""
        ...


class ProceduralTextures:
    """Procedural textures and scenes; each is made at its first use and kept in memory.

    Args:
        size: side in pixels.
        seed: texture `i` depends on (seed, i) only.
        count: how many there are (75 kB each at 160 px, 150 kB at 224 px).
    """

    def __init__(self, size: int, seed: int, count: int = 128) -> None:
        self._size, self._seed, self._count = size, seed, count
        self._made: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        if index not in self._made:
            rng = generator(self._seed, "procedural texture", index)
            self._made[index] = (texture if index % 2 else scene)(self._size, rng)
        return self._made[index]


class FolderTextures:
    """The images at or below a folder, each read at its first use; up to 1024 of them are kept in memory.

    An image that cannot be read is logged and its place taken by the next one.

    Raises:
        DataError: the folder does not exist or holds no readable image.
    """

    def __init__(self, path: str | Path, size: int) -> None:
        self._path, self._size = path, size
        self._files = image_files(path)
        self._read: dict[int, NDArray[np.uint8]] = {}
        if not self._files:
            raise self._nothing()

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        if index in self._read:
            return self._read[index]
        texture = self._load(index)
        if len(self._read) < _KEPT:
            self._read[index] = texture
        return texture

    def _load(self, index: int) -> NDArray[np.uint8]:
        for file in self._files[index:] + self._files[:index]:
            try:
                return load_square(file, self._size)
            except ImageError as error:
                _log.warning("texture passed over: %s", error.message)
        raise self._nothing()

    def _nothing(self) -> DataError:
        return DataError(f"{self._path} holds no readable image for textures.", "Name a folder with images.")
