from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blemish.calibration import Calibration
from blemish.model_folder import CALIBRATION

pytestmark = pytest.mark.core
Draw = Callable[..., Path]


def stored(model: Path) -> Calibration:
    return Calibration.load(model / CALIBRATION)


@pytest.mark.parametrize(("options", "rates"), [([], (0.2, 0.2)), (["--product", "nut"], (0.05, 0.2))])
def test_only_the_rate(run: Any, model: Path, options: list[str], rates: tuple[float, float]) -> None:
    before = stored(model)
    result = run("calibrate", model, "--false-alarm-rate", 0.2, *options)
    assert result.exit_code == 0, result.output
    assert "requested 20 %, effective 19 %" in result.output
    after = stored(model)
    assert (after["bolt"].false_alarm_rate, after["nut"].false_alarm_rate) == rates
    assert after["nut"].scores == before["nut"].scores


def test_fresh_images(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for index in range(3):
        draw(f"ok/{index}.png", "nut")
    (tmp_path / "ok" / "3.png").write_text("hello")

    result = run("calibrate", model, tmp_path / "ok", "--false-alarm-rate", 0.5, "--product", "nut", "--json")

    assert result.exit_code == 3
    printed = json.loads(result.stdout)
    assert printed["unreadable"] == [str(tmp_path / "ok" / "3.png")]
    assert printed["products"]["nut"]["images"] == 3
    assert printed["products"]["nut"]["requested_rate"] == 0.5
    assert printed["products"]["nut"]["promised"] is True
    assert "3.png is not an image" in result.output
    assert stored(model)["nut"].n == 3
    assert stored(model)["bolt"].n == 20


def test_a_floor_stands_in_for_real_images_until_they_come(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    few = stored(model)["nut"].model_copy(update={"copied": 2, "floor": 9.0})
    stored(model).with_product("nut", few).save(model / CALIBRATION)
    assert run("calibrate", model, "--false-alarm-rate", 0.3).exit_code == 0
    assert (stored(model)["nut"].copied, stored(model)["nut"].threshold) == (2, 9.0)
    for index in range(3):
        draw(f"ok/{index}.png", "nut")
    assert run("calibrate", model, tmp_path / "ok", "--product", "nut").exit_code == 0
    after = stored(model)["nut"]
    assert (after.copied, after.floor) == (None, None)
    assert after.threshold == max(after.scores)


def test_a_region_of_interest_is_stored(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    image, mask = draw("ok/1.png", "nut", defect=True), draw("roi.png", mask=True, defect=True)
    result = run("calibrate", model, image, "--product", "nut", "--roi", mask)
    assert result.exit_code == 0, result.output
    assert (model / "rois" / "1.png").is_file()
    assert stored(model)["nut"].n == 1


def test_another_model_can_be_written(run: Any, model: Path, tmp_path: Path) -> None:
    before = (model / CALIBRATION).read_bytes()
    other = tmp_path / "other.blemish"
    for options, code in (([], 0), ([], 2), (["--overwrite"], 0)):
        assert run("calibrate", model, "--false-alarm-rate", 0.3, "-o", other, *options).exit_code == code
    assert stored(other)["nut"].false_alarm_rate == 0.3
    result = run("calibrate", model, tmp_path, "-o", other)  # said before any image is looked for
    assert (result.exit_code, "exists already" in result.output) == (2, True)
    assert (model / CALIBRATION).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "There is nothing to change"),
        (["--false-alarm-rate", "0.1", "--roi", "x.png"], "needs calibration anew"),
        (["--false-alarm-rate", "1.5"], "not between 0 and 1"),
        (["no-such-folder", "--false-alarm-rate", "5"], "not between 0 and 1"),
        (["--false-alarm-rate", "0.1", "--product", "gear"], "no product 'gear'"),
    ],
)
def test_mistakes_change_nothing(run: Any, model: Path, options: list[str], message: str) -> None:
    before = stored(model)
    result = run("calibrate", model, *options)
    assert result.exit_code == 2
    assert message in result.output
    assert stored(model) == before


def test_a_rate_with_images_is_that_of_their_product_alone(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for index in range(3):
        draw(f"ok/{index}.png", "nut")
    result = run("calibrate", model, tmp_path / "ok", "--false-alarm-rate", 0.4)
    assert result.exit_code == 0, result.output
    assert (stored(model)["nut"].false_alarm_rate, stored(model)["bolt"].false_alarm_rate) == (0.4, 0.05)
    assert stored(model)["nut"].n == 3


@pytest.mark.parametrize(("stray", "seen"), [("bolt", "1 × bolt, 3 × nut"), ("stranger", "3 × nut, 1 × none of")])
def test_images_of_several_products_change_nothing(
    run: Any, model: Path, draw: Draw, tmp_path: Path, stray: str, seen: str
) -> None:
    pytest.importorskip("torch")
    for index in range(3):
        draw(f"ok/{index}.png", "nut")
    draw("ok/stray.png", stray)
    before = stored(model)
    result = run("calibrate", model, tmp_path / "ok")
    assert result.exit_code == 2
    assert seen in result.output
    assert "--product NAME" in result.output
    assert stored(model) == before


def test_a_model_from_the_hub_needs_a_place(run: Any, model: Path) -> None:
    result = run("calibrate", "somebody/something", "--false-alarm-rate", 0.1)
    assert result.exit_code == 2
    assert "--output" in result.output
