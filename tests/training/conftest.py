"""A data set and a configuration so small that a training takes a second, and a model that was taught on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from blemish.config import TeachConfig, TrainConfig
from blemish.data.dataset import Dataset
from blemish.data.defects import DefectExample, Marking
from blemish.inspector import Inspector
from blemish.training.teach import teach
from blemish.training.train import train

TINY: dict[str, Any] = {
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

on_a_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU, rounding depends on order and batch")


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
    """Two products, stripes and spots, 16 normal images each."""
    root = tmp_path_factory.mktemp("tiny")
    for product, wave in (("stripes", (0.0, 0.4)), ("spots", (0.3, 0.3))):
        folder = root / product / "train" / "good"
        folder.mkdir(parents=True)
        rows, columns = np.mgrid[:64, :64]
        for number in range(16):
            rng = np.random.default_rng([number, len(product)])
            pattern = np.sin(wave[0] * rows + number) * 50 + np.sin(wave[1] * columns) * 60 + 128
            pixels = np.clip(pattern + rng.normal(0, 4, pattern.shape), 0, 255).astype(np.uint8)
            tint = np.stack([pixels, pixels if product == "spots" else pixels // 2, pixels // 3], axis=-1)
            Image.fromarray(tint).save(folder / f"{number:02}.png")
    return root


@pytest.fixture(scope="session")
def tiny_dataset(tiny_folder: Path) -> Dataset:
    return Dataset.from_folder(tiny_folder)


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> Inspector:
    """Trained on both products; it knows no categories. Nothing may change it."""
    return train(Dataset.from_folder(tiny_folder), TrainConfig.of("fast", **TINY))


def tiny_teaching(**changes: Any) -> TeachConfig:
    """A teaching of a few steps."""
    few = {"width": 16, "components": 8, "images": 2, "steps": 4, "batch": 4, "checkpoint_minutes": 1e-9, "seed": 3}
    return TeachConfig.of("fast", **{**few, **changes})


DEFECTS = {"stain": (slice(20, 36), slice(24, 44), 255), "cut": (slice(10, 54), slice(30, 34), 0)}


def draw_defect(folder: Path, source: Path, name: str) -> tuple[Path, Path]:
    """Image and mask of a normal image with a defect of `DEFECTS`."""
    rows, columns, value = DEFECTS[name]
    with Image.open(source) as image:
        pixels = np.array(image)
    mask = np.zeros(pixels.shape[:2], np.uint8)
    pixels[rows, columns], mask[rows, columns] = value, 255
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}-{source.name}", folder / f"{name}-{source.stem}-mask.png"
    for path, one in zip(paths, (pixels, mask), strict=True):
        Image.fromarray(one).save(path)
    return paths


@pytest.fixture(scope="session")
def tiny_examples(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[DefectExample, ...]:
    """A stain and a cut of spots, a cut of stripes, with masks."""
    root = tmp_path_factory.mktemp("defects")
    drawn = []
    for product, name in (("spots", "stain"), ("spots", "cut"), ("stripes", "cut")):
        image, mask = draw_defect(root / product, tiny_folder / product / "train" / "good" / "04.png", name)
        drawn.append(DefectExample(image, product, (Marking(name, mask=mask),)))
    return tuple(drawn)


@pytest.fixture(scope="session")
def tiny_taught(
    tiny_model: Inspector, tiny_examples: tuple[DefectExample, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Inspector, Path]:
    """The tiny model with its categories, and its folder. Nothing may change either."""
    target = tmp_path_factory.mktemp("taught") / "line.blemish"
    taught, problems = teach(tiny_model, tiny_examples, tiny_teaching(), output=target)
    assert problems == ()
    return taught, target
