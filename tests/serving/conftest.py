"""A store on SQLite and one on a PostgreSQL that the test run starts."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from blemish.serving.store import Store

_PROGRAMS = [Path("/usr/local/bin"), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]


def _program(name: str) -> str:
    places = [str(folder) for folder in _PROGRAMS if (folder / name).exists()]
    found = shutil.which(name) or (f"{places[0]}/{name}" if places else None)
    if found is None:
        pytest.skip(f"PostgreSQL is not installed: there is no {name}")
    return found


def _as_nobody() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    if sys.platform == "win32" or os.getuid() != 0:
        return {}
    import pwd

    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Address of a server on a free port, its data in a temporary folder."""
    pytest.importorskip("psycopg")
    import tempfile

    initdb, server = _program("initdb"), _program("postgres")
    with tempfile.TemporaryDirectory(prefix="blemish-postgresql-") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        owner = _as_nobody()
        if owner:
            os.chown(folder, int(str(owner["user"])), int(str(owner["group"])))
        data = f"{folder}/data"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **owner}
        subprocess.run([initdb, "-D", data, "-U", "blemish", "-A", "trust", "--no-sync"], check=True, **quiet)  # type: ignore[call-overload]
        command = [server, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"]
        running = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
        try:
            address = f"postgresql://blemish@127.0.0.1:{port}/postgres"
            _wait_for(address)
            yield address
        finally:
            running.send_signal(signal.SIGINT)  # a fast shutdown
            running.wait(30)


def _wait_for(address: str) -> None:
    import time

    import psycopg

    for _ in range(100):
        try:
            psycopg.connect(address, connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise AssertionError("PostgreSQL did not start")


@pytest.fixture(scope="session")
def line_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of nuts that knows no names."""
    pytest.importorskip("torch")
    from .line import train_line

    return train_line(tmp_path_factory.mktemp("line"))


_numbers = count()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'line.db'}"
    import psycopg

    address: str = request.getfixturevalue("postgresql")
    name = f"test{next(_numbers)}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return address.rsplit("/", 1)[0] + f"/{name}"


class Clock:
    """Goes on by one millisecond whenever somebody looks."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, tmp_path: Path, clock: Clock) -> Iterator[Store]:
    from blemish.serving.store import Store

    store = Store(url, tmp_path / "files", clock)
    yield store
    store.close()


def png(seed: int, side: int = 16) -> bytes:
    """A small picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


Add = Callable[..., str]


@pytest.fixture
def add(store: Store) -> Add:
    """Keep one inspection; returns its id."""
    from blemish.inspection import Inspection
    from blemish.serving.records import Upload

    model = store.versions.add_model("line", Path("line.blemish")).id
    numbers = count()

    def keep(
        *, product: str = "nut", p_value: float = 0.5, category: str | None = None, image: int | None = None
    ) -> str:
        number = next(numbers)
        found = Inspection(
            score=1 / p_value,
            p_value=p_value,
            defective=p_value <= 0.01,
            product=product,
            similarity=0.9,
            anomaly_map=np.zeros((4, 4), np.float32),
            mask=np.zeros((4, 4), np.bool_),
            size=(16, 16),
            requested_rate=0.01,
            effective_rate=0.01,
            category=category,
            category_scores={} if category is None else {category: 0.9},
        )
        upload = Upload(png(number if image is None else image), "image/png", (16, 16), f"ö {number}.png")
        (kept,) = store.add_inspections(model, [(upload, found, png(1000 + number), png(2000 + number))])
        return kept.id

    return keep
