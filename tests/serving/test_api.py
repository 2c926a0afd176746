"""The HTTP interface: what it answers, what it refuses, and that what it answered is kept."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient

from blemish.errors import BlemishError
from blemish.inspector import Inspector
from blemish.model_folder import Exported
from blemish.serving.api import build_app
from blemish.serving.service import Service
from blemish.serving.store import Store
from blemish.serving.teacher import Teacher
from blemish.serving.uploads import Limits

from .conftest import png

Draw = Callable[..., Path]


@pytest.fixture
def opened_store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'line.db'}", tmp_path / "files")


@pytest.fixture
def client(fake_inspector: Inspector, opened_store: Store, tmp_path: Path) -> Iterator[TestClient]:
    service = Service(opened_store, lambda _: fake_inspector, Teacher(opened_store, tmp_path / "teachings"))
    limits = Limits(bytes=100_000, pixels=1_000_000, images=5, request_bytes=300_000)
    app = build_app(service, tmp_path / "line.blemish", limits=limits)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def bad_nut(draw: Draw) -> bytes:
    return draw("bad.png", "nut", defect=True).read_bytes()


@pytest.fixture
def good_bolt(draw: Draw) -> bytes:
    return draw("good.png", "bolt").read_bytes()


def posted(client: TestClient, *contents: bytes, **options: Any) -> Any:
    files = [("images", (f"../../{number}.png", content, "text/html")) for number, content in enumerate(contents)]
    return client.post("/v1/inspections", files=files, **options)


def test_one_image_as_the_body(client: TestClient, bad_nut: bytes) -> None:
    response = client.post("/v1/inspections", content=bad_nut, headers={"content-type": "image/png"})
    assert response.status_code == 201
    (found,) = response.json()["inspections"]
    assert (found["product"], found["verdict"], found["defective"]) == ("nut", "defective", True)
    assert found["regions"][0]["box"] == [20, 10, 44, 34]
    assert found["source"] is None
    assert client.get(f"/v1/inspections/{found['id']}").json() == found
    image = client.get(found["image"])
    assert (image.content, image.headers["content-type"]) == (bad_nut, "image/png")
    for name in ("anomaly_map", "mask", "overlay"):
        picture = client.get(found[name])
        assert picture.headers["content-type"] == "image/png"
        with Image.open(BytesIO(picture.content)) as opened:
            assert opened.size == (64, 64)
    with Image.open(BytesIO(client.get(found["mask"]).content)) as mask:
        assert (np.asarray(mask) > 0).sum() == 24 * 24


def test_many_images_of_which_one_is_none(client: TestClient, bad_nut: bytes, good_bolt: bytes) -> None:
    response = posted(client, bad_nut, b"<html>", good_bolt, good_bolt[:70])
    assert response.status_code == 201
    first, second, third, fourth = response.json()["inspections"]
    assert (first["product"], third["product"], third["defective"]) == ("nut", "bolt", False)
    assert (first["source"], second["source"], third["source"]) == ("0.png", "1.png", "2.png")  # the last of each path
    assert "not an image" in second["error"]
    assert "damaged" in fourth["error"]
    assert fourth["source"] == "3.png"
    listed = client.get("/v1/inspections").json()
    assert [one["id"] for one in listed["inspections"]] == [third["id"], first["id"]]
    assert listed["next"] is None


def test_one_that_looks_whole_until_it_is_decoded(client: TestClient, good_bolt: bytes) -> None:
    first, second = posted(client, good_bolt, png(3, 64)[:5000]).json()["inspections"]
    assert first["product"] == "bolt"
    assert second["source"] == "1.png"
    assert "damaged" in second["error"]


def test_the_product_may_be_named(client: TestClient, bad_nut: bytes) -> None:
    (found,) = posted(client, bad_nut, data={"product": "bolt"}).json()["inspections"]
    assert found["product"] == "bolt"
    response = client.post("/v1/inspections?product=wheel", content=bad_nut)
    assert response.status_code == 422
    assert "knows no product 'wheel'" in response.json()["error"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"<html><script>alert(1)</script></html>", 415),
        (b"GIF89a" + bytes(100), 415),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), 422),
        (bytes(200_000), 413),
        (png(1, 4), 422),  # too small a side
    ],
)
def test_what_is_refused_leaves_nothing(
    client: TestClient, opened_store: Store, content: bytes, status: int, tmp_path: Path
) -> None:
    for response in (client.post("/v1/inspections", content=content), posted(client, content)):
        assert response.status_code == status
        assert response.json()["error"]
        assert str(tmp_path) not in response.text
    assert list(opened_store.blobs) == []
    assert client.get("/v1/inspections").json()["inspections"] == []


def test_a_half_image_leaves_nothing(client: TestClient, opened_store: Store) -> None:
    whole = png(3, 64)
    response = client.post("/v1/inspections", content=whole[: len(whole) // 2])
    assert response.status_code == 422
    assert list(opened_store.blobs) == []


def test_too_many_images_and_forms_without(client: TestClient, good_bolt: bytes) -> None:
    assert posted(client, *[good_bolt] * 6).status_code in (400, 413)
    assert client.post("/v1/inspections", files={"other": b"x"}).status_code == 422
    assert client.post("/v1/inspections", data={"images": "x"}, files={"y": b""}).status_code == 422


def test_requests_that_are_too_large(client: TestClient, opened_store: Store) -> None:
    response = posted(client, *[bytes(90_000)] * 4)
    assert response.status_code == 413
    assert response.json()["error"]

    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield bytes(1000)

    response = client.post("/v1/inspections", content=endless())
    assert response.status_code == 413
    assert list(opened_store.blobs) == []


def test_pages_and_filters(client: TestClient, bad_nut: bytes, good_bolt: bytes) -> None:
    posted(client, good_bolt, bad_nut, good_bolt)
    first = client.get("/v1/inspections?limit=2").json()
    second = client.get("/v1/inspections", params={"limit": 2, "before": first["next"]}).json()
    assert [len(page["inspections"]) for page in (first, second)] == [2, 1]
    assert [one["product"] for one in client.get("/v1/inspections?defective=true").json()["inspections"]] == ["nut"]
    assert client.get("/v1/inspections?limit=0").status_code == 422


def test_reviews(client: TestClient, bad_nut: bytes, good_bolt: bytes) -> None:
    bolt, nut = posted(client, good_bolt, bad_nut).json()["inspections"]
    assert [one["id"] for one in client.get("/v1/queue").json()["inspections"]] == [nut["id"], bolt["id"]]
    mask = np.zeros((64, 64), np.uint8)
    mask[:8] = 200
    buffer = BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    said = {"inspection": nut["id"], "decision": "confirmed", "category": "spot", "reviewer": "Ö"}
    answer = client.post("/v1/reviews", json={**said, "mask": base64.b64encode(buffer.getvalue()).decode()})
    assert answer.status_code == 201
    review = answer.json()
    assert review["corrected"]
    assert client.get(f"/v1/inspections/{nut['id']}").json()["review"] == review
    with Image.open(BytesIO(client.get(nut["mask"]).content)) as corrected:
        assert (np.asarray(corrected) == 255).sum() == 8 * 64
    with Image.open(BytesIO(client.get(nut["mask"], params={"found": True}).content)) as found:
        assert (np.asarray(found) == 255).sum() == 24 * 24
    assert client.get(nut["mask"]).headers["cache-control"] == "no-cache"
    assert [one["id"] for one in client.get("/v1/queue").json()["inspections"]] == [bolt["id"]]
    (tally,) = (one for one in client.get("/v1/tallies").json()["tallies"] if one["product"] == "nut")
    assert (tally["inspected"], tally["confirmed"]) == (1, 1)
    assert client.delete(f"/v1/reviews/{review['id']}").status_code == 204
    assert client.delete(f"/v1/reviews/{review['id']}").status_code == 404
    assert client.get(f"/v1/inspections/{nut['id']}").json()["review"] is None


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"inspection": "0" * 32}, 404),
        ({"decision": "perhaps"}, 422),
        ({"category": "  "}, 422),
        ({"category": "a\nb"}, 422),
        ({"category": " Good "}, 422),
        ({"category": "unknown defect"}, 422),
        ({"decision": "rejected", "category": "dent"}, 422),
        ({"mask": "no base64"}, 422),
        ({"mask": base64.b64encode(b"no picture").decode()}, 422),
        ({"surprise": 1}, 422),
    ],
)
def test_reviews_that_are_refused(client: TestClient, bad_nut: bytes, change: dict[str, Any], status: int) -> None:
    (nut,) = posted(client, bad_nut).json()["inspections"]
    response = client.post("/v1/reviews", json={"inspection": nut["id"], "decision": "confirmed", **change})
    assert response.status_code == status


def test_what_an_image_is_called(client: TestClient, bad_nut: bytes) -> None:
    """It is shown, and names no file."""
    for name, kept in (("part 7.png", "part 7.png"), ("C:\\line\\ä.png", "ä.png"), ("../..", ".."), ("/", None)):
        answer = client.post("/v1/inspections", params={"name": name}, content=bad_nut)
        assert answer.json()["inspections"][0]["source"] == kept
    assert client.post("/v1/inspections", params={"name": "a\nb"}, content=bad_nut).status_code == 422
    files = [("images", ("ab\u202e.png", bad_nut, "image/png"))]
    assert client.post("/v1/inspections", files=files).json()["inspections"][0]["source"] == "ab.png"


def test_capital_letters_make_no_other_category(client: TestClient, bad_nut: bytes) -> None:
    first, second = posted(client, bad_nut, bad_nut).json()["inspections"]
    names = []
    for inspection, name in ((first, "Crack"), (second, "cRACK")):
        said = {"inspection": inspection["id"], "decision": "confirmed", "category": name}
        names.append(client.post("/v1/reviews", json=said).json()["category"])
    assert names == ["Crack", "Crack"]
    for query, count in (("named=Crack", 2), ("named=dent", 0), ("decision=confirmed", 2), ("decision=rejected", 0)):
        assert len(client.get(f"/v1/inspections?{query}").json()["inspections"]) == count


def test_names_are_told_without_blanks(client: TestClient, bad_nut: bytes) -> None:
    (nut,) = posted(client, bad_nut).json()["inspections"]
    said = {"inspection": nut["id"], "decision": "confirmed", "category": "  dent "}
    assert client.post("/v1/reviews", json=said).json()["category"] == "dent"


def test_one_that_is_too_large_does_not_keep_the_others_out(client: TestClient, good_bolt: bytes) -> None:
    first, second = posted(client, bytes(120_000), good_bolt).json()["inspections"]
    assert "more than" in first["error"]
    assert second["product"] == "bolt"


def test_a_request_that_can_never_wait(fake_inspector: Inspector, opened_store: Store, tmp_path: Path) -> None:
    service = Service(opened_store, lambda _: fake_inspector, Teacher(opened_store, tmp_path / "t"), waiting=3)
    with TestClient(build_app(service, tmp_path / "m")) as client:
        assert posted(client, *[png(number, 16) for number in range(4)]).status_code == 400
        assert posted(client, *[png(number, 16) for number in range(3)]).status_code == 201


def test_a_scaled_image(client: TestClient, draw: Draw) -> None:
    buffer = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new("RGB", (640, 320), "red").save(buffer, "JPEG", exif=exif)
    (found,) = posted(client, buffer.getvalue()).json()["inspections"]
    scaled = client.get(found["image"], params={"side": 64})
    assert scaled.headers["content-type"] == "image/jpeg"
    with Image.open(BytesIO(scaled.content)) as image:
        assert image.size == (32, 64)
    assert client.get(found["image"], params={"side": 5}).status_code == 422


@pytest.mark.parametrize("place", ["inspections?product=%00", "inspections?before=%00", "queue?category=%00"])
def test_control_characters(client: TestClient, place: str) -> None:
    assert client.get(f"/v1/{place}").status_code == 422
    assert client.delete("/v1/reviews/%00").status_code == 404


def test_bodies_are_not_read_without_the_token(fake_inspector: Inspector, opened_store: Store, tmp_path: Path) -> None:
    service = Service(opened_store, lambda _: fake_inspector, Teacher(opened_store, tmp_path / "t"))
    with TestClient(build_app(service, tmp_path / "m", token="a secret of the line")) as client:
        for place in ("inspections", "reviews", "teachings"):
            assert client.post(f"/v1/{place}", content=b"[" * 100_000).status_code == 401


def test_places_on_the_disk_stay_here(
    client: TestClient, opened_store: Store, bad_nut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: bytes) -> str:
        raise BlemishError("/srv/line/files/ab cannot be written: no space left.", "Free some space.")

    monkeypatch.setattr(opened_store.blobs, "add", full)
    answer = client.post("/v1/inspections", content=bad_nut)
    assert answer.status_code == 500
    assert "/srv" not in answer.text


def test_models_are_promoted_and_rolled_back(
    client: TestClient, opened_store: Store, bad_nut: bytes, tmp_path: Path
) -> None:
    first = client.get("/v1/models").json()
    assert [model["name"] for model in first["models"]] == ["line.blemish"]
    assert first["current"] == first["models"][0]["id"]
    assert str(tmp_path) not in str(first)
    other = opened_store.versions.add_model("line, taught", tmp_path / "2", first["current"])
    assert client.post(f"/v1/models/{other.id}/promote").json()["current"] == other.id
    assert posted(client, bad_nut).json()["inspections"][0]["model"] == other.id
    assert client.post(f"/v1/models/{first['current']}/promote").json()["current"] == first["current"]
    assert client.post("/v1/models/none/promote").status_code == 404


@pytest.mark.parametrize("path", ["", "/image", "/anomaly_map", "/mask", "/overlay"])
def test_inspections_that_are_not_there(client: TestClient, path: str) -> None:
    for id in ("0" * 32, "..%2f..%2fetc%2fpasswd", "%00"):
        assert client.get(f"/v1/inspections/{id}{path}").status_code == 404


def test_a_token_keeps_strangers_out(fake_inspector: Inspector, opened_store: Store, tmp_path: Path) -> None:
    app = build_app(
        Service(opened_store, lambda _: fake_inspector, Teacher(opened_store, tmp_path / "teachings")),
        tmp_path / "m",
        token="süß",
    )
    with TestClient(app) as client:
        for header in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic x"}, {"authorization": "Bearer"}):
            for method, path in (("GET", "/v1/inspections"), ("POST", "/v1/inspections"), ("POST", "/v1/reviews")):
                assert client.request(method, path, headers=header).status_code == 401
        shown = {"authorization": "Bearer süß".encode()}
        assert client.get("/v1/models", headers=shown).status_code == 200
        for path in ("/healthz", "/readyz"):
            assert client.get(path).status_code == 200


def test_numbers_for_prometheus(client: TestClient, bad_nut: bytes, good_bolt: bytes) -> None:
    posted(client, bad_nut, good_bolt, b"nothing")
    text = client.get("/metrics").text
    for line in (
        'blemish_images_total{verdict="defective"} 1.0',
        'blemish_images_total{verdict="normal"} 1.0',
        'blemish_images_total{verdict="refused"} 1.0',
        "blemish_images_waiting 0.0",
        "blemish_request_seconds_count 1.0",
    ):
        assert line in text


def test_every_answer_is_hardened(client: TestClient) -> None:
    for path in ("/healthz", "/v1/inspections", "/v1/inspections/x", "/nowhere"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in headers["content-security-policy"]


def test_an_error_of_ours_shows_nothing_of_it(
    client: TestClient, fake_inspector: Inspector, bad_nut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret of /srv/line")

    monkeypatch.setattr(type(fake_inspector.engine), "run", fail)
    response = client.post("/v1/inspections", content=bad_nut)
    assert response.status_code == 500
    assert response.json() == {"error": "The service failed.", "remedy": "Its log says why."}


def test_the_document_says_what_there_is(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) >= {"/v1/inspections", "/v1/reviews", "/v1/models", "/healthz", "/metrics"}
    assert "multipart/form-data" in document["paths"]["/v1/inspections"]["post"]["requestBody"]["content"]


def test_an_exported_model_does_not_learn(
    fake_inspector: Inspector, opened_store: Store, bad_nut: bytes, tmp_path: Path
) -> None:
    exported = replace(fake_inspector, exported=Exported(engine="onnx", precision="float32"))
    service = Service(opened_store, lambda _: exported, Teacher(opened_store, tmp_path / "t"))
    with TestClient(build_app(service, tmp_path / "m")) as client:
        (nut,) = posted(client, bad_nut).json()["inspections"]
        said = {"inspection": nut["id"], "decision": "confirmed", "category": "spot"}
        assert client.post("/v1/reviews", json=said).status_code == 201
        answer = client.post("/v1/teachings", json={"inspections": [nut["id"]]})
        assert answer.status_code == 422
        assert "cannot learn" in answer.json()["error"]
        assert "This model cannot learn" in client.get("/teach").text


def test_the_service_needs_no_torch() -> None:
    """A model that was exported is served where torch is not installed."""
    modules = "blemish.serving.api, blemish.serving.teacher, blemish.cli.serve"
    code = f"import sys, {modules}; sys.exit(bool({{'torch', 'scipy', 'safetensors'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
