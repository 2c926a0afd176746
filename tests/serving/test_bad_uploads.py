"""No upload does harm: each bad one is refused with a reason, leaves nothing on the disk, and costs no memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient

from blemish.inspector import Inspector
from blemish.serving.api import build_app
from blemish.serving.service import Service
from blemish.serving.store import Store
from blemish.serving.teacher import Teacher

from .bad_uploads import corpus, whole

_MEMORY = 200 * 1024  # kB that all of them together may cost at the most; the smallest bomb would cost 240 MB


@pytest.fixture
def client(fake_inspector: Inspector, tmp_path: Path) -> Iterator[TestClient]:
    store = Store(f"sqlite:///{tmp_path / 'line.db'}", tmp_path / "files")
    service = Service(store, lambda _: fake_inspector, Teacher(store, tmp_path / "teachings"))
    with TestClient(build_app(service, tmp_path / "line.blemish"), raise_server_exceptions=False) as client:
        yield client


def written(folder: Path) -> set[str]:
    """Everything on the disk but the database and the mark that the files belong to it."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "belongs-to"]
    return {str(path) for path in files if not path.name.startswith("line.db")}


def most_memory() -> int | None:
    """The most that this process has needed, kB; None where the system does not say."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
    return None if found is None else int(found[1])


def test_all_of_them(client: TestClient, tmp_path: Path) -> None:
    uploads = list(corpus())
    assert len({content for _, content in uploads}) >= 200
    client.post("/v1/inspections", content=whole("PNG"))  # what the first image needs is no fault of the bad ones
    before, memory = written(tmp_path), most_memory()
    wrong = []
    for name, content in uploads:
        form = {"images": ("../../../etc/passwd\0.png", content, "image/png")}
        answers = client.post("/v1/inspections", content=content), client.post("/v1/inspections", files=form)
        for answer in answers:
            if not (400 <= answer.status_code < 500 and answer.json()["error"]):
                wrong.append((name, answer.status_code, answer.text[:200]))
            assert str(tmp_path) not in answer.text
            assert "Traceback" not in answer.text
    assert wrong == []
    assert written(tmp_path) == before
    assert len(client.get("/v1/inspections").json()["inspections"]) == 1
    after = most_memory()
    if memory is not None and after is not None:
        assert after - memory < _MEMORY


def test_all_of_them_at_once(client: TestClient, tmp_path: Path) -> None:
    """In one form with a good one, only that one is kept."""
    contents = [content for _, content in corpus()][:62]
    contents.insert(30, whole("PNG"))
    files = [("images", (name, content)) for content, name in zip(contents, 70 * ["/etc/passwd"], strict=False)]
    found = client.post("/v1/inspections", files=files).json()["inspections"]
    assert [row for row, one in enumerate(found) if "error" not in one] == [30]
    assert len(written(tmp_path)) == 3


@pytest.mark.parametrize("tail", [b"<script>alert(1)</script>", b"PK\x03\x04" + bytes(60), bytes(5000)])
def test_what_hides_behind_a_picture_is_served_as_a_picture(client: TestClient, tail: bytes) -> None:
    (found,) = client.post("/v1/inspections", content=whole("PNG") + tail).json()["inspections"]
    image = client.get(found["image"])
    assert image.headers["content-type"] == "image/png"
    assert image.headers["x-content-type-options"] == "nosniff"


_HEAD = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'


# of a form that never ends the parser leaves its temporary file to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=", b"--"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--y\r\n\r\n--y--"),
        ("multipart/form-data; boundary=x", _HEAD + whole("PNG")),  # never ends
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"A: b\r\n" * 5000),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=" + b"a" * 50_000),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="images"\r\n\r\nx\r\n--x--'),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("multipart/form-data; boundary=" + "x" * 5000, b"--x--"),
        ("multipart/form-data; boundary=x", (_HEAD + b"x\r\n") * 200 + b"--x--"),
        ("application/x-www-form-urlencoded", b"images=x"),
        ("application/json", b'{"images": ["a"]}'),
    ],
)
def test_forms_that_are_none(client: TestClient, tmp_path: Path, kind: str, body: bytes) -> None:
    answer = client.post("/v1/inspections", content=body, headers={"content-type": kind})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]
    assert written(tmp_path) == set()


@pytest.mark.parametrize("name", ["../nut", "/etc/passwd", "nut\0", "%2e%2e", "x" * 5000, "{{7*7}}", "<script>"])
def test_products_that_are_paths(client: TestClient, name: str) -> None:
    values: dict[str, Any] = {"product": name}
    assert client.post("/v1/inspections", params=values, content=whole("PNG")).status_code == 422
    files = [("images", ("a", whole("PNG")))]
    assert client.post("/v1/inspections", data=values, files=files).status_code in (400, 422)
    assert client.get("/review", params=values).status_code in (200, 422)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../api.py",
        "/static/%2e%2e/api.py",
        "/static/..%2fapi.py",
        "/static//etc/passwd",
        "/static/%00",
        "/v1/inspections/..%2f..%2fline.db/image",
        "/v1/teachings/..%2f..%2f/rows/0/old",
        "/v1/teachings/x/rows/0/..%2f..%2flesson.json",
        "/review/..%2f..%2fetc%2fpasswd",
        "/templates/base.html",
    ],
)
def test_paths_that_lead_elsewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    assert answer.json()["error"]
