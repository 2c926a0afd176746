from __future__ import annotations

import json
import sys
import webbrowser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from blemish.cli import demo as demo_module
from blemish.config import TeachConfig, TrainConfig
from blemish.evaluation.scorecard import Scorecard
from blemish.inspector import Inspector
from blemish.procedural import demo as procedural
from blemish.procedural.products import PRODUCTS


@pytest.fixture
def small(
    monkeypatch: pytest.MonkeyPatch, model: Path, fake_inspector: Inspector, teachings: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The demo with a handful of small images and a model without a network; gives what training was asked for."""
    asked: list[dict[str, Any]] = []

    def train(dataset: Any, config: TrainConfig, *, output: Path, **options: Any) -> Inspector:
        asked.append({"config": config, **options})
        fake_inspector.save(output, overwrite=True)
        return fake_inspector

    module = ModuleType("blemish.training.train")
    module.train = train  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "blemish.training.train", module)

    def few(folder: Path, *, seed: int, train: int, examples: int, overwrite: bool) -> None:
        assert (train, examples) == (60, 2)
        counts = {"train": 2, "test_normal": 1, "test_defective": 1, "examples": 1}
        procedural_demo(folder, seed=seed, size=64, overwrite=overwrite, **counts)

    procedural_demo = procedural.make_demo
    monkeypatch.setattr(procedural, "make_demo", few)
    return asked


def test_the_whole_way(
    run: Any, small: Any, teachings: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scipy")
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    out = tmp_path / "demo"

    result = run("demo", "--output", out, "--seed", 5)

    assert result.exit_code == 0, result.output
    for words in (
        "1. Drawing",
        "2. Looking",
        "3. Training",
        "4. Teaching it the names of the defects",
        "5. Evaluating",
        "Image AUROC, mean of 5 products",
        "Next:",
    ):
        assert words in result.output
    assert f"Report: {out / 'report.html'}" in result.output
    assert (out / "report.html").is_file()
    assert json.loads((out / "images" / procedural.MARKER).read_text())["seed"] == 5
    (asked,) = small
    assert (asked["config"].preset, asked["config"].seed, asked["config"].backbone.name) == ("fast", 5, "embedded")
    assert asked["offline"] is True
    (taught,) = teachings
    assert taught["config"] == TeachConfig.of("fast", seed=3)  # the seed of the fake model
    assert (taught["output"], taught["overwrite"]) == (out / "demo.blemish", True)
    names = {product.name: set(product.defects) for product in PRODUCTS}
    assert {name: {c for e in taught["examples"] if e.product == name for c in e.categories} for name in names} == names
    assert all(marking.exact for example in taught["examples"] for marking in example.markings)
    tested = set((out / "images").glob("*/test/*/*.png"))
    assert not tested & {example.path for example in taught["examples"]}
    assert opened == []

    assert run("demo", "--output", out).exit_code == 2
    again = run("demo", "--output", out, "--overwrite", "--open")
    assert again.exit_code == 0, again.output
    assert opened == [(out / "report.html").resolve().as_uri()]


def test_only_an_earlier_demo_is_replaced(run: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.jpg").write_text("dear")
    for options, message in (([], "exists already"), (["--overwrite"], "holds no earlier demo")):
        result = run("demo", "--output", tmp_path / "mine", *options)
        assert result.exit_code == 2
        assert message in result.output
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["holiday.jpg"]


@pytest.mark.slow
def test_the_demo_is_as_good_as_promised(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    result = run("demo", "--output", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    card = Scorecard.load(tmp_path / "demo" / demo_module.SCORECARD)
    assert card.mean("i_auroc") >= 0.95  # type: ignore[operator]
    accuracy = card.mean("accuracy")
    assert accuracy is not None
    assert f"Defects and normal images named rightly: {100 * accuracy:.1f} %" in result.output
    assert accuracy >= 0.85
