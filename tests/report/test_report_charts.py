from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from blemish.evaluation.report.charts import Series, histogram, precision_recall_curve, roc_curve
from blemish.evaluation.report.markup import counted, number, text

pytestmark = pytest.mark.core

scores = st.lists(st.floats(-1e6, 1e6, width=32), max_size=30).map(np.array)


def bars(svg: str) -> list[list[tuple[float, float, float]]]:
    """Left end, right end and height of the bars of each row."""
    rows = []
    for path in ElementTree.fromstring(svg).iter("path"):
        if "bar" in (path.get("class") or ""):
            found = re.findall(r"M([-\d.]+) ([-\d.]+)V([-\d.]+)H([-\d.]+)V", path.get("d") or "")
            rows.append([(float(left), float(right), float(base) - float(top)) for left, base, top, right in found])
    return rows


def threshold_at(svg: str) -> float:
    (line,) = (e for e in ElementTree.fromstring(svg).iter("line") if e.get("class") == "threshold")
    return float(line.get("x1") or "nan")


@given(scores, scores, st.none() | st.floats(-1e6, 1e6))
@example(np.array([5e-324]), np.array([1.0]), None)
def test_any_scores_can_be_drawn(
    normal: NDArray[np.float64], defective: NDArray[np.float64], threshold: float | None
) -> None:
    svg = histogram([Series("normal", normal, "normal"), Series("defective", defective, "defective")], threshold)
    if len(normal) + len(defective) == 0:
        assert svg == ""
        return
    assert "nan" not in svg
    for row, values in zip(bars(svg), (normal, defective), strict=True):
        assert bool(row) == bool(len(values))
        assert all(0 <= left < right <= 521 and height > 0 for left, right, height in row)


@pytest.mark.parametrize("factor", [1, 50])
def test_no_bar_mixes_the_two_sides_of_the_threshold(factor: float) -> None:
    values = np.concatenate([np.linspace(1, 3, 21), [3 * factor]])
    svg = histogram([Series("normal", values, "normal")], 2.0)
    at = threshold_at(svg)
    below = [bar for bar in bars(svg)[0] if bar[1] <= at]
    above = [bar for bar in bars(svg)[0] if bar[0] >= at]
    assert len(below) + len(above) == len(bars(svg)[0])
    assert below
    assert above
    assert ("logarithmic" in svg) == (factor > 8)


def test_a_score_on_the_threshold_lies_left_of_it() -> None:
    svg = histogram([Series("normal", np.array([1.0, 2.0, 4.0]), "normal")], 2.0)
    at = threshold_at(svg)
    assert [bar[1] <= at for bar in bars(svg)[0]] == [True, True, False]


def points(svg: str) -> list[tuple[float, float]]:
    """Points of the curve in units of the axes, from the grid lines of the chart."""
    (line,) = ElementTree.fromstring(svg).iter("polyline")
    pairs = [pair.split(",") for pair in (line.get("points") or "").split()]
    return [(round((float(x) - 44) / 210, 3), round(1 - (float(y) - 26) / 210, 3)) for x, y in pairs]


def test_roc_points() -> None:
    svg = roc_curve(np.array([1.0, 2.0]), np.array([2.0, 3.0]), 0.875, (0.5, 1.0))
    assert points(svg) == [(0, 0), (0, 0.5), (0.5, 1), (1, 1)]
    assert "area 87.5 %" in svg
    assert "false-alarm rate 50.0 %, recall 100.0 %" in svg


def test_precision_recall_points() -> None:
    svg = precision_recall_curve(np.array([1.0, 2.0]), np.array([2.0, 3.0]), None, None)
    assert points(svg)[:2] == [(0, 1), (0.5, 1)]
    assert points(svg)[2:4] == [(0.5, 0.667), (1, 0.667)]
    assert "verdict-point" not in svg


def test_long_curves_are_thinned() -> None:
    rng = np.random.default_rng(0)
    svg = roc_curve(rng.random(5000), rng.random(5000) + 0.3, None, None)
    assert len(points(svg)) <= 300
    assert (points(svg)[0], points(svg)[-1]) == ((0, 0), (1, 1))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.5, "0.5"), (2.345678, "2.35"), (99.95, "100"), (1234567, "1,234,567"), (-0.00012, "-0.00012")],
)
def test_numbers(value: float, shown: str) -> None:
    assert number(value) == shown


def test_counts() -> None:
    assert [counted(1, "image"), counted(2000, "image"), counted(2, "box", "boxes")] == [
        "1 image",
        "2,000 images",
        "2 boxes",
    ]


def test_text_is_safe_and_printable() -> None:
    assert (
        text("<a href='x'>&\"\x00\udcff")
        == "&lt;a href=&#x27;x&#x27;&gt;&amp;&quot;\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"
    )
