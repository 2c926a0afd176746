"""The folder of a trained model: what is written, and what is wrong with one that cannot be read."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from blemish.config import TrainConfig
from blemish.errors import BlemishError, ModelError
from blemish.model_folder import CALIBRATION, CARD, CONFIG, Header, check_embedded, locate, read_header, read_rois

if TYPE_CHECKING:
    from blemish.inspector import Inspector

pytestmark = pytest.mark.core


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def folder(fake_inspector: Inspector, tmp_path: Path) -> Path:
    return fake_inspector.save(tmp_path / "line.blemish")


def changed(folder: Path, **values: Any) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def test_what_is_written(folder: Path, fake_inspector: Inspector) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [CARD, CALIBRATION, CONFIG, "model.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    header = read_header(locate(folder, offline=True))
    assert (header.products, header.train) == (fake_inspector.products, fake_inspector.config)
    card = (folder / CARD).read_text(encoding="utf-8")
    assert all(product in card for product in header.products)


def test_no_path_of_the_training_machine_is_kept() -> None:
    train = TrainConfig.of(
        "fast", backbone={"name": "timm:x", "weights": "/home/me/x"}, pseudo_anomalies={"textures": "/home/me/dtd"}
    )
    assert "/home/me" not in Header.of(("bolt",), train).model_dump_json()


def test_regions_of_interest_come_back(fake_inspector: Inspector, tmp_path: Path) -> None:
    roi = np.zeros((fake_inspector.size, fake_inspector.size), np.bool_)
    roi[10:20, 5:] = True
    saved = fake_inspector.with_roi("nut", roi).save(tmp_path / "model")
    rois = read_rois(saved, read_header(saved))
    assert list(rois) == ["nut"]
    np.testing.assert_array_equal(rois["nut"], roi)


def test_a_model_is_replaced_only_on_request(fake_inspector: Inspector, folder: Path) -> None:
    (folder / "old").write_text("old", encoding="utf-8")
    with pytest.raises(BlemishError, match="--overwrite"):
        fake_inspector.save(folder)
    assert (folder / "old").is_file()
    fake_inspector.save(folder, overwrite=True)
    assert not (folder / "old").exists()


def test_a_config_is_missing(folder: Path) -> None:
    (folder / CONFIG).unlink()
    with pytest.raises(ModelError, match=rf"{folder.name} has no {CONFIG}") as caught:
        read_header(folder)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"products": ["bolt"]}', b'{"products": 3, "train": {}}'],
    ids=["empty", "cut off", "a list", "null", "no UTF-8", "no training", "wrong types"],
)
def test_a_config_is_damaged(folder: Path, content: bytes) -> None:
    (folder / CONFIG).write_bytes(content)
    with pytest.raises(ModelError, match="damaged or of another version") as caught:
        read_header(folder)
    assert str(folder / CONFIG) in caught.value.message
    assert caught.value.remedy


def test_a_config_of_another_format(folder: Path) -> None:
    changed(folder, format=1)
    with pytest.raises(ModelError, match="has format 1, not 3") as caught:
        read_header(folder)
    assert "Install" in caught.value.remedy


@pytest.mark.parametrize("place", ["outside", "inside"])
def test_a_config_with_values_that_this_version_does_not_know(folder: Path, place: str) -> None:
    train = TrainConfig.of("fast").model_dump(mode="json")
    changed(folder, **({"colour": 1} if place == "outside" else {"train": {**train, "colour": 1}}))
    with pytest.raises(ModelError, match="colour"):
        read_header(folder)


def test_the_embedded_backbone_of_another_version(tmp_path: Path) -> None:
    header = Header.of(("bolt",), TrainConfig.of("fast"))
    check_embedded(tmp_path, header)
    other = header.model_copy(update={"embedded": "0" * 64})
    with pytest.raises(ModelError, match="another version of the embedded backbone") as caught:
        check_embedded(tmp_path, other)
    assert str(tmp_path) in caught.value.message
    assert caught.value.remedy


def test_a_model_of_another_backbone_has_no_digest(tmp_path: Path) -> None:
    header = Header.of(("bolt",), TrainConfig.of("paper"))
    assert header.embedded is None
    check_embedded(tmp_path, header)


@pytest.mark.parametrize(
    ("name", "offline"),
    [
        ("owner/model", True),
        ("no-such-folder", False),
        ("a/b/c", False),
        ("../x y/z", False),
        ("a/b.blemish", False),
        ("runs/line", False),
    ],
)
def test_no_folder_and_nothing_to_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, offline: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    with pytest.raises(ModelError, match="no model folder") as caught:
        locate(name, offline=offline)
    assert name in caught.value.message
    assert caught.value.remedy


def test_a_folder_goes_before_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("owner/model").mkdir(parents=True)
    assert locate("owner/model", offline=False) == Path("owner/model")
