"""The page docs/results/real.md from docs/results/real.jsonl; `python benchmarks/real.py --page` calls it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from tables import ABSENT, spread, table

from blemish.evaluation.metrics import clopper_pearson
from blemish.files import replaced

PAPER = Path(__file__).with_name("paper_tables.csv")
PAPER_TABLE = "per-product (Tab. 5/6)"
PAPER_METHODS = ("OneNIP", "UniAD", "PatchCore")

I_AUROC_OVER = ("magnetic_tile", "pcb", "screw", "mono", "poly")
P_AP_OVER = ("magnetic_tile", "pcb")
METRICS = {
    "i_auroc": "I-AUROC",
    "i_ap": "I-AP",
    "i_f1max": "I-F1max",
    "p_auroc": "P-AUROC",
    "p_ap": "P-AP",
    "p_f1max": "P-F1max",
    "aupro_30": "AUPRO 0.3",
    "aupro_05": "AUPRO 0.05",
    "retrieval_accuracy": "retrieval",
}
PIXEL_METRICS = frozenset({"p_auroc", "p_ap", "p_f1max", "aupro_30", "aupro_05"})
NO_PIXEL_METRICS = frozenset({"screw"})


@dataclass(frozen=True)
class Product:
    """One product as it stands on the page: its normal training images, where it comes from, what to mind."""

    name: str
    training: int
    source: str
    note: str


PRODUCTS = (
    Product(
        "magnetic_tile",
        701,
        "MTD, as published",
        "701 training images in 120 groups. A tile was photographed several times, so whole groups of near-duplicates "
        "train or test; with `split by image` 762 images train and shots of one tile stand on both sides.",
    ),
    Product("pcb", 300, "DeepPCB, 160 px tiles", "Masks are boxes."),
    Product("screw", 320, "MVTec AD, 512 px", "Image level only: its masks were re-assigned after the fact."),
    Product("mono", 220, "ELPV, monocrystalline", "No masks."),
    Product("poly", 220, "ELPV, polycrystalline", "No masks."),
    Product("hazelnut", 50, "MVTec AD, reduced, 256 px", "Too small to rank anything: printed, not averaged."),
    Product("transistor", 50, "MVTec AD, reduced, 256 px", "Too small to rank anything: printed, not averaged."),
)


class Results:
    """The lines of `real.jsonl` by variant, seed, product and part; variants in the order of their first line."""

    def __init__(self, lines: Iterable[dict[str, Any]]) -> None:
        self._lines = {(one["variant"], one["seed"], one["product"], one["part"]): one for one in lines}
        self.variants = list(dict.fromkeys(variant for variant, *_ in self._lines))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._lines.values())

    def seeds(self, variant: str) -> list[int]:
        return sorted({seed for one, seed, *_ in self._lines if one == variant})

    def of(self, variant: str, product: str, part: str = "all") -> list[dict[str, Any]]:
        """One line per seed that has one."""
        keys = ((variant, seed, product, part) for seed in self.seeds(variant))
        return [self._lines[key] for key in keys if key in self._lines]

    def means(self, variant: str, metric: str, products: Sequence[str], part: str) -> list[float]:
        """Per seed the mean over the products, of the seeds that have all of them."""
        means = []
        for seed in self.seeds(variant):
            lines = [self._lines.get((variant, seed, product, part), {}) for product in products]
            values = [line.get(metric) for line in lines]
            known = [value for value in values if value is not None]
            if len(known) == len(products):
                means.append(fmean(known))
        return means


def write_page(lines: Path) -> None:
    """Write `real.md` beside `lines`, from its JSON lines alone."""
    results = Results(json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines() if line.strip())
    with replaced(lines.with_suffix(".md")) as temporary:
        temporary.write_text(page(results), encoding="utf-8", newline="\n")


def page(results: Results) -> str:
    """The page as Markdown."""
    parts = [_introduction(results), _summary(results), *(_product(results, one) for one in PRODUCTS), _runs(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _introduction(results: Results) -> str:
    rows = [
        [one.name, one.source, str(one.training), *_test_counts(results, one.name), one.note]
        for one in PRODUCTS
        if _any_line(results, one.name)
    ]
    head = ["product", "images", "normal, train", "normal, test", "defective, test", "note"]
    return f"""\
