"""Training on several processes, started as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.numpy").load_file


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="gloo across processes is not set up on Windows"),
]

# no draws within a step, and no batch statistics: those differ between shares of a batch
_SCRIPT = """
import sys
from blemish.config import TrainConfig
from blemish.data.dataset import Dataset
from blemish.training.train import train

config = TrainConfig.of(
    "paper",
    backbone={"name": "embedded"},
    model={
        "size": 64, "width": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "feedforward": 64,
        "dropout": 0.0, "refiner": False, "neighbour_window": 1,
    },
    jitter=0, batch=4, steps=12, learning_rate=1e-3, precision="32-true", hold_out=0.4,
)
if __name__ == "__main__":
    train(Dataset.from_folder("images"), config, output=f"{sys.argv[1]}.blemish", devices=sys.argv[1])
"""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images" / "spots").mkdir(parents=True)
    for number in range(10):
        pixels = np.random.default_rng(number).integers(80, 160, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / "spots" / f"{number}.png")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    found = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found


def test_two_processes_train_one_model(images: Path) -> None:
    command = ("train", "images", "-o", "line.blemish", "--steps", "3", "--devices", "2")
    found = run(images, "-m", "blemish", *command)
    assert "Starting with 2 processes" in found.stderr + found.stdout
    assert (images / "line.blemish" / "model.safetensors").is_file()
    assert not (images / "line.blemish.run").exists()
    assert found.stdout.count("Trained in") == 1


def test_two_processes_find_the_weights_that_one_finds(images: Path) -> None:
    (images / "both.py").write_text(_SCRIPT)
    weights = []
    for devices in ("1", "2"):
        run(images, "both.py", devices)
        weights.append(load_file(images / f"{devices}.blemish" / "model.safetensors"))
    one, two = weights
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_allclose(value, two[name], atol=2e-5, err_msg=name)
