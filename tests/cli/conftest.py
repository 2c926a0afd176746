"""The command line on a model without a network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from blemish.data.problem import Problem
from blemish.inspector import Inspector

Run = Callable[..., Any]
Draw = Callable[..., Path]


@pytest.fixture
def model(fake_inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder; loading it gives the fake model with the folder's calibration and regions of interest."""
    from blemish import model_folder
    from blemish.calibration import Calibration

    path = tmp_path / "line.blemish"
    fake_inspector.save(path)

    def load(folder: str | Path, **_: Any) -> Inspector:
        found = model_folder.locate(folder, offline=True)
        header = model_folder.read_header(found)
        calibration = Calibration.load(found / model_folder.CALIBRATION)
        rois, seen = model_folder.read_rois(found, header), model_folder.read_seen(found)
        return Inspector(fake_inspector.engine, header.products, header.train, calibration, rois, seen=seen)

    monkeypatch.setattr(Inspector, "load", load)
    return path


@pytest.fixture
def teachings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Teaching that teaches nothing and notes what it was asked for; the module's `problems` are
    reported."""
    noted: list[dict[str, Any]] = []
    problems: list[Problem] = []

    def teach(inspector: Inspector, examples: Any, config: Any, *, progress: Any, **options: Any) -> Any:
        noted.append({"inspector": inspector, "examples": list(examples), "config": config, **options})
        progress(SimpleNamespace(stage="features", done=2, total=2, seconds_left=None, losses={}))
        progress(SimpleNamespace(stage="training", done=1, total=9, seconds_left=61.0, losses={"dice": 0.5}))
        return replace(inspector, categories={"nut": ("spot",)}), tuple(problems)

    module = ModuleType("blemish.training.teach")
    module.teach = teach  # type: ignore[attr-defined]
    module.problems = problems  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "blemish.training.teach", module)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    return noted


@pytest.fixture
def defects(draw: Draw, tmp_path: Path) -> Path:
    """Two spots of nuts, one of them with a mask."""
    draw("defects/nut/spot/a.png", "nut", defect=True)
    draw("defects/nut/spot/a_mask.png", mask=True, defect=True)
    draw("defects/nut/spot/b.png", "nut", defect=True)
    return tmp_path / "defects"
