"""Textures for Perlin pastes: procedural ones and those of a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.errors import DataError
from blemish.synthesis.pseudo import PseudoAnomalies, PseudoAnomalyConfig
from blemish.synthesis.sources import FolderTextures, ProceduralTextures


def test_procedural_textures_depend_on_seed_and_index_alone() -> None:
    first, second = ProceduralTextures(48, 1, count=6), ProceduralTextures(48, 1, count=6)
    forwards = [first[index] for index in range(6)]
    backwards = [second[index] for index in reversed(range(6))]
    for one, other in zip(forwards, reversed(backwards), strict=True):
        assert one.shape == (48, 48, 3)
        assert one.dtype == np.uint8
        np.testing.assert_array_equal(one, other)
    assert first[3] is forwards[3]
    assert (ProceduralTextures(48, 2, count=6)[0] != forwards[0]).any()


def test_folder_textures_pass_over_damaged_files(tmp_path: Path) -> None:
    Image.new("RGB", (30, 50), (10, 20, 30)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    (tmp_path / "more").mkdir()
    Image.new("L", (64, 64), 99).save(tmp_path / "more" / "c.png")
    (tmp_path / "notes.txt").write_text("no texture")
    textures = FolderTextures(tmp_path, 40)
    assert len(textures) == 3
    assert [int(textures[index][5, 5, 0]) for index in range(3)] == [10, 99, 99]
    assert textures[1].shape == (40, 40, 3)
    config = PseudoAnomalyConfig(cutpaste_probability=0)
    anomalous, masks = PseudoAnomalies(40, 0, textures, config).make(np.zeros((4, 40, 40, 3), dtype=np.uint8), range(4))
    assert masks.any(axis=(1, 2)).all()
    assert anomalous.any()


def test_a_folder_without_textures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="texture"):
        FolderTextures(tmp_path, 40)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="texture"):
        FolderTextures(tmp_path, 40)[0]
