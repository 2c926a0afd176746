from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from blemish.evaluation.report import colour_range, heatmap, outlined, overlay, panel
from blemish.evaluation.report.overlay import COLOURS, FINDING_COLOUR, OPACITY, TRUTH_COLOUR

pytestmark = pytest.mark.core


def oklab(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """sRGB → OKLab (Ottosson, 2020), N×3."""
    x = colours / 255
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.asarray(np.cbrt(linear @ cones.T) @ lab.T, dtype=np.float64)


def test_the_colour_map_is_perceptually_even() -> None:
    steps = np.diff(oklab(COLOURS)[::15], axis=0)
    assert steps[:, 0].min() > 0.8 * steps[:, 0].mean(), "lightness must rise evenly"
    distances = np.linalg.norm(steps, axis=1)
    assert distances.max() < 1.4 * distances.min()


def test_opacity_rises_most_at_the_threshold() -> None:
    assert OPACITY[0] == 0
    assert (np.diff(OPACITY.astype(int)) >= 0).all()
    assert abs(int(np.diff(OPACITY.astype(int)[::4]).argmax()) * 4 - 128) < 16


@pytest.mark.parametrize(
    ("values", "threshold", "expected"),
    [([0.5, 3.0], 2.0, (0.0, 4.0)), ([0.5, 3.0], None, (0.5, 3.0)), ([0.5, 3.0], 0.0, (0.5, 3.0))],
)
def test_colour_range(values: list[float], threshold: float | None, expected: tuple[float, float]) -> None:
    assert colour_range(np.array([values], dtype=np.float32), threshold) == expected


def test_heatmap_clips_to_the_ends() -> None:
    colours = heatmap(np.array([[-5, 0, 1, 2, 9, np.nan]], dtype=np.float32), 0, 2)
    assert colours.dtype == np.uint8
    assert colours.shape == (1, 6, 4)
    assert (colours[0, [0, 5]] == colours[0, 1]).all()
    assert (colours[0, 4] == colours[0, 3]).all()
    assert tuple(colours[0, 3]) == (*COLOURS[255], OPACITY[255])
    assert tuple(colours[0, 2, :3]) == tuple(COLOURS[128])


def test_heatmap_of_a_constant_map() -> None:
    assert (heatmap(np.full((2, 2), 3, np.float32), 3, 3) == heatmap(np.zeros((2, 2), np.float32), 0, 1)).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1"])
def test_overlay_takes_any_mode_and_keeps_the_size(mode: str) -> None:
    image = Image.new("RGB", (31, 17), "grey").convert(mode)
    before = image.tobytes()
    result = overlay(image, np.zeros((8, 8), np.float32), 0, 1, mask=np.ones((8, 8), dtype=bool))
    assert (result.mode, result.size) == ("RGB", (31, 17))
    assert image.tobytes() == before


def test_overlay_colours_high_values_only() -> None:
    image = Image.new("RGB", (64, 64), (90, 90, 90))
    anomaly_map = np.zeros((8, 8), np.float32)
    anomaly_map[:, 4:] = 1
    pixels = np.asarray(overlay(image, anomaly_map, 0, 1))
    assert (pixels[:, :24] == 90).all()
    assert (pixels[:, 48:] != 90).any(axis=2).all()


def test_outlines_of_findings_and_truth() -> None:
    image = Image.new("RGB", (80, 80), "black")
    mask, truth = np.zeros((8, 8), dtype=bool), np.zeros((8, 8), dtype=bool)
    mask[1:4, 1:4], truth[5:7, 5:7] = True, True
    pixels = np.asarray(outlined(image, mask=mask, truth=truth))
    findings, truths = (np.argwhere((pixels == colour).all(axis=2)) for colour in (FINDING_COLOUR, TRUTH_COLOUR))
    assert len(findings)
    assert 8 <= findings.min() <= findings.max() <= 42
    assert len(truths)
    assert 48 <= truths.min() <= truths.max() <= 72


def test_panel_has_three_pictures_of_one_height() -> None:
    result = panel(Image.new("RGB", (100, 50), "red"), np.zeros((4, 4), np.float32), 0, 1, height=40)
    assert result.size == (3 * 80 + 2 * 2, 40)
    assert result.getpixel((81, 20)) == (255, 255, 255)
