"""The page docs/results/naming.md from docs/results/naming.jsonl; `python benchmarks/naming.py --page` calls it."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from blemish.files import replaced
from blemish.inspection import UNKNOWN_DEFECT

PAPER = Path(__file__).with_name("paper_tables.csv")
DATASETS = {"magnetic_tile": "mtd"}
METRICS = {
    "accuracy": ("accuracy", "Acc"),
    "miou": ("mIoU", "mIoU"),
    "i_auroc": ("I-AUROC", "I-AUROC"),
    "p_auroc": ("P-AUROC", "P-AUROC"),
    "aupro_30": ("PRO 0.3", "PRO"),
}
ABSENT = "–"
LEFT_OUT = "leaving out "  # and a category, as the name of a variant
_HEAD = """# Naming defects from one or two examples

Written by `python benchmarks/naming.py --page` from `naming.jsonl`; do not edit. What was tried on the way and how
things were chosen: [uniadc.md](uniadc.md).

K_n normal images train the model, K_a labelled images of each category teach it names (K_a = 0: the categories' names
alone, painted). Shots are drawn by seed; test images that show the same part as a labelled shot are left out, and under
`by group` those of the same part as a normal shot or training image too. Accuracy is over the categories and normal,
mIoU over the categories and background, both at the model's own threshold. It asks for a false-alarm rate of 30 % of
the parts; a part counts once, with the highest score of its images, so far fewer images are called defective. With 1, 2
or 4 normal images nothing can be promised, and the threshold is never below the model's floor. Percent, mean ±
sample standard deviation over n seeds.

`blemish` is the preset `fast` as it ships, but for two things. The detection was added to OneNIP's map when these
rows were run and is joined with it by square roots now; on one draw that brings 1.6 and 4.9 points of P-AP and leaves
accuracy, mIoU and I-AUROC within 0.3. Each training image had one pseudo-anomalous version, where few images have
several now; what that changes here was not measured. `transplant` is the same without painted defects where there are
examples, and the variants that begin with it leave out or change one thing more. `nearest class mean` takes OneNIP's
regions and names each by the mean features of the same examples.

The paper's figures are of another encoder (DINOv3 or CLIP, 512 px; here an ImageNet network), of one draw of shots, by
image, and of the checkpoint that was best on the test set; its maps are scaled over the whole test set. They are there
for orientation.
"""


def write_page(source: Path) -> None:
    """Write the page beside its source."""
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    text = "\n".join([_HEAD, *_sections(rows)])
    with replaced(source.with_suffix(".md")) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def _sections(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    for product in sorted({row["product"] for row in rows}):
        yield f"## {product}\n"
        own = [row for row in rows if row["product"] == product]
        for split in sorted({row["split"] for row in own}, reverse=True):
            yield f"### By {split}\n"
            here = [row for row in own if row["split"] == split]
            left_out = [row for row in here if row["variant"].startswith(LEFT_OUT)]
            yield from _table([row for row in here if row not in left_out], _paper(product) if split == "image" else [])
            if left_out:
                yield from _unknown(left_out)
        yield "Runs, each with the code of its commit:\n"
        yield from _runs(own)
        yield ""


def _runs(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The commands; those that differ in their seeds only as one."""
    found: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for row in rows:
        command = re.sub(r" --seeds( \d+)+", "", row["command"])
        found[row["commit"], row["machine"], command].add(row["seed"])
    for (commit, machine, command), seeds in sorted(found.items()):
        yield f"- `{command} --seeds {' '.join(map(str, sorted(seeds)))}`, commit {commit}, {machine}"


def _table(rows: Sequence[dict[str, Any]], paper: Sequence[tuple[Any, int, str, dict[str, str]]]) -> Iterator[str]:
    heads = ["K_n", "K_a", "variant", "encoder", "n", "test images", *(name for name, _ in METRICS.values())]
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join(['---'] * len(heads))} |"
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["normals"], row["defects"], row["variant"], f"{row['encoder']}, {row['size']} px"].append(row)
    lines = [(_order(key), _ours(key, group)) for key, group in found.items()]
    settings = {key[:2] for key in found}
    lines += [
        (
            (*_order((kn, ka))[:2], "~" + method),
            f"| {kn} | {ka} | paper, {method} | {ABSENT} | 1 | {ABSENT} | {cells} |",
        )
        for kn, ka, method, values in paper
        if (kn, ka) in settings
        for cells in [" | ".join(values.get(name, ABSENT) for _, name in METRICS.values())]
    ]
    yield from (line for _, line in sorted(lines, key=lambda entry: entry[0]))
    yield ""


def _unknown(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Where the defects land of a category that was not taught."""
    yield "One category left out, of the images that were found defective:\n"
    heads = ["K_n", "K_a", "left out", "n", "its images called unknown", "others called unknown", "unknown AUROC"]
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join(['---'] * len(heads))} |"
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["normals"], row["defects"], row["variant"]].append(row)
    for key, group in sorted(found.items(), key=lambda item: _order(item[0])):
        name = key[2].removeprefix(LEFT_OUT)
        cells = [
            _mean(_called_unknown(row["confusion"], name, own=True) for row in group),
            _mean(_called_unknown(row["confusion"], name, own=False) for row in group),
            _mean(row["unknown_auroc"] for row in group),
        ]
        yield f"| {key[0]} | {key[1]} | {name} | {len(group)} | {' | '.join(cells)} |"
    yield ""


def _called_unknown(confusion: dict[str, Any], left_out: str, *, own: bool) -> float | None:
    """Share of the defective images with a finding, of the category that was left out or of the others."""
    normal, unknown = (confusion["columns"].index(name) for name in ("normal", UNKNOWN_DEFECT))
    counts = [
        row
        for name, row in zip(confusion["rows"], confusion["counts"], strict=True)
        if name != "normal" and (name == left_out) == own
    ]
    found = sum(sum(row) - row[normal] for row in counts)
    return sum(row[unknown] for row in counts) / found if found else None


def _order(key: Sequence[Any]) -> tuple[Any, ...]:
    return (10**6 if key[0] == "all" else key[0], *map(str, key[1:]))


def _ours(key: tuple[Any, ...], rows: Sequence[dict[str, Any]]) -> str:
    normals, defects, variant, encoder = key
    tested = sorted({row["test_normal"] + row["test_defective"] for row in rows})
    images = f"{tested[0]}–{tested[-1]}" if len(tested) > 1 else str(tested[0])
    cells = " | ".join(_mean(row[name] for row in rows) for name in METRICS)
    return f"| {normals} | {defects} | {variant} | {encoder} | {len(rows)} | {images} | {cells} |"


def _mean(values: Iterable[float | None]) -> str:
    known = [100 * value for value in values if value is not None]
    if not known:
        return ABSENT
    return f"{fmean(known):.1f}" + (f" ± {stdev(known):.1f}" if len(known) > 1 else "")


def _paper(product: str) -> list[tuple[Any, int, str, dict[str, str]]]:
    """The paper's rows: K_n, K_a, method, metric → percent."""
    if product not in DATASETS:
        return []
    rows: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    with open(PAPER, encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["paper"] == "uniadc" and line["dataset"] == DATASETS[product]:
                rows[line["setting"], line["method"]][line["metric"]] = line["value"]
    found = []
    for (setting, method), values in rows.items():
        kn, ka = (int(part.partition("=")[2]) for part in setting.split(","))
        if method.startswith(("UniADC", "PatchCore")):
            found.append((kn, ka, method, values))
    return found
