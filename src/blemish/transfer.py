"""To a GPU and back through pinned memory, which the GPU reads and writes itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def sent(values: NDArray[Any], device: torch.device) -> Tensor:
    """Values on a device; a GPU's queue is not waited for."""
    here = torch.from_numpy(values)
    return here.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else here.to(device)


def fetched(tensors: Iterable[Tensor]) -> list[NDArray[Any]]:
    """Tensors as arrays; a GPU is waited for once."""
    here = [(one, one.to("cpu", non_blocking=True)) for one in tensors]
    if here and here[0][0].is_cuda:
        torch.cuda.synchronize(here[0][0].device)
    return [one.numpy() for _, one in here]
