"""`blemish serve`: what it refuses, and a real server that is killed and goes on."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

import httpx

from .line import inspect, nut, serving

Run = Callable[..., Any]


@pytest.mark.slow
def test_what_was_answered_survives_a_kill(line_model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    answered: set[str] = set()

    def post(client: httpx.Client, first: int) -> None:
        """Until the service is gone."""
        with suppress(httpx.TransportError):
            for number in count(first, 7):
                answered.update(str(found["id"]) for found in inspect(client, nut(number % 50, "spot")))

    moments = random.Random(0)
    for _ in range(3):
        with serving(line_model, data) as (running, client), ThreadPoolExecutor(4) as pool:
            posting = [pool.submit(post, client, first) for first in range(4)]
            time.sleep(moments.uniform(0.5, 1.5))
            os.kill(running.pid, signal.SIGKILL)
            running.wait(30)
            for one in posting:
                one.result(60)
    assert len(answered) > 10
    with serving(line_model, data) as (_, client):
        listed = client.get("/v1/inspections?limit=500").json()["inspections"]
        assert answered <= {one["id"] for one in listed}
        assert len(client.get("/v1/models").json()["models"]) == 1  # a known folder is no new model
        for one in listed[:: len(listed) // 20 + 1]:
            assert client.get(one["overlay"]).content.startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.slow
def test_a_token_is_asked_for(line_model: Path, tmp_path: Path) -> None:
    with serving(line_model, tmp_path / "data", BLEMISH_TOKEN="a secret of the line") as (_, client):
        assert client.get("/v1/inspections").json() == {"inspections": [], "next": None}
        del client.headers["Authorization"]
        assert client.get("/v1/inspections").status_code == 401
        page = client.get("/review")
        assert (page.status_code, page.headers["location"]) == (303, "/login")


@pytest.mark.slow
def test_a_teaching_goes_on_after_a_kill(line_model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(line_model, data) as (running, client):
        found = inspect(client, *[nut(number, defect) for defect in ("spot", "stripe") for number in (200, 201)])
        for one, name in zip(found, ("spot", "spot", "stripe", "stripe"), strict=True):
            said = {"inspection": one["id"], "decision": "confirmed", "category": name}
            client.post("/v1/reviews", json=said).raise_for_status()
        wanted = {"inspections": [one["id"] for one in found], "steps": 150, "images": 12}
        teaching = client.post("/v1/teachings", json=wanted).raise_for_status().json()
        here = f"/v1/teachings/{teaching['id']}"
        assert client.post("/v1/teachings", json=wanted).status_code == 409
        for _ in range(600):
            progress = client.get(here).json()["progress"]
            if progress is not None and progress["stage"] == "training":
                break
            time.sleep(0.1)
        else:
            raise AssertionError(client.get(here).json())
        os.kill(running.pid, signal.SIGKILL)
        running.wait(30)
    learner = learners(data)
    for _ in range(100):
        if not learner():
            break
        time.sleep(0.1)
    assert not learner()  # the process that learned ended with the service
    with serving(line_model, data) as (_, client):
        for _ in range(600):
            taught = client.get(here).json()
            if taught["state"] != "running":
                break
            time.sleep(0.1)
        assert taught["state"] == "finished", taught
        assert len(client.get("/v1/models").json()["models"]) == 2


def learners(data: Path) -> Callable[[], list[int]]:
    """Looks for processes that learn in a data folder."""

    def look() -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = entry.read_bytes().split(b"\0")
                if b"blemish.serving.learn" in words and os.fsencode(data) in b"\0".join(words):
                    found.append(int(entry.parent.name))
        return found

    return look


@pytest.mark.slow
def test_two_services_do_not_share_a_folder(line_model: Path, tmp_path: Path, run: Run) -> None:
    with serving(line_model, tmp_path / "data"):
        result = run("serve", line_model, "--data", tmp_path / "data", "--port", 0)
        assert result.exit_code == 2
        assert "Another service uses" in result.output


def test_others_need_a_token(run: Run, line_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLEMISH_TOKEN", raising=False)
    result = run("serve", line_model, "--host", "0.0.0.0", "--data", tmp_path / "data")
    assert result.exit_code == 2
    assert "Anybody who reaches 0.0.0.0" in result.output
    monkeypatch.setenv("BLEMISH_TOKEN", "short")
    result = run("serve", line_model, "--data", tmp_path / "data")
    assert result.exit_code == 2
    assert "shorter than 16" in result.output
    assert not (tmp_path / "data").exists()


def test_a_port_that_is_taken(run: Run, line_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLEMISH_TOKEN", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run("serve", line_model, "--port", taken.getsockname()[1], "--data", tmp_path / "data")
    assert result.exit_code == 2
    assert "can listen" in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--database", "mysql://x/y"], "address of a database"),
        (["--database", "sqlite:////nowhere/at/all.db"], "cannot be used"),
    ],
)
def test_databases_that_are_none(run: Run, line_model: Path, tmp_path: Path, options: list[str], words: str) -> None:
    result = run("serve", line_model, "--data", tmp_path / "data", *options)
    assert result.exit_code == 2
    assert words in result.output.replace("\n", " ")


def test_a_promoted_model_that_is_gone(run: Run, line_model: Path, tmp_path: Path) -> None:
    from blemish.serving.store import open_store

    store = open_store(tmp_path / "data")
    store.versions.promote(store.versions.add_model("line", line_model).id)
    store.versions.promote(store.versions.add_model("line 2", tmp_path / "gone").id)
    store.close()
    result = run("serve", line_model, "--data", tmp_path / "data", "--port", 0)
    assert result.exit_code == 2
    assert "gone" in result.output


def test_a_model_that_is_none(run: Run, tmp_path: Path) -> None:
    result = run("serve", tmp_path / "nothing", "--data", tmp_path / "data")
    assert result.exit_code == 2
    assert not (tmp_path / "data").exists()
