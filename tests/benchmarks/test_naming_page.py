"""The page of the naming benchmark, from a handful of invented lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

COLUMNS = ["normal", "crack", "dent", "unknown defect"]


@pytest.fixture(scope="module")
def naming_page(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("benchmarks/naming_page.py")


def line(**changes: Any) -> dict[str, Any]:
    common = {
        "product": "magnetic_tile",
        "split": "image",
        "normals": 2,
        "defects": 1,
        "seed": 0,
        "variant": "blemish",
        "encoder": "resnet18",
        "size": 320,
        "test_normal": 10,
        "test_defective": 30,
        "unknown_auroc": None,
        "commit": "abc",
        "machine": "here",
        "command": "python benchmarks/naming.py",
    }
    return {**common, **dict.fromkeys(("accuracy", "miou", "i_auroc", "p_auroc", "aupro_30"), 0.5), **changes}


def page(module: ModuleType, tmp_path: Path, lines: list[dict[str, Any]]) -> str:
    source = tmp_path / "naming.jsonl"
    source.write_text("".join(json.dumps(one) + "\n" for one in lines))
    module.write_page(source)
    return source.with_suffix(".md").read_text(encoding="utf-8")


def test_seeds_are_averaged_and_stand_beside_the_paper(naming_page: ModuleType, tmp_path: Path) -> None:
    text = page(naming_page, tmp_path, [line(accuracy=0.5), line(seed=1, accuracy=0.6, test_normal=12)])
    assert "| 2 | 1 | blemish | resnet18, 320 px | 2 | 40–42 | 55.0 ± 7.1 | 50.0 ± 0.0 |" in text
    assert "| 2 | 1 | paper, UniADC(DINO) | – | 1 | – | 65.10 | 34.33 | 92.57 | 86.79 | 83.17 |" in text
    assert "K_n=4" not in text


def test_commands_that_differ_in_their_seeds_stand_once(naming_page: ModuleType, tmp_path: Path) -> None:
    command = "python benchmarks/naming.py --seeds {} --size 320"
    lines = [line(seed=seed, command=command.format(asked)) for seed, asked in ((2, "2"), (0, "0 1"), (1, "0 1"))]
    text = page(naming_page, tmp_path, [*lines, line(seed=3, commit="def")])
    assert "- `python benchmarks/naming.py --size 320 --seeds 0 1 2`, commit abc, here" in text
    assert "- `python benchmarks/naming.py --seeds 3`, commit def, here" in text
    assert text.count("- `python") == 2


def test_splits_stand_side_by_side_and_all_images_come_last(naming_page: ModuleType, tmp_path: Path) -> None:
    lines = [line(normals="all"), line(), line(split="group", aupro_30=None)]
    text = page(naming_page, tmp_path, lines)
    assert text.index("### By image") < text.index("### By group")
    assert text.index("| 2 | 1 | blemish") < text.index("| all | 1 | blemish")
    group = text[text.index("### By group") :]
    assert "paper" not in group
    assert "| 50.0 | – |" in group


def test_where_a_category_lands_that_was_left_out(naming_page: ModuleType, tmp_path: Path) -> None:
    counts = [[9, 1, 0, 0], [2, 6, 1, 1], [1, 1, 0, 3]]
    confusion = {"rows": ["normal", "crack", "dent"], "columns": COLUMNS, "counts": counts}
    lines = [line(), line(variant="leaving out dent", confusion=confusion, unknown_auroc=0.8)]
    text = page(naming_page, tmp_path, lines)
    assert "| 2 | 1 | dent | 1 | 75.0 | 12.5 | 80.0 |" in text
    assert "| leaving out" not in text
