"""The page docs/results/shipped.md from docs/results/shipped.jsonl; `python benchmarks/results.py` calls it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from real_page import I_AUROC_OVER, NO_PIXEL_METRICS, P_AP_OVER
from tables import Line, having, seed_means, spread, table

from blemish.files import replaced

_PAGE = """# A product never seen, from a few prompts

Written by `make results` from [shipped.jsonl](shipped.jsonl); do not edit. What it says: [onenip.md](onenip.md).

No training on the product: some of its normal images are the prompts, drawn by seed, of different parts where these are
known. All variants are told the product.

- `bank`: a memory bank of the same images (embedded backbone, levels of strides 8 and 16, 20,000 patches at most, as in
  [real.md](real.md)).
{variants}

Percent of all test images, mean ± sample standard deviation over n seeds; in the first table of the mean over
{image} (I-AUROC) and over {pixel} (P-AP, AUPRO).

{summary}

## At the threshold

False alarms among normal images / defects missed by `shipped`, in percent, mean ± sample standard deviation over n
seeds, at a requested rate of 1 %. From two prompts on, each is compared with the others to set the threshold, which
about one normal image in (prompts + 1) exceeds; with one prompt, altered copies of it set the threshold, which
promises nothing.

{verdicts}

## By product

{products}

## Runs

{runs}
"""
_TITLES = {
    "shipped": "`shipped`: the model that comes with Blemish, with a refiner trained on procedural products\n"
    "  (`tools/train_shipped.py`).",
    "shipped, share 0": "`share 0`: the same without the refiner, which leaves the distance to the nearest patch of "
    "the prompts and of\n  their altered copies.",
    "shipped, share 0.15": "`share 0.15`, `share 0.6`: less and more weight for the refiner than the 0.3 of `shipped`.",
}


def write_page(lines: Path, page: Path) -> None:
    """Write the page."""
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    text = _PAGE.format(
        variants="\n".join(f"- {title}" for name, title in _TITLES.items() if name in variants),
        image=", ".join(I_AUROC_OVER),
        pixel=", ".join(P_AP_OVER),
        summary=_summary(rows, variants),
        verdicts=_verdicts(rows),
        products=_products(rows, variants),
        runs="\n".join(_runs(rows)),
    )
    with replaced(page) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _counts(rows: Sequence[Line]) -> list[int]:
    return sorted({row["prompts"] for row in rows})


def _summary(rows: Sequence[Line], variants: Sequence[str]) -> str:
    found = []
    for count in _counts(rows):
        for variant in variants:
            own = having(rows, variant=variant, prompts=count, part="all")
            means = {
                metric: seed_means(own, metric, products) for metric, products in
                (("i_auroc", I_AUROC_OVER), ("p_ap", P_AP_OVER), ("aupro_30", P_AP_OVER))
            }  # fmt: skip
            seeds = str(len(means["i_auroc"]))
            found.append([str(count), variant, seeds, *(spread(values) for values in means.values())])
    return table(["prompts", "variant", "n", "I-AUROC", "P-AP", "AUPRO 0.3"], found)


def _verdicts(rows: Sequence[Line]) -> str:
    products = list(dict.fromkeys(row["product"] for row in rows))
    judged = [row for row in rows if row.get("false_alarms")]
    found = []
    for count in _counts(judged):
        own = [{**row, **_shares(row)} for row in having(judged, prompts=count, part="all")]
        over = [spread(seed_means(own, rate, I_AUROC_OVER)) for rate in ("alarmed", "missed")]
        cells = [
            " / ".join(spread([row[rate] for row in having(own, product=product)]) for rate in ("alarmed", "missed"))
            for product in products
        ]
        found.append([str(count), " / ".join(over), *cells])
    return table(["prompts", "mean of five", *products], found)


def _shares(row: Line) -> Line:
    (alarms, normals), (found, defects) = row["false_alarms"], row["recall"]
    return {"alarmed": alarms / normals, "missed": 1 - found / defects}


def _products(rows: Sequence[Line], variants: Sequence[str]) -> str:
    products = list(dict.fromkeys(row["product"] for row in rows))
    found = []
    for count in _counts(rows):
        for variant in variants:
            cells = []
            for product in products:
                own = having(rows, variant=variant, prompts=count, product=product, part="all")
                pixels = [row["p_ap"] for row in own if row["p_ap"] is not None and product not in NO_PIXEL_METRICS]
                image = spread([row["i_auroc"] for row in own])
                cells.append(f"{image} / {spread(pixels)}" if pixels else image)
            found.append([str(count), variant, *cells])
    return "I-AUROC / P-AP.\n\n" + table(["prompts", "variant", *products], found)


def _runs(rows: Sequence[Line]) -> list[str]:
    return sorted({f"- `{row['command']}`, commit {row['commit']}, {row['machine']}" for row in rows})
