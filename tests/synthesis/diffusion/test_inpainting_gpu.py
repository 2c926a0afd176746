"""Repainting on a GPU, with tiny random networks: the same as on a CPU, in half precision and offloaded too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from blemish.synthesis.diffusion.inpainting import Inpainter

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(scope="module")
def asked() -> Any:
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    masks = np.zeros((2, 64, 64), bool)
    masks[:, 8:40, 16:48] = True
    return images, masks, ["hole", "dent"], ["", "hole"], [1, 2]


@pytest.mark.parametrize(
    ("options", "most"),
    [({}, 0.5), ({"half": True}, 10), ({"offload": True}, 0.5), ({"half": True, "offload": True}, 10)],
)
def test_a_gpu_paints_what_a_cpu_paints(
    weights: Path, inpainter: Inpainter, asked: Any, options: dict[str, bool], most: float
) -> None:
    folders = (weights / "sd", weights / "brushnet", weights / "brushnet_random")
    before = torch.cuda.memory_allocated()
    there = Inpainter.load(*folders, device="cuda", config=inpainter.config, **options)
    if "offload" in options:
        assert torch.cuda.memory_allocated() == before
    for one, other in zip(inpainter.repaint(*asked), there.repaint(*asked), strict=True):
        assert one.shape == other.shape
        assert np.abs(one.astype(int) - other).mean() < most
    if "offload" in options:
        assert torch.cuda.memory_allocated() == before


def test_half_precision_computes_in_half(weights: Path) -> None:
    there = Inpainter.load(weights / "sd", weights / "brushnet", device="cuda", half=True)
    assert {parameter.dtype for parameter in there._parts.unet.parameters()} == {torch.float16}
    assert {parameter.device.type for parameter in there._parts.unet.parameters()} == {"cuda"}
