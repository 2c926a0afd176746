"""A data set and a configuration so small that a training takes a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.config import TrainConfig
from blemish.data.dataset import Dataset

TINY = {
    "model": {
        "size": 64,
        "width": 16,
        "heads": 2,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "feedforward": 32,
        "refiner_channels": 8,
        "refiner_bottleneck": 8,
        "prompt_patches": 300,
    },
    "batch": 4,
    "steps": 6,
    "pool": 1,
    "refresh": 1,
    "seed": 3,
    "hold_out": 0.4,
    "checkpoint_minutes": 1e-9,
}


@pytest.fixture(params=["none"])
def tiny_config(request: pytest.FixtureRequest) -> TrainConfig:
    """Parametrise it indirectly with other decoders."""
    config = TrainConfig.of("fast", **TINY)
    if request.param == "none":
        return config
    model = {**config.model.model_dump(), "decoder": request.param, "principal_start": True, "dropout": 0.1}
    return TrainConfig.parse({**config.model_dump(), "model": model, "restoration": True})


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two products, stripes and spots, ten normal images each."""
    root = tmp_path_factory.mktemp("tiny")
    for product, wave in (("stripes", (0.0, 0.4)), ("spots", (0.3, 0.3))):
        folder = root / product / "train" / "good"
        folder.mkdir(parents=True)
        rows, columns = np.mgrid[:64, :64]
        for number in range(10):
            rng = np.random.default_rng([number, len(product)])
            pattern = np.sin(wave[0] * rows + number) * 50 + np.sin(wave[1] * columns) * 60 + 128
            pixels = np.clip(pattern + rng.normal(0, 4, pattern.shape), 0, 255).astype(np.uint8)
            tint = np.stack([pixels, pixels if product == "spots" else pixels // 2, pixels // 3], axis=-1)
            Image.fromarray(tint).save(folder / f"{number:02}.png")
    return root


@pytest.fixture
def tiny_dataset(tiny_folder: Path) -> Dataset:
    return Dataset.from_folder(tiny_folder)
