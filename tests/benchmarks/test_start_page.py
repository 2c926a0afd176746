"""The page on minutes of training, from a handful of invented lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

PRODUCTS = ("magnetic_tile", "pcb", "screw", "mono", "poly")


@pytest.fixture(scope="module")
def start_page(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("benchmarks/start_page.py")


def run(start: str, steps: int, seed: int, value: float, minutes: float) -> list[dict[str, Any]]:
    common = {"start": start, "images": 32, "steps": steps, "seed": seed, "part": "report", "minutes": minutes,
              "command": "python benchmarks/start.py", "commit": "abc1234", "machine": "x86_64"}  # fmt: skip
    metrics = {"i_auroc": value, "p_ap": value - 0.4, "aupro_30": value}
    return [{**common, "product": product, **metrics} for product in PRODUCTS]


@pytest.fixture
def written(start_page: ModuleType, tmp_path: Path) -> tuple[str, ElementTree.Element]:
    rows = [*run("bank", 0, 0, 0.7, 0.0), *run("shipped", 0, 0, 0.75, 0.2)]
    rows += [*run("shipped", 100, 0, 0.8, 2.0), *run("shipped", 100, 1, 0.9, 3.0), *run("random", 100, 0, 0.6, 2.0)]
    rows += run("shipped", 400, 0, 0.9, 6.0)
    lines = tmp_path / "start.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    start_page.write_page(lines, tmp_path / "start.md", tmp_path / "start.svg")
    text = (tmp_path / "start.md").read_text(encoding="utf-8")
    return text, ElementTree.fromstring((tmp_path / "start.svg").read_text(encoding="utf-8"))


def test_the_table(written: tuple[str, ElementTree.Element]) -> None:
    rows = [line for line in written[0].splitlines() if line.startswith(("| bank", "| shipped", "| random"))]
    assert rows[:5] == [
        "| bank | 0 | 1 |  | 70.0 | 30.0 | 70.0 |",
        "| shipped | 0 | 1 | 0.2 | 75.0 | 35.0 | 75.0 |",
        "| shipped | 100 | 2 | 2.5 ± 0.7 | 85.0 ± 7.1 | 45.0 ± 7.1 | 85.0 ± 7.1 |",
        "| shipped | 400 | 1 | 6.0 | 90.0 | 50.0 | 90.0 |",
        "| random | 100 | 1 | 2.0 | 60.0 | 20.0 | 60.0 |",
    ]
    assert "| shipped | 400 | 90.0 / 50.0 | 90.0 / 50.0 | 90.0 | 90.0 | 90.0 |" in rows


def test_the_picture(written: tuple[str, ElementTree.Element]) -> None:
    svg = "{http://www.w3.org/2000/svg}"
    circles = [(float(one.attrib["cx"]), float(one.attrib["cy"])) for one in written[1].iter(f"{svg}circle")]
    assert len(circles) == 2 * 3  # trainings, in two panels
    dashed = [one for one in written[1].iter(f"{svg}path") if "stroke-dasharray" in one.attrib]
    assert len(dashed) == 2 * 2
    (early, late, random) = circles[:3]
    assert early[0] < late[0]
    assert late[1] < early[1] < random[1]  # higher is better, and up
