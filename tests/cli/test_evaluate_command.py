from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blemish.data.dataset import Dataset
from blemish.data.duplicates import file_hash
from blemish.evaluation.scorecard import Scorecard

pytestmark = pytest.mark.core
Draw = Callable[..., Path]


@pytest.fixture(autouse=True)
def _scipy() -> None:
    pytest.importorskip("scipy")


def test_table_report_and_scorecard(run: Any, model: Path, parts: Path, tmp_path: Path) -> None:
    report, card = tmp_path / "r.html", tmp_path / "card.json"
    result = run("evaluate", model, parts, "--report", report, "--json", card)
    assert result.exit_code == 0, result.output
    assert "Metrics in percent, protocol honest" in result.output
    nut = next(line.split() for line in result.output.splitlines() if line.split()[:1] == ["nut"])
    assert nut[1:4] == ["100.0", "100.0", "100.0"]
    assert f"Report: {report}" in result.output
    assert report.is_file()
    loaded = Scorecard.load(card)
    assert (loaded.meta["model"], loaded.meta["split"]) == (str(model), "group")
    assert len(loaded.records) == 8


def test_images_that_the_model_has_seen_are_noted(run: Any, model: Path, parts: Path) -> None:
    (model / "seen.txt").write_text(file_hash(parts / "nut/test/good/0.png") + "\n")
    assert "2 test images trained or calibrated this model" in run("evaluate", model, parts).output


def test_the_paper_protocol_is_marked(run: Any, model: Path, parts: Path, tmp_path: Path) -> None:
    result = run("evaluate", model, parts, "--protocol", "paper", "--json", tmp_path / "card.json")
    assert result.exit_code == 0, result.output
    assert "protocol paper (transductive)" in result.output
    assert "score depends on the other test images" in result.output
    assert json.loads((tmp_path / "card.json").read_text())["protocol"] == "paper (transductive)"


def test_unreadable_images_exit_with_3(run: Any, model: Path, parts: Path) -> None:
    for index in range(2):
        (parts / f"nut/test/good/{index}.png").write_text("hello")
    result = run("evaluate", model, parts)
    assert result.exit_code == 3
    assert "0.png is not an image" in result.output


def test_many_warnings_are_counted(run: Any, model: Path, parts: Path, draw: Draw) -> None:
    for index in range(2, 10):
        draw(f"parts/nut/test/spot/{index}.png", "nut", defect=True)
        (parts / f"nut/ground_truth/spot/{index}_mask.png").write_text("hello")
    output = run("evaluate", model, parts).output
    assert "… and 3 more: --json FILE has all of them." in output


def test_data_without_a_split_is_split_as_for_training(
    run: Any, model: Path, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[tuple[str, int]] = []
    from_folder = Dataset.from_folder

    def noted(*roots: Any, split: Any, seed: int) -> Dataset:
        seeds.append((split, seed))
        return from_folder(*roots, split=split, seed=seed)

    monkeypatch.setattr(Dataset, "from_folder", noted)
    for index in range(8):
        draw(f"p/nut/good/{index}.png", "nut")
    draw("p/nut/bad/0.png", "nut", defect=True)
    run("evaluate", model, tmp_path / "p")
    run("evaluate", model, tmp_path / "p", "--split", "image", "--seed", 0)
    assert seeds == [("group", 3), ("image", 0)]


def test_no_test_images(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    for index in range(3):
        draw(f"plain/nut/{index}.png", "nut")
    result = run("evaluate", model, tmp_path / "plain")
    assert result.exit_code == 2
    assert "no test images" in result.output
