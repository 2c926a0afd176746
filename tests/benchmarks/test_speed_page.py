"""The page of the speed benchmarks, from a handful of invented lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

WHERE = {"device": "x86_64, 2 threads", "commit": "abc", "torch": "2.13"}
RATIO = {"plain_ms": 150.0, "ours_ms": 30.0, "ratio": 5.0, "from": 4.5, "to": 5.5, "turns": 7}
FLOOR = {"operations": 6e9, "operations_plain": 12e9, "rate": 3e11, "rate_bf16": 2e12}


@pytest.fixture(scope="module")
def speed_page(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("benchmarks/speed_page.py")


def page(module: ModuleType, tmp_path: Path, rows: list[dict[str, Any]]) -> str:
    source, target = tmp_path / "speed.jsonl", tmp_path / "performance.md"
    source.write_text("".join(json.dumps({**WHERE, **row}) + "\n" for row in rows))
    module.write_page(source, target)
    return target.read_text(encoding="utf-8")


def test_ratios_stand_beside_goals_and_the_last_measurement_counts(speed_page: ModuleType, tmp_path: Path) -> None:
    old = {"what": "inspect one image", "how": "ONNX Runtime", **RATIO, "ratio": 2.0}
    rows = [old, {**old, **RATIO, **FLOOR}, {"what": "something else", "how": "fast", **RATIO, "plain_ms": 2500.0}]
    text = page(speed_page, tmp_path, rows)
    assert "| inspect one image | ONNX Runtime | 150 ms | 30 ms | **5.0 ×** (4.5 to 5.5, 7 turns) | 3 × |" in text
    assert "| something else | fast | 2.5 s | 30 ms | **5.0 ×** (4.5 to 5.5, 7 turns) | – |" in text
    assert "| 6.0 G (12.0 G) | 300 / 2000 G/s | 20 ms / 3 ms | 30 ms |" in text
    assert "2.0 ×" not in text
    assert "On a GPU" not in text
    assert "- commit abc, x86_64, 2 threads, torch 2.13" in text


def test_what_a_gpu_does(speed_page: ModuleType, tmp_path: Path) -> None:
    training = {
        "what": "training",
        "device": "H200",
        "milliseconds": 36.0,
        "images_per_second": 1777.2,
        "share_of_floor": 0.07,
        "memory_gib": 6.36,
        "projected_minutes": 35.2,
    }
    inspection = {"what": "inspection, batch 32", "device": "H200", "milliseconds": 29.4, "images_per_second": 1088.1}
    text = page(speed_page, tmp_path, [training, {**inspection, "memory_gib": 0.68}])
    assert "| training | H200 | 36 ms | 1,777 | 7 % | 6.4 GiB | 35.2 min |" in text
    assert "| inspection, batch 32 | H200 | 29.4 ms | 1,088 | – | 0.7 GiB | – |" in text
    assert "On a CPU" not in text
