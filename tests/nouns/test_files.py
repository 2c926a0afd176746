from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from blemish.errors import BlemishError
from blemish.files import check_target, replaced, replaced_folder, write_json

pytestmark = pytest.mark.core


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", ["x.txt", "new/folder/x.txt", "ü" * 120])
def test_a_file_is_replaced(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    for content in ("old", "new"):
        with replaced(target) as temporary:
            temporary.write_text(content)
            assert temporary.parent == target.parent
        assert target.read_text() == content
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")
    monkeypatch.setattr(os, step, full_disk)
    with (
        pytest.raises(BlemishError, match=r"x\.txt cannot be written: No space") as caught,
        replaced(target) as new,
    ):
        new.write_text("new")
    assert caught.value.remedy
    assert target.read_text() == "old"
    assert names(tmp_path) == ["x.txt"]


def test_an_error_in_the_block_passes_and_leaves_nothing(tmp_path: Path) -> None:
    def fail_with_file() -> None:
        with replaced(tmp_path / "x") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    def fail_with_folder() -> None:
        with replaced_folder(tmp_path / "x", overwrite=True, marker="m") as temporary:
            (temporary / "half").write_text("half")
            raise ZeroDivisionError

    for fail in (fail_with_file, fail_with_folder):
        with pytest.raises(ZeroDivisionError):
            fail()
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("in the way")
    with pytest.raises(BlemishError, match="cannot be written"), replaced(tmp_path / "a" / "x"):
        pass
    assert names(tmp_path) == ["a"]


def filled(path: Path, *, overwrite: bool, content: str) -> None:
    with replaced_folder(path, overwrite=overwrite, marker="m.json") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / content).write_text(content)
        (folder / "m.json").write_text(content)


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "model"
    filled(target, overwrite=False, content="old")
    with pytest.raises(BlemishError, match="exists already"):
        filled(target, overwrite=False, content="new")
    assert (target / "m.json").read_text() == "old"
    filled(target, overwrite=True, content="new")
    assert names(tmp_path) == ["new/model/deep/new", "new/model/m.json"]


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    filled(tmp_path / "model", overwrite=False, content="x")
    assert names(tmp_path) == ["model/deep/x", "model/m.json"]


def test_behind_a_link_and_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "v1", overwrite=False, content="old")
    (tmp_path / "current").symlink_to("v1")
    filled(tmp_path / "current", overwrite=True, content="new")
    assert (tmp_path / "current").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["current", "v1"]
    assert (tmp_path / "v1" / "m.json").read_text() == "new"
    monkeypatch.chdir(tmp_path / "v1")
    filled(Path(), overwrite=True, content="here")
    assert (tmp_path / "v1" / "m.json").read_text() == "here"


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such permissions")
def test_who_may_enter_a_folder_may_read_its_files(tmp_path: Path) -> None:
    with replaced_folder(tmp_path / "x", marker="m") as folder:
        (folder / "secret").write_text("x")
        (folder / "secret").chmod(0o600)
    assert (tmp_path / "x" / "secret").stat().st_mode & 0o777 == (tmp_path / "x").stat().st_mode & 0o666


@pytest.mark.parametrize("a_file", [True, False])
def test_a_folder_of_another_kind_is_never_replaced(tmp_path: Path, a_file: bool) -> None:
    photos = tmp_path / "photos"
    if a_file:
        photos.write_text("dear")
    else:
        photos.mkdir()
        (photos / "holiday.jpg").write_text("dear")
    before = names(tmp_path)
    with pytest.raises(BlemishError, match=r"holds no m\.json"):
        filled(photos, overwrite=True, content="x")
    assert names(tmp_path) == before


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    filled(target, overwrite=False, content="old")
    move, moves = os.replace, 0

    def second_fails(source: Path, destination: Path) -> None:
        nonlocal moves
        moves += 1
        if moves == 2:
            raise PermissionError(13, "in use")
        move(source, destination)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(BlemishError, match="in use"):
        filled(target, overwrite=True, content="new")
    assert names(tmp_path) == ["model/deep/old", "model/m.json"]


def test_targets_are_checked_before_long_work(tmp_path: Path) -> None:
    check_target(tmp_path / "free", overwrite=False, marker="m")
    (tmp_path / "m").write_text("")
    check_target(tmp_path, overwrite=True, marker="m")
    with pytest.raises(BlemishError, match="--overwrite"):
        check_target(tmp_path, overwrite=False, marker="m")


def test_json(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"ü": [1, None]})
    content = (tmp_path / "x.json").read_bytes()
    assert json.loads(content) == {"ü": [1, None]}
    assert "ü".encode() in content
    assert content.endswith(b"}\n")
