from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from blemish.data.dataset import Dataset
from blemish.data.duplicates import file_hash
from blemish.data.problem import Problem
from blemish.data.shots import draw_shots
from blemish.errors import ConfigError
from blemish.evaluation.evaluate import evaluate
from blemish.evaluation.scorecard import Scorecard
from blemish.evaluation.spread import Spread

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


@pytest.fixture
def few_shot(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Few-shot evaluation that learns nothing: what it was asked for."""
    noted: list[dict[str, Any]] = []

    def evaluate_few_shot(
        inspector: Any, dataset: Dataset, counts: Any, seeds: Any, *, report: Any, protocol: Any, meta: Any, **more: Any
    ) -> Any:
        noted.append({"counts": counts, "seeds": list(seeds), "protocol": protocol, **more})
        for seed in seeds:
            shots = draw_shots(dataset, counts.normals, counts.defects, seed)
            shots = replace(shots, problems=(Problem(Path("x"), "warning", "Few are left.", "Add some."),))
            card = evaluate(inspector, shots.dataset, meta={**meta, "seed": seed}, report=None if seed else report)
            yield SimpleNamespace(shots=shots, card=card)

    class Counts(SimpleNamespace):
        @classmethod
        def of(cls, text: str) -> Counts:
            if "," not in text:
                raise ConfigError(f"'{text}' is no number of shots.", "Write KN,KA such as 2,1 or all,2.")
            first, second = text.split(",")
            return cls(normals=None if first == "all" else int(first), defects=int(second))

    module = ModuleType("blemish.few_shot")
    module.evaluate_few_shot, module.ShotCounts = evaluate_few_shot, Counts  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "blemish.few_shot", module)
    return noted


def test_few_shot(run: Any, model: Path, few_shot: Any, parts: Path, tmp_path: Path) -> None:
    card, report = tmp_path / "spread.json", tmp_path / "r.html"
    result = run(
        *("evaluate", model, parts, "--shots", "1,1", "--seeds", 2, "--split", "image"),
        *("--json", card, "--report", report),
    )
    assert result.exit_code == 0, result.output
    (asked,) = few_shot
    assert (asked["seeds"], asked["rule"], asked["protocol"], asked["priors"]) == ([0, 1], "image", "honest", None)
    for words in ("Seed 0:", "Seed 1:", "nut: spot: ", "nut: normal: ", "± standard deviation of 2 runs"):
        assert words in result.output
    assert "Few are left." in result.output
    assert f"Scorecard: {card}" in result.output
    assert f"Report of the first seed: {report}" in result.output
    assert report.is_file()
    spread = Spread.load(card)
    assert spread.runs == 2
    assert spread.meta["shots"] == "1,1"


def test_few_shot_with_all_normals_lists_the_last(run: Any, model: Path, few_shot: Any, parts: Path) -> None:
    output = run("evaluate", model, parts, "--shots", "all,1", "--seeds", 1).output
    assert "of 1 run in percent" in output
    assert "nut: spot: " in output


def test_few_shot_mistakes(run: Any, model: Path, few_shot: Any, parts: Path, tmp_path: Path) -> None:
    for options, message in (
        (["--shots", "two"], "no number of shots"),
        (["--shots", "1,9"], "9 shots were asked for"),
        (["--shots", "1,1", "--priors", tmp_path / "no.yaml"], "no.yaml"),
    ):
        result = run("evaluate", model, parts, *options)
        assert result.exit_code == 2, result.output
        assert message in result.output.replace("\n", " ")
        assert "→" in result.output
        assert "Traceback" not in result.output


def test_few_shot_with_unreadable_images_exits_with_3(run: Any, model: Path, few_shot: Any, parts: Path) -> None:
    for index in range(2):
        (parts / f"nut/test/good/{index}.png").write_text("hello")
    assert run("evaluate", model, parts, "--shots", "1,1", "--seeds", 1).exit_code == 3
