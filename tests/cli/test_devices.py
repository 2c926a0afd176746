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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo across processes is not set up on Windows")
def test_two_processes_train_one_model(tmp_path: Path) -> None:
    (tmp_path / "images" / "spots").mkdir(parents=True)
    for number in range(10):
        pixels = np.random.default_rng(number).integers(80, 160, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / "spots" / f"{number}.png")
    command = [
        sys.executable,
        "-m",
        "blemish",
        "train",
        "images",
        "-o",
        "line.blemish",
        "--steps",
        "3",
        "--devices",
        "2",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "Starting with 2 processes" in run.stderr + run.stdout
    assert (tmp_path / "line.blemish" / "model.safetensors").is_file()
    assert not (tmp_path / "line.blemish.run").exists()
    assert run.stdout.count("Trained in") == 1