# Real images: one model for all products

Written by `python benchmarks/real.py --page` from `real.jsonl`; do not edit.

One model is trained on the normal images of all products together and is never told which product an image shows;
only the memory bank (`bank`) and `per product` are told, have one model for each and set no threshold. Images are
squashed to 224 px; the backbone is ResNet-18 (ImageNet) unless a variant's name says otherwise. `bank` compares levels
of strides 8 and 16 as they are, 20,000 patches a product; `uniad` reconstructs the same levels, standardised, with the
steps and the optimiser of `fast`; `fast` searches in them, and its refiner also sees stride 4. `maps added` joins the
distance and the refiner's map as the paper does, `fast` by their square roots.{_peers(results)}

Protocol `honest`: no test image touches weights, fusion, threshold or the choice of a checkpoint, and thresholds come
from normal training images, `held out` or `all`: those held out and those that train, each compared with the others
alone. Variants themselves were chosen on one half of the test images, see below.

{table(head, rows)}"""


def _peers(results: Results) -> str:
    if not any(variant.startswith("anomalib") for variant in results.variants):
        return ""
    text = """ anomalib's models
run in its own package (`benchmarks/peers.py`), with the same weights and images; `one class` merges the normal images
of all products, for it has no multi-product mode."""
    if any("PatchCore" in variant for variant in results.variants):
        text += """ PatchCore keeps one patch in a thousand: choosing its default of one in ten
would go 146,000 times through 1.46 million patches. `per product` leaves it a few dozen to a few hundred patches, and
more of them were not tried; `bank` has 20,000, drawn at random."""
    return text


def _any_line(results: Results, product: str) -> bool:
    return any(results.of(variant, product) for variant in results.variants)


def _test_counts(results: Results, product: str) -> list[str]:
    """Normal and defective test images, of the first variant that has the product."""
    line = next(lines[0] for variant in results.variants if (lines := results.of(variant, product)))
    return [str(line[rate][1]) if line[rate] else "0" for rate in ("false_alarms", "recall")]


def _summary(results: Results) -> str:
    rows = []
    for variant in results.variants:
        row = [variant, str(len(results.seeds(variant)))]
        for part in ("all", "report"):
            row.append(spread(results.means(variant, "i_auroc", I_AUROC_OVER, part)))
            row.append(spread(results.means(variant, "p_ap", P_AP_OVER, part)))
        rows.append([*row, _seconds(results, variant), _memory(results, variant)])
    head = ["variant", "n", "I-AUROC", "P-AP", "I-AUROC, report", "P-AP, report", "training, s", "memory, GB"]
    return f"""\
## Summary

Percent: mean ± sample standard deviation over n seeds, of the mean over products. I-AUROC is averaged over
{", ".join(I_AUROC_OVER)}; P-AP over {", ".join(P_AP_OVER)}. `report` is the half of the
test images, divided by a hash of their names, on which no variant was chosen ([onenip.md](onenip.md)); the other
columns are of all test images. Memory is the most that the process held, training and inspecting, where it was
measured. Rows were timed on different processors, some beside other work: their training times do not compare.
Where `all` normal images set the thresholds, the times hold the comparison of those that train, three to six minutes
(not those of `fast` with ResNet-18).

{table(head, rows)}"""


def _seconds(results: Results, variant: str) -> str:
    """Training time over the seeds; a variant that trains nothing has none."""
    seconds = {line["seed"]: line["train_seconds"] for line in results if line["variant"] == variant}
    return spread(list(seconds.values()), scale=1, digits=0) if any(seconds.values()) else ABSENT


def _memory(results: Results, variant: str) -> str:
    """Peak of memory over the seeds that have one."""
    peaks = {line["seed"]: line.get("peak_megabytes") for line in results if line["variant"] == variant}
    return spread([peak for peak in peaks.values() if peak], scale=1 / 1024)


def _product(results: Results, product: Product) -> str:
    if not _any_line(results, product.name):
        return ""
    rows, counts = [], []
    for variant in results.variants:
        lines = results.of(variant, product.name)
        if lines:
            rows.append([variant, *(_metric(lines, product.name, metric) for metric in METRICS)])
            counts.append([variant, _set_by(lines), *_verdicts(variant, lines)])
    paper, settings = _paper_rows(product.name)
    beside = f"\n\nOneNIP's paper, {PAPER_TABLE}, {settings}: original images, other features." if paper else ""
    return f"""\
