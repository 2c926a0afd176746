"""A line of nuts for tests: images, a trained model, and a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from time import sleep

import httpx
import numpy as np
from PIL import Image, ImageDraw

SIDE = 96


def nut(number: int, defect: str | None = None) -> bytes:
    """A PNG of plain noise; a `spot` is a red disc on it, a `stripe` a dark line."""
    random = np.random.default_rng(number)
    picture = Image.fromarray(random.integers(90, 150, (SIDE, SIDE, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(picture)
    x, y = (int(value) for value in random.integers(24, 72, 2))
    if defect == "spot":
        draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill=(200, 40, 40))
    elif defect == "stripe":
        draw.line((x - 20, y - 10, x + 20, y + 10), fill=(15, 15, 25), width=5)
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def train_line(folder: Path) -> Path:
    """A model that knows what nuts look like and no names; 5 s on two cores."""
    from blemish.config import TrainConfig
    from blemish.data.dataset import Dataset
    from blemish.training.train import train

    good = folder / "images" / "nut" / "train" / "good"
    good.mkdir(parents=True)
    for number in range(24):
        (good / f"{number}.png").write_bytes(nut(number))
    config = TrainConfig.of("fast", model={"size": SIDE}, steps=60)
    train(Dataset.from_folder(folder / "images"), config, output=folder / "line.blemish")
    return folder / "line.blemish"


@contextmanager
def serving(
    model: Path, data: Path, *options: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """A server on a free port that is ready, and a client of it; killed at the end if it still runs."""
    command = [sys.executable, "-m", "blemish", "serve", str(model), "--data", str(data), "--port", "0", *options]
    running = subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert running.stdout is not None
        lines = []
        for line in running.stdout:
            lines.append(line)
            if found := re.search(r"http://\S+:\d+", line):
                break
        else:
            raise AssertionError("".join(lines))
        token = environment.get("BLEMISH_TOKEN")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=found.group(), timeout=60, headers=headers) as client:
            for _ in range(300):
                with suppress(httpx.TransportError):
                    if client.get("/readyz").is_success:
                        break
                sleep(0.1)
            yield running, client
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()
        assert running.stdout is not None
        running.stdout.close()


def inspect(client: httpx.Client, *contents: bytes) -> list[dict[str, object]]:
    """Post images; what was found in each."""
    files = [("images", ("image.png", content, "image/png")) for content in contents]
    answer = client.post("/v1/inspections", files=files).raise_for_status().json()
    found: list[dict[str, object]] = answer["inspections"]
    return found
