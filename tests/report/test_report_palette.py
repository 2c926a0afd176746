from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from blemish.evaluation.report.overlay import FINDING_COLOUR, TRUTH_COLOUR
from blemish.evaluation.report.palette import PALETTE, style_sheet, tone
from blemish.inspection import UNKNOWN_DEFECT

pytestmark = pytest.mark.core


def lab(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear RGB → OKLab (Ottosson, 2020)."""
    cones = [[0.4122215, 0.5363325, 0.0514460], [0.2119035, 0.6806995, 0.1073970], [0.0883025, 0.2817188, 0.6299787]]
    axes = [[0.2104543, 0.7936178, -0.0040720], [1.9779985, -2.4285922, 0.4505937], [0.0259040, 0.7827718, -0.8086758]]
    return np.asarray(np.cbrt(colours @ np.transpose(cones)) @ np.transpose(axes), dtype=np.float64)


def linear(colours: Any) -> NDArray[np.float64]:
    shares = np.array(colours) / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


SHADOW = (16, 16, 24)
# How linear RGB looks without the long, the middle and the short cones (Machado, Oliveira and Fernandes, 2009).
SIGHTS = {
    "all": (np.eye(3).tolist(), 0.155),
    "protanopia": (
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        0.1,
    ),
    "deuteranopia": (
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        0.1,
    ),
    "tritanopia": (
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
        0.08,
    ),
}


@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_differ_for_everyone(sight: str) -> None:
    matrix, least = SIGHTS[sight]
    seen = lab(np.clip(linear([*PALETTE, FINDING_COLOUR, TRUTH_COLOUR]) @ np.transpose(matrix), 0, 1))
    distances = np.linalg.norm(seen[:, None] - seen, axis=2)
    assert len(PALETTE) >= 10
    assert distances[~np.eye(len(seen), dtype=bool)].min() > least


def test_colours_are_legible_on_their_shadow() -> None:
    light = linear([*PALETTE, SHADOW]) @ [0.2126, 0.7152, 0.0722]
    assert ((light[:-1] + 0.05) / (light[-1] + 0.05)).min() >= 3, "WCAG 2.2, graphical objects"


def test_colours_keep_to_the_order_of_the_categories() -> None:
    many = tuple(f"category {number}" for number in range(25))
    assert [tone(name, many) for name in many] == [number % 10 for number in range(25)]
    assert (tone(UNKNOWN_DEFECT, many), tone(None, many)) == (None, None)
    assert [int(index) for index in re.findall(r"\.tone-(\d+) ", style_sheet())] == list(range(len(PALETTE)))