## {product.name}

{product.note}{beside}

{table(["percent", *METRICS.values()], rows + paper)}

{table(["at the threshold", "set by", "false alarms", "escapes"], counts)}"""


def _metric(lines: list[dict[str, Any]], product: str, metric: str) -> str:
    if product in NO_PIXEL_METRICS and metric in PIXEL_METRICS:
        return ABSENT
    return spread([line[metric] for line in lines if line[metric] is not None])


def _set_by(lines: list[dict[str, Any]]) -> str:
    """The normal images that the threshold comes from; with which seeds, where these differ."""
    if all(line["compared"] is None for line in lines):
        return ABSENT
    seeds = [str(line["seed"]) for line in lines if line["compared"]]
    if not seeds:
        return "held out"
    return "all" if len(seeds) == len(lines) else f"all with seed {', '.join(seeds)}, else held out"


def _verdicts(variant: str, lines: list[dict[str, Any]]) -> list[str]:
    """False alarms and escapes; memory bank and peers are scored without a threshold."""
    if variant.startswith(("bank", "anomalib")):
        return [ABSENT, ABSENT]
    alarms = [line["false_alarms"] for line in lines if line["false_alarms"]]
    escapes = [[total - count, total] for count, total in (line["recall"] for line in lines if line["recall"])]
    return [_count(alarms), _count(escapes)]


def _count(counted: list[list[int]]) -> str:
    """Mean over the seeds, from the lower end of the lowest seed's interval to the upper end of the highest's: seeds
    judge the same images, so they are not independent trials whose counts could be added."""
    if not counted:
        return ABSENT
    total = counted[0][1]
    intervals = [clopper_pearson(count, total) for count, _ in counted]
    low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
    mean = f"{fmean(one for one, _ in counted):.1f}".removesuffix(".0")
    return f"{mean} of {total} ({100 * low:.1f}–{100 * high:.1f} %)"


def _paper_rows(product: str) -> tuple[list[list[str]], str]:
    """The paper's figures of a product in the columns of ours, and the settings in which they were measured."""
    with open(PAPER, encoding="utf-8", newline="") as file:
        own = [
            line
            for line in csv.DictReader(file)
            if (line["paper"], line["table"], line["dataset"], line["product"])
            == ("onenip", PAPER_TABLE, "mvtec", product)
        ]
    rows = []
    for method in PAPER_METHODS:
        values = {line["metric"]: f"{float(line['value']):.1f}" for line in own if line["method"] == method}
        if values:
            cells = (
                ABSENT if product in NO_PIXEL_METRICS and metric in PIXEL_METRICS else values.get(label, ABSENT)
                for metric, label in METRICS.items()
            )
            rows.append([f"{method}, in the paper", *cells])
    return rows, "; ".join(sorted({f"“{line['setting']}”" for line in own}))


def _runs(results: Results) -> str:
    runs: dict[tuple[str, str, str, str], list[int]] = {}
    for line in results:
        seeds = runs.setdefault((line["variant"], line["command"], line["commit"], line["machine"]), [])
        if line["seed"] not in seeds:
            seeds.append(line["seed"])
    rows = [
        [variant, ", ".join(map(str, sorted(seeds))), f"`{command}`", f"`{commit}`", machine]
        for (variant, command, commit, machine), seeds in runs.items()
    ]
    return f"""\
## How it was run

Ours in the tables above: mean ± sample standard deviation over the seeds. False alarms are normal images that were
rejected, escapes defective images that passed: mean number over the seeds and, in brackets, from the lower end of the
lowest seed's 95 % Clopper–Pearson interval to the upper end of the highest seed's. {ABSENT}: not measured or not
defined.

{table(["variant", "seeds", "command", "commit", "machine"], rows)}"""
