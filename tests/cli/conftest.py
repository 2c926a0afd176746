"""The command line on a model without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from blemish.cli.app import app
from blemish.inspector import Inspector

Run = Callable[..., Any]


@pytest.fixture
def run() -> Run:
    """Run `blemish` with arguments; `input` is its standard input."""

    def invoke(*arguments: str | Path, **options: Any) -> Any:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "120"}, **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


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
