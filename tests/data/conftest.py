"""Small image trees made on the fly."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Write images below tmp_path: `tree("a/x.png", "a/y.jpg")`; each has pixels of its own, drawn from its name.

    Names that hold `mask` or start with `ground_truth/` become masks with one defective square.
    """

    def write(*names: str, size: tuple[int, int] = (16, 12)) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if "mask" in name or "ground_truth" in name:
                mask = np.zeros(size[::-1], dtype=np.uint8)
                mask[2:5, 3:6] = 255
                Image.fromarray(mask).save(path)
            else:
                noise = np.random.default_rng(zlib.crc32(name.encode())).integers(0, 256, (*size[::-1], 3))
                Image.fromarray(noise.astype(np.uint8)).save(path)
        return tmp_path

    return write
