"""Arrays that live in memory while they fit, on the GPU where there is one, and in memory-mapped files beyond."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from blemish.files import writing


class Store:
    """Allocates arrays within a budget of memory; what goes beyond is mapped from a temporary folder.

    Args:
        megabytes: budget of memory.
        device: where tensors belong; half of a GPU's free memory may be used.
    """

    def __init__(self, megabytes: float, device: torch.device | None = None) -> None:
        self._left = megabytes * 1e6
        self._device = device if device is not None and device.type == "cuda" else None
        self._left_there = 0.0 if self._device is None else torch.cuda.mem_get_info(self._device)[0] / 2
        self._folder: Path | None = None
        self._files = 0

    def array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array of undefined content. Raises BlemishError when the disk is full."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size <= self._left:
            self._left -= size
            return np.empty(shape, dtype)
        if self._folder is None:
            with writing(tempfile.gettempdir()):
                self._folder = Path(tempfile.mkdtemp(prefix="blemish-"))
        self._files += 1
        path = self._folder / f"{self._files}.bin"
        with writing(path), open(path, "wb") as file:
            if hasattr(os, "posix_fallocate"):  # a hole that the disk cannot fill would kill the process
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        return np.memmap(path, dtype=dtype, mode="r+", shape=shape)

    def tensor(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor of undefined content: on the GPU while it fits there, else as `array`. Raises as `array` does."""
        size = math.prod(shape) * dtype.itemsize
        if self._device is not None and size <= self._left_there:
            self._left_there -= size
            return torch.empty(shape, dtype=dtype, device=self._device)
        return torch.from_numpy(self.array(shape, str(dtype).removeprefix("torch.")))

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def free_megabytes(meminfo: Path = Path("/proc/meminfo"), limit: Path = Path("/sys/fs/cgroup/memory.max")) -> float:
    """Memory that may still be used, as Linux and the container's limit tell; 8000 where neither does."""
    free = [8000.0]
    with suppress(OSError, StopIteration):
        lines = meminfo.read_text(encoding="ascii").splitlines()
        free = [int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) / 1000]
    with suppress(OSError, ValueError):  # "max" where there is no limit
        free.append(int(limit.read_text(encoding="ascii")) / 1e6)
    return min(free)
