"""What several test folders share: real images, and a model without a network for tests of everything around it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from blemish.config import BackboneConfig
    from blemish.engines.engine import EngineMaps
    from blemish.inspection import Inspection
    from blemish.inspector import Inspector

# Shared machines are slow at times; what a test measures is not time.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

SIZE = 64
COLOURS = {"bolt": (150, 60, 60), "nut": (60, 60, 150), "stranger": (60, 150, 60)}
Draw = Callable[..., Path]

# The core is tested where torch is not installed; there these cannot even be imported.
collect_ignore = [] if find_spec("torch") else ["backbones", "engines", "models", "training"]
collect_ignore += [] if find_spec("sqlalchemy") and find_spec("alembic") else ["serving"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real images, weights and fixtures that does not ship; tests that use it skip without it."""
    folder = Path(os.environ.get("BLEMISH_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared folder at {folder}")
    return folder


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """Loads a script of the repository, such as `benchmarks/real_page.py`; skips where it does not ship."""

    def load(place: str) -> ModuleType:
        path = Path(__file__).parents[1] / place
        if not path.exists():
            pytest.skip(f"{place} is in the repository only")
        spec = spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))  # as Python does for a script, which may import those beside it
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def run() -> Callable[..., Any]:
    """Run `blemish` with arguments; `input` is its standard input."""

    from typer.testing import CliRunner

    from blemish.cli.app import app

    def invoke(*arguments: str | Path, **options: Any) -> Any:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "120"}, **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


class FakeEngine:
    """Finds bolts red, nuts blue, and white spots defective."""

    def run(self, images: NDArray[np.uint8], product: int | None = None) -> EngineMaps:
        from blemish.engines.engine import EngineMaps

        means = images.reshape(len(images), -1, 3).mean(axis=1)
        red, green, blue = means.T
        similarities = np.stack([red > green + 20, blue > green + 20], axis=1).astype(np.float32)
        chosen = similarities.argmax(axis=1) if product is None else np.full(len(images), product)
        whiteness = images.min(axis=3).astype(np.float32) / 255
        return EngineMaps(similarities, chosen.astype(np.int64), whiteness, whiteness**2)

    def save(self, folder: Path, _: BackboneConfig) -> None:
        (folder / "model.safetensors").write_bytes(b"fake")


@pytest.fixture
def fake_inspector() -> Inspector:
    """Bolts and nuts, 20 calibration images each, false-alarm rate 5 %."""
    from blemish.calibration import Calibration, ProductCalibration
    from blemish.config import TrainConfig
    from blemish.inspector import Inspector

    spread = [0.23 + index / 1000 for index in range(20)]
    one = ProductCalibration(scores=spread, peaks=spread, similarities=[1.0] * 20, false_alarm_rate=0.05)
    return Inspector(
        FakeEngine(),
        ("bolt", "nut"),
        TrainConfig.of("paper", model={"size": SIZE}, seed=3),
        Calibration(products={"bolt": one, "nut": one}),
    )


@pytest.fixture
def with_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes models call large spots `spot`, and smaller ones an unknown defect; of bolts they know no categories."""
    from blemish.inspection import UNKNOWN_DEFECT
    from blemish.inspector import Inspector

    judge = Inspector.judge

    def named(*arguments: Any, **options: Any) -> Inspection:
        found = judge(*arguments, **options)
        if found.product != "nut":
            return found
        large = found.mask.sum() > 100
        category, scores = (
            ("spot", {"dent": 0.1, "spot": 0.9}) if large else (UNKNOWN_DEFECT, {"dent": 0.55, "spot": 0.45})
        )
        index = np.where(found.mask & large, 1, -1).astype(np.int16)
        return replace(
            found,
            regions=tuple(replace(region, category=category, category_scores=scores) for region in found.regions),
            category=category if found.defective else None,
            category_scores=scores if found.defective else {},
            categories=("dent", "spot"),
            category_map=index,
        )

    monkeypatch.setattr(Inspector, "judge", named)


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Draw a part below tmp_path: `draw("nut/x.png", "nut", defect=True)`; a mask with `mask=True`."""

    def write(name: str, kind: str = "bolt", *, defect: bool = False, mask: bool = False) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
        pixels[:] = 0 if mask else COLOURS[kind]
        if defect:
            pixels[10:34, 20:44] = 255
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def parts(draw: Draw, tmp_path: Path) -> Path:
    """A data set of bolts and nuts in the MVTec AD layout: per product 2 train, 2 good and 2 defective test images."""
    for product in ("bolt", "nut"):
        for index in range(2):
            draw(f"parts/{product}/train/good/{index}.png", product)
            draw(f"parts/{product}/test/good/{index}.png", product)
            draw(f"parts/{product}/test/spot/{index}.png", product, defect=True)
            draw(f"parts/{product}/ground_truth/spot/{index}_mask.png", mask=True, defect=True)
    return tmp_path / "parts"
