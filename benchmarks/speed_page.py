"""The page docs/performance.md from docs/results/speed.jsonl; `python benchmarks/speed.py --page` calls it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from blemish.files import replaced

GOALS = {
    "inspect one image": 3,
    "inspect a folder": 4,
    "one training step": 4,
    "metrics": 10,
    "UniADC": 10,
}
GOAL_MINUTES = 15  # all 1,000 epochs on one H200
_GPU_STEP = """The goal is {goal} minutes for all 1,000 epochs on one H200; about a minute of the projection is for
features, pool and compilation. Attention is our own pair of Triton kernels (`models/attention_kernel.py`): a forward
and a backward call for 128 images took 0.25 ms where PyTorch's took 0.46 (both with mask and dropout, alone on the
GPU). Dropout elsewhere is a hash as well, and what a step needs is sent without waiting; a step took 19.6 ms before.

What was tried last: blocks that end where the sequence does, a backbone without the stages behind its last level, and
pseudo-anomalies made in a queue of their own. **The spread between runs is as large as any of it.** On one machine,
one after the other: 14.87 ms a step before, 14.78 with the shorter blocks (forward and backward calls alone: 0.344 and
0.319 ms for 192 images). On another: 15.87 ms with the other two changes, right after inspection was measured in the
same process, and 14.47 ms with all three in a process of its own, which is the row above. Why the first of these two
was slower was not found out; the calls alone explain 0.1 ms. Half precision makes the backbone of the pool 11 % faster
and is not used.
"""
_HEAD = """# How fast

Written by `python benchmarks/speed.py --page` from `results/speed.jsonl`; do not edit. `python benchmarks/speed.py`
measures what is said of a CPU, `python benchmarks/gpu.py` the rest.

The plain version (`benchmarks/plain.py`) is OneNIP as the paper draws it, with the same weights: EfficientNet-B4 and
the encoder run on the query and on the prompt image, attention is PyTorch's module, everything is float32, images come
one by one. Both take turns in one run; a ratio is the median over neighbouring turns, beside the smallest and the
largest one.
"""


def write_page(source: Path, target: Path) -> None:
    """Write the page; of rows that were measured several times the last one counts."""
    last: dict[tuple[str, str, str], dict[str, Any]] = {}
    for line in source.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        last[row["what"], row.get("how", ""), row["device"]] = row
    rows = list(last.values())
    text = "\n".join([_HEAD, *_ratios(rows), *_names(rows), *_floors(rows), *_gpu(rows), *_runs(rows)])
    with replaced(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def _ratios(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    found = [row for row in rows if "ratio" in row]
    if not found:
        return
    yield "## On a CPU\n"
    yield "| work | by | plain | Blemish | ratio | goal |"
    yield "|---|---|---|---|---|---|"
    for row in found:
        goal = next((f"{times} ×" for name, times in GOALS.items() if row["what"].startswith(name)), "–")
        ratio = f"**{row['ratio']:.1f} ×** ({row['from']:.1f} to {row['to']:.1f}, {row['turns']} turns)"
        times = f"{_time(row['plain_ms'])} | {_time(row['ours_ms'])}"
        what = row["what"] + (f", {row['images_per_turn']} a turn" if "images_per_turn" in row else "")
        yield f"| {what} | {row['how']} | {times} | {ratio} | {goal} |"
    yield ""


def _names(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    found = [row for row in rows if "accuracy" in row]
    if not found:
        return
    yield "### Names after learning five categories\n"
    yield (
        "Share of unseen drawn images that are named rightly, two examples of each category, in percent; both\n"
        "decoders learn from the same images. On a CPU the products are computed in bf16.\n"
    )
    yield "| decoder | on | accuracy of each seed | mean ± sd |"
    yield "|---|---|---|---|"
    for row in found:
        each = [100 * value for value in row["accuracy"]]
        spread = f"{statistics.mean(each):.1f} ± {statistics.stdev(each):.1f}"
        yield f"| {row['what']} | {row['device']} | {', '.join(f'{value:.1f}' for value in each)} | {spread} |"
    yield ""


def _floors(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    found = [row for row in rows if "rate" in row]
    if not found:
        return
    yield "### The floor\n"
    yield "Operations of products and convolutions, over the rate of a large matrix product on the same machine.\n"
    yield "| work | by | operations (plain) | rate, float32 / bf16 | floor, float32 / bf16 | measured |"
    yield "|---|---|---|---|---|---|"
    for row in found:
        work, plain = (row[name] / 1e9 for name in ("operations", "operations_plain"))
        rates = [row[name] / 1e9 for name in ("rate", "rate_bf16")]
        floors = " / ".join(_time(1000 * work / one) for one in rates)
        yield (
            f"| {row['what']} | {row['how']} | {work:.1f} G ({plain:.1f} G) | {rates[0]:.0f} / {rates[1]:.0f} G/s | "
            f"{floors} | {_time(row['ours_ms'])} |"
        )
    yield ""


def _gpu(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    found = [row for row in rows if "memory_gib" in row]
    if not found:
        return
    yield "## On a GPU\n"
    yield (
        "OneNIP, preset `paper` (EfficientNet-B4, 4 + 4 layers, batch 64, bf16), 3,629 images of 15 products, 224 px.\n"
        "The floor is the operations of a step over the rate of a large bf16 product on that GPU.\n"
    )
    yield "| work | GPU | per step or batch | images/s | of the floor | memory | all 1,000 epochs |"
    yield "|---|---|---|---|---|---|---|"
    for row in found:
        share = f"{100 * row['share_of_floor']:.0f} %" if "share_of_floor" in row else "–"
        total = f"{row['projected_minutes']:.1f} min" if "projected_minutes" in row else "–"
        yield (
            f"| {row['what']} | {row['device']} | {_time(row['milliseconds'])} | {row['images_per_second']:,.0f} | "
            f"{share} | {row['memory_gib']:.1f} GiB | {total} |"
        )
    yield ""
    yield _GPU_STEP.format(goal=GOAL_MINUTES)


def _runs(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "Runs:\n"
    for commit, device, torch in sorted({(row["commit"], row["device"], row["torch"]) for row in rows}):
        yield f"- commit {commit}, {device}, torch {torch}"


def _time(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:.3g} ms"
    if milliseconds < 120_000:
        return f"{milliseconds / 1000:.3g} s"
    return f"{milliseconds / 60_000:.3g} min"
