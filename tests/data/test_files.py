from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from blemish.data.decode import image_files, read_image
from blemish.errors import DataError

pytestmark = pytest.mark.core

LONG = f"{'n' * 120}{'ü' * 60}.png"  # 244 bytes in UTF-8: file systems stop at 255


@pytest.mark.parametrize(
    ("names", "found"),
    [
        pytest.param(("b.png", "a.JPG", "c.tiff"), ["a.JPG", "b.png", "c.tiff"], id="suffixes in capitals"),
        pytest.param(("b/2.png", "b/10.png", "a.png"), ["a.png", "b/10.png", "b/2.png"], id="folders after files"),
        pytest.param((".a.png", ".b/c.png", "d.png"), ["d.png"], id="hidden"),
        pytest.param(("Prüfung/検査 图.png",), ["Prüfung/検査 图.png"], id="non-ASCII"),
        pytest.param((LONG,), [LONG], id="very long"),
    ],
)
def test_walk(tree: Any, names: tuple[str, ...], found: list[str]) -> None:
    root = tree(*names)
    (root / "notes.txt").touch()

    files = image_files(root)

    assert [file.relative_to(root).as_posix() for file in files] == found
    for file in files:
        assert read_image(file).shape == (12, 16, 3)


@pytest.mark.skipif(os.name == "nt", reason="making links needs rights on Windows")
def test_links(tree: Any, tmp_path: Path) -> None:
    root = tree("in/a.png", "out/b.png") / "in"
    (root / "loop").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "self.png").symlink_to(root / "self.png")
    (root / "lost.png").symlink_to(root / "nowhere.png")
    (root / "up").symlink_to(tmp_path)

    names = [file.relative_to(root).as_posix() for file in image_files(root)]

    assert names == ["a.png", "lost.png", "self.png", "up/out/b.png"]  # broken links are for the reader to report


def test_a_named_file_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "x.dat").touch()

    assert image_files(tmp_path / "x.dat") == [tmp_path / "x.dat"]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file or folder"):
        image_files(tmp_path / "x")
