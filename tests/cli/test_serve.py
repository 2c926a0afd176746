"""`blemish serve`: what it refuses, and a real server that is killed and goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

for package in ("torch", "fastapi", "uvicorn", "sqlalchemy", "alembic", "prometheus_client"):
    pytest.importorskip(package)


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(80, 160, (64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from blemish.config import TrainConfig
    from blemish.data.dataset import Dataset
    from blemish.training.train import train

    root = tmp_path_factory.mktemp("served")
    folder = root / "images" / "nut" / "train" / "good"
    folder.mkdir(parents=True)
    for number in range(10):
        Image.fromarray(pixels(number)).save(folder / f"{number}.png")
    config = TrainConfig.of("fast", model={"size": 64, "prompt_patches": 200}, steps=2, pool=1, batch=4, hold_out=0.4)
    train(Dataset.from_folder(root / "images"), config, output=root / "line.blemish")
    return root / "line.blemish"


@contextmanager
def serving(model: Path, data: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server on a free port, and its address."""
    command = [sys.executable, "-m", "blemish", "serve", str(model), "--data", str(data), "--port", "0"]
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
        address = found.group()
        for _ in range(300):
            with suppress(OSError):
                if ask(f"{address}/readyz")["status"] == "ready":
                    break
            time.sleep(0.1)
        yield running, address
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()
        assert running.stdout is not None
        running.stdout.close()


def ask(url: str, content: bytes | None = None, **headers: str) -> Any:
    request = urllib.request.Request(url, data=content, headers={"content-type": "image/png", **headers})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())


def png(folder: Path, number: int) -> bytes:
    path = folder / f"upload {number}.png"
    Image.fromarray(pixels(100 + number)).save(path)
    return path.read_bytes()


@pytest.mark.slow
def test_what_was_answered_survives_a_kill(model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    answered: list[str] = []
    for round in range(3):
        with serving(model, data) as (running, address):
            for number in range(4):
                found = ask(f"{address}/v1/inspections", png(tmp_path, 4 * round + number))
                answered.append(found["inspections"][0]["id"])
            os.kill(running.pid, signal.SIGKILL if round < 2 else signal.SIGTERM)
            assert running.wait(30) is not None
    with serving(model, data) as (_, address):
        listed = ask(f"{address}/v1/inspections?limit=100")["inspections"]
        assert [one["id"] for one in listed] == answered[::-1]
        assert len(ask(f"{address}/v1/models")["models"]) == 1  # a known folder is no new model
        for one in listed:
            with urllib.request.urlopen(f"{address}{one['overlay']}", timeout=30) as picture:
                assert picture.read(8) == b"\x89PNG\r\n\x1a\n"


@pytest.mark.slow
def test_a_token_is_asked_for(model: Path, tmp_path: Path) -> None:
    with serving(model, tmp_path / "data", BLEMISH_TOKEN="a secret of the line") as (_, address):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(f"{address}/v1/inspections")
        assert refused.value.code == 401
        refused.value.close()
        shown = ask(f"{address}/v1/inspections", Authorization="Bearer a secret of the line")
        assert shown == {"inspections": [], "next": None}


Run = Callable[..., Any]


def test_others_need_a_token(run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLEMISH_TOKEN", raising=False)
    result = run("serve", model, "--host", "0.0.0.0", "--data", tmp_path / "data")
    assert result.exit_code == 2
    assert "Anybody who reaches 0.0.0.0" in result.output
    monkeypatch.setenv("BLEMISH_TOKEN", "short")
    result = run("serve", model, "--data", tmp_path / "data")
    assert result.exit_code == 2
    assert "shorter than 16" in result.output
    assert not (tmp_path / "data").exists()


def test_a_port_that_is_taken(run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLEMISH_TOKEN", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run("serve", model, "--port", taken.getsockname()[1], "--data", tmp_path / "data")
    assert result.exit_code == 2
    assert "can listen" in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--database", "mysql://x/y"], "address of a database"),
        (["--database", "sqlite:////nowhere/at/all.db"], "cannot be used"),
    ],
)
def test_databases_that_are_none(run: Run, model: Path, tmp_path: Path, options: list[str], words: str) -> None:
    result = run("serve", model, "--data", tmp_path / "data", *options)
    assert result.exit_code == 2
    assert words in result.output.replace("\n", " ")


def test_a_model_that_is_none(run: Run, tmp_path: Path) -> None:
    result = run("serve", tmp_path / "nothing", "--data", tmp_path / "data")
    assert result.exit_code == 2
    assert not (tmp_path / "data").exists()
