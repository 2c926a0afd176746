"""What is trained on a GPU, read again on a CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from blemish.data.dataset import Dataset
from blemish.inspection import Inspection
from blemish.inspector import Inspector

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def test_a_cpu_finds_what_the_gpu_finds(tiny_taught: tuple[Inspector, Path], tiny_folder: Path) -> None:
    taught, folder = tiny_taught
    assert taught.engine.device.type == "cuda"  # type: ignore[attr-defined]
    paths = [sample.path for sample in Dataset.from_folder(tiny_folder)]
    there = list(taught.inspect_many(paths))
    here = list(Inspector.load(folder, device="cpu").inspect_many(paths))
    for one, other in zip(there, here, strict=True):
        assert isinstance(one, Inspection)
        assert isinstance(other, Inspection)
        # convolutions on a GPU may round to TF32
        np.testing.assert_allclose(one.anomaly_map, other.anomaly_map, atol=0.02)
        assert one.product == other.product
