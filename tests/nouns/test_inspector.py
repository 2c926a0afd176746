"""The inspector around the network: which product an image is taken for, how it is scaled, what a verdict promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blemish.calibration import Calibration
from blemish.data.decode import load_square
from blemish.errors import ModelError
from blemish.inspection import UNKNOWN_PRODUCT, Failure, Inspection
from blemish.inspector import Inspector

pytestmark = pytest.mark.core
Draw = Callable[..., Path]


def test_a_verdict_says_which_false_alarm_rate_it_keeps(fake_inspector: Inspector, draw: Draw) -> None:
    found = fake_inspector.inspect(draw("x.png"))
    assert (found.requested_rate, found.effective_rate) == (0.05, 1 / 21)
    rates = {"requested": 0.05, "effective": 1 / 21, "expected": 1 / 21, "promised": True}
    assert found.to_dict()["false_alarm_rate"] == rates
    compared = fake_inspector.calibration["nut"].model_copy(update={"compared": True, "fresh": (-2.0, -1.0)})
    unsure = fake_inspector.with_calibration(fake_inspector.calibration.with_product("nut", compared))
    rates = unsure.inspect(draw("x.png", "nut")).to_dict()["false_alarm_rate"]
    assert rates == {"requested": 0.05, "effective": 1 / 21, "expected": 1 / 3, "promised": False}
    stranger = fake_inspector.inspect(draw("y.png", "stranger"))
    assert stranger.to_dict()["false_alarm_rate"] == {**dict.fromkeys(rates), "promised": False}


def test_a_named_product_is_not_in_question(fake_inspector: Inspector, draw: Draw) -> None:
    stranger = draw("x.png", "stranger", defect=True)
    assert fake_inspector.inspect(stranger).product == UNKNOWN_PRODUCT
    named = fake_inspector.inspect(stranger, product="nut")
    assert (named.product, named.defective, named.similarity) == ("nut", True, 0.0)


def test_the_content_of_a_file_is_inspected_like_the_file(fake_inspector: Inspector, draw: Draw) -> None:
    path = draw("x.png", "nut", defect=True)
    of_file = fake_inspector.inspect(path)
    of_content, failure = fake_inspector.inspect_many([path.read_bytes(), b"no image"])
    assert isinstance(of_content, Inspection)
    assert (of_file.source, of_content.source) == (str(path), None)
    assert replace(of_file, source=None).to_dict() == of_content.to_dict()
    np.testing.assert_array_equal(of_file.anomaly_map, of_content.anomaly_map)
    assert isinstance(failure, Failure)
    assert failure.source == "image 1"


class Grey:
    """Knows products by their mean grey, and shows the grey as map."""

    def __init__(self, greys: tuple[float, ...]) -> None:
        self._greys = greys

    def run(self, images: np.ndarray, product: int | None = None):  # type: ignore[no-untyped-def]
        from blemish.engines.engine import EngineMaps

        means = images.reshape(len(images), -1).mean(axis=1)
        similarities = 1 - np.abs(means[:, None] - self._greys) / 255
        chosen = similarities.argmax(axis=1) if product is None else np.full(len(images), product)
        return EngineMaps(similarities.astype(np.float32), chosen, images.mean(axis=3).astype(np.float32) / 255, None)


@pytest.mark.parametrize("value", [500, 1000])
def test_deep_images_are_scaled_as_the_product_that_fits(
    fake_inspector: Inspector, tmp_path: Path, draw: Draw, value: int
) -> None:
    """Bolts lie in 0…1000, nuts in 0…4000: 500 is a bolt of half brightness, 1000 a nut of a quarter."""
    ranges = {"bolt": (0, 1000), "nut": (0, 4000)}
    products = {
        name: one.model_copy(update={"intensity_range": ranges[name]})
        for name, one in fake_inspector.calibration.products.items()
    }
    inspector = replace(fake_inspector, engine=Grey((128.0, 64.0)), calibration=Calibration(products=products))
    Image.fromarray(np.full((64, 64), value, np.uint16)).save(tmp_path / "deep.png")
    eight_bit = draw("plain.png")
    raws = list(inspector.raw_maps([eight_bit, tmp_path / "deep.png", eight_bit]))
    product, grey = {500: ("bolt", 0.5), 1000: ("nut", 0.25)}[value]
    assert raws[1].product == product  # type: ignore[union-attr]
    assert raws[1].reconstruction.mean() == pytest.approx(grey, abs=0.01)  # type: ignore[union-attr]
    (named,) = inspector.raw_maps([tmp_path / "deep.png"], product="nut")
    assert named.reconstruction.mean() == pytest.approx(value / 4000, abs=0.01)  # type: ignore[union-attr]
    assert inspector.seen_pixels(tmp_path / "deep.png").mean() / 255 == pytest.approx(grey, abs=0.01)
    np.testing.assert_array_equal(inspector.seen_pixels(eight_bit), load_square(eight_bit, inspector.size))
    for raw in (raws[0], raws[2]):  # eight bits mean the same for every product: a mean grey of 90
        assert raw.product == "nut"  # type: ignore[union-attr]
        assert raw.reconstruction.mean() == pytest.approx(90 / 255, abs=0.001)  # type: ignore[union-attr]


def test_a_model_of_one_product_scales_deep_images_as_that(fake_inspector: Inspector, tmp_path: Path) -> None:
    one = fake_inspector.calibration["bolt"].model_copy(update={"intensity_range": (0, 1000)})
    calibration = Calibration(products={"bolt": one})
    inspector = replace(fake_inspector, engine=Grey((128.0,)), products=("bolt",), calibration=calibration)
    Image.fromarray(np.full((64, 64), 250, np.uint16)).save(tmp_path / "deep.png")
    (raw,) = inspector.raw_maps([tmp_path / "deep.png"])
    assert raw.reconstruction.mean() == pytest.approx(0.25, abs=0.01)  # type: ignore[union-attr]


def test_a_model_without_products_says_so(fake_inspector: Inspector, draw: Draw) -> None:
    inspector = replace(fake_inspector, products=(), calibration=Calibration())
    for ask in (inspector.inspect, inspector.seen_pixels):
        with pytest.raises(ModelError, match="knows no product yet"):
            ask(draw("a.png"))
