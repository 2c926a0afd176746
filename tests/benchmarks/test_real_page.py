"""The results page, from a handful of invented lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from blemish.evaluation.metrics import clopper_pearson

METRICS = ("i_auroc", "i_ap", "i_f1max", "p_auroc", "p_ap", "p_f1max", "aupro_30", "aupro_05", "retrieval_accuracy")
AVERAGED = ("magnetic_tile", "pcb", "screw", "mono", "poly")


@pytest.fixture(scope="module")
def real_page(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("benchmarks/real_page.py")


def line(product: str = "pcb", variant: str = "fast", seed: int = 0, part: str = "all", **changes: Any) -> dict:
    common = {
        "variant": variant,
        "seed": seed,
        "part": part,
        "product": product,
        "train_seconds": 600.0 + seed,
        "seconds": 700.0,
        "command": "python benchmarks/real.py --seeds 0 1",
        "commit": "abc1234",
        "machine": "x86_64, 2 threads",
        "false_alarms": [2, 100],
        "recall": [190, 200],
        "compared": False,
    }
    return {**common, **dict.fromkeys(METRICS, 0.5), **changes}


def written(real_page: ModuleType, folder: Path, lines: list[dict]) -> str:
    path = folder / "real.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    real_page.write_page(path)
    return (folder / "real.md").read_text(encoding="utf-8")


def cells(page: str, section: str, row: str) -> dict[str, str]:
    """The row of a section that starts with `row`, by the heads of its table."""
    text = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [[cell.strip() for cell in one.strip("|").split(" | ")] for one in text.splitlines() if one[:1] == "|"]
    found: dict[str, str] = {}
    head: list[str] = []
    for before, one in zip([[], *lines], lines, strict=False):
        if set(one) == {"---"}:
            head = before
        elif one[0] == row:
            assert len(one) == len(head)
            found.update(zip(head, one, strict=True))
    return found


def test_summary_averages_products_then_seeds(real_page: ModuleType, tmp_path: Path) -> None:
    lines = [
        line(product, seed=seed, part=part, i_auroc=value, p_ap=value)
        for part, shift in (("all", 0.0), ("report", 0.1))
        for seed in (0, 1)
        for product, value in zip(AVERAGED, (0.5 + shift + 0.1 * seed, 0.6 + shift, 0.7, 0.8, 0.9), strict=True)
    ]
    lines += [line("hazelnut", seed=seed, i_auroc=0.0, p_ap=0.0, peak_megabytes=1024 * (2 + seed)) for seed in (0, 1)]
    row = cells(written(real_page, tmp_path, lines), "Summary", "fast")
    assert row == {
        "variant": "fast",
        "n": "2",
        "I-AUROC": "71.0 ± 1.4",
        "P-AP": "57.5 ± 3.5",
        "I-AUROC, report": "75.0 ± 1.4",
        "P-AP, report": "67.5 ± 3.5",
        "training, s": "600 ± 1",
        "memory, GB": "2.5 ± 0.7",
    }


def test_a_mean_without_all_its_products_is_absent(real_page: ModuleType, tmp_path: Path) -> None:
    lines = [line(product, i_auroc=0.8) for product in AVERAGED if product != "poly"]
    row = cells(written(real_page, tmp_path, lines), "Summary", "fast")
    assert (row["I-AUROC"], row["P-AP"], row["P-AP, report"], row["training, s"]) == ("–", "50.0", "–", "600")
    assert row["memory, GB"] == "–"


def test_metrics_and_counts_of_a_product(real_page: ModuleType, tmp_path: Path) -> None:
    lines = [line(seed=0, p_ap=0.2, aupro_05=None), line(seed=1, p_ap=0.4, aupro_05=None, false_alarms=[5, 100])]
    row = cells(written(real_page, tmp_path, lines), "pcb", "fast")
    assert (row["P-AP"], row["I-AP"], row["AUPRO 0.05"]) == ("30.0 ± 14.1", "50.0 ± 0.0", "–")
    low, high = 100 * clopper_pearson(2, 100)[0], 100 * clopper_pearson(5, 100)[1]
    assert row["false alarms"] == f"3.5 of 100 ({low:.1f}–{high:.1f} %)"
    assert row["escapes"].startswith("10 of 200 (")


def test_the_memory_bank_gives_no_verdicts_and_trains_nothing(real_page: ModuleType, tmp_path: Path) -> None:
    page = written(
        real_page, tmp_path, [line(variant="bank", train_seconds=0.0, retrieval_accuracy=None, compared=None)]
    )
    row = cells(page, "pcb", "bank")
    assert (row["false alarms"], row["escapes"], row["retrieval"]) == ("–", "–", "–")
    assert cells(page, "Summary", "bank")["training, s"] == "–"


@pytest.mark.parametrize(
    ("compared", "set_by"),
    [
        ([False, False, False], "held out"),
        ([True, True, True], "all"),
        ([True, False, True], "all with seed 0, 2, else held out"),
        ([None, None, None], "–"),
    ],
)
def test_what_set_the_thresholds(
    real_page: ModuleType, tmp_path: Path, compared: list[bool | None], set_by: str
) -> None:
    page = written(real_page, tmp_path, [line(seed=seed, compared=one) for seed, one in enumerate(compared)])
    assert cells(page, "pcb", "fast")["set by"] == set_by


@pytest.mark.parametrize(
    ("product", "method", "i_auroc", "p_ap"),
    [
        ("screw", "OneNIP", "91.4", "–"),
        ("screw", "PatchCore", "55.9", "–"),
        ("hazelnut", "UniAD", "99.9", "53.6"),
        ("transistor", "OneNIP", "99.8", "84.1"),
    ],
)
def test_the_papers_rows_stand_beside_ours(
    real_page: ModuleType, tmp_path: Path, product: str, method: str, i_auroc: str, p_ap: str
) -> None:
    page = written(real_page, tmp_path, [line(product)])
    row = cells(page, product, f"{method}, in the paper")
    assert (row["I-AUROC"], row["P-AP"], row["retrieval"]) == (i_auroc, p_ap, "–")
    assert "one model per dataset, 224" in page


def test_pixel_metrics_of_screws_are_not_quoted(real_page: ModuleType, tmp_path: Path) -> None:
    row = cells(written(real_page, tmp_path, [line("screw")]), "screw", "fast")
    assert row["I-AUROC"] == "50.0"
    assert {row[name] for name in ("P-AUROC", "P-AP", "P-F1max", "AUPRO 0.3", "AUPRO 0.05")} == {"–"}


def test_products_without_the_papers_figures_or_without_lines(real_page: ModuleType, tmp_path: Path) -> None:
    page = written(real_page, tmp_path, [line("mono")])
    assert "in the paper" not in page
    assert "## poly" not in page
    assert cells(page, "mono", "fast")["I-AP"] == "50.0"


def test_runs_are_listed_once_with_their_seeds(real_page: ModuleType, tmp_path: Path) -> None:
    lines = [line(product, seed=seed) for seed in (1, 0) for product in ("pcb", "mono")]
    page = written(real_page, tmp_path, [*lines, line(seed=2, commit="def5678")])
    runs = [one for one in page.partition("## How it was run")[2].splitlines() if one.startswith("| fast")]
    assert len(runs) == 2
    assert "| 0, 1 | `python benchmarks/real.py --seeds 0 1` | `abc1234` |" in runs[0]
    assert "| 2 |" in runs[1]
    assert "`def5678`" in runs[1]


def test_the_page_depends_on_the_lines_alone(real_page: ModuleType, tmp_path: Path) -> None:
    lines = [line(product, seed=seed) for product in AVERAGED for seed in (0, 1)]
    page = written(real_page, tmp_path, lines)
    assert page == written(real_page, tmp_path, lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real.jsonl", "real.md"]
