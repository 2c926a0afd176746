"""The page docs/results/README.md and its pictures from the lines of all benchmarks; `make results` calls it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any
from xml.sax.saxutils import escape

from naming_page import METRICS as NAMED
from real_page import I_AUROC_OVER, P_AP_OVER, Results
from tables import spread, table

from blemish.files import replaced

NAMING = ((2, 1), ("all", 2))  # normal images and examples of a category, as in the paper's table
_CHARTED = {"bank": "#45379e", "uniad": "#bd420d", "fast": "#176b3c", "fast, embedded": "#855400"}
_HEAD = """# Results

Written by `make results` from the JSON lines that the benchmark scripts append; do not edit. Percent, mean ± sample
standard deviation over seeds, or one seed alone. The test set chooses nothing. Each page names commands, seeds, commits
and machines.

| page | what it says |
| --- | --- |
| [real.md](real.md) | detection on real images, one model for all products |
| [naming.md](naming.md) | names of defects from one or two examples |
| [../performance.md](../performance.md) | speed beside OneNIP as the paper draws it |
| [shipped.md](shipped.md) | a product never seen, from a few prompts |
| [start.md](start.md) | what minutes of training give, from the weights that ship and from random ones |
| [service.md](service.md) | the service under load, and killed |
| [onenip.md](onenip.md), [uniadc.md](uniadc.md), [backbone.md](backbone.md) | what was tried on the way |
"""


def write_page(folder: Path) -> None:
    """Write `README.md` and `detection.svg` into the folder of the lines."""
    real = Results(_lines(folder / "real.jsonl"))
    parts = [_HEAD, _detection(real), _naming(_lines(folder / "naming.jsonl")), _speed(_lines(folder / "speed.jsonl"))]
    _write(folder / "README.md", "\n".join([*parts, _service(_lines(folder / "service.jsonl"))]))
    _write(folder / "detection.svg", chart(real, "i_auroc", I_AUROC_OVER))


def chart(real: Results, metric: str, products: Sequence[str]) -> str:
    """Bars from 50 to 100 %, one for each product and some variants, with the standard deviation as a whisker."""
    left, bar, gap, width = 110, 13, 14, 520
    rows: list[str] = []
    y = 34
    for product in products:
        top = y
        for variant, colour in _CHARTED.items():
            values = [100 * line[metric] for line in real.of(variant, product) if line.get(metric) is not None]
            if not values:
                continue
            mean, spread = fmean(values), stdev(values) if len(values) > 1 else 0.0
            end, low, high = (_at(value, left, width) for value in (mean, mean - spread, mean + spread))
            middle = y + bar / 2 - 1
            rows += [
                f'<rect x="{left}" y="{y}" width="{end - left:.1f}" height="{bar - 2}" fill="{colour}"/>',
                f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 3}v6M{high:.1f} {middle - 3}v6" '
                'stroke="#1b1d27"/>',
                f'<text x="{max(end, high) + 6:.1f}" y="{y + 10}">{mean:.1f}</text>',
            ]
            y += bar
        rows.append(f'<text x="{left - 8}" y="{(top + y) / 2 + 3}" text-anchor="end">{escape(product)}</text>')
        y += gap
    keys = "".join(
        f'<rect x="{left + 110 * place}" y="8" width="11" height="11" fill="{colour}"/>'
        f'<text x="{left + 110 * place + 16}" y="18">{escape(variant)}</text>'
        for place, (variant, colour) in enumerate(_CHARTED.items())
    )
    ticks = "".join(
        f'<path d="M{_at(tick, left, width):.1f} 28V{y - gap + 4}" stroke="#dcdee6"/>'
        f'<text x="{_at(tick, left, width):.1f}" y="{y + 4}" text-anchor="middle">{tick}</text>'
        for tick in range(50, 101, 10)
    )
    spoken = f"I-AUROC of {', '.join(_CHARTED)} on {', '.join(products)}; the table below has the numbers."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 60} {y + 12}" role="img" '
        f'aria-label="{escape(spoken)}" font-family="sans-serif" font-size="11" fill="none">'
        f'<rect width="100%" height="100%" fill="#ffffff"/><g fill="#1b1d27">{ticks}{keys}{"".join(rows)}</g></svg>\n'
    )


def _at(value: float, left: float, width: float) -> float:
    return left + width * (min(max(value, 50), 100) - 50) / 50


def _detection(real: Results) -> str:
    head = ["variant", *(f"{product}, I-AUROC" for product in I_AUROC_OVER), "mean, I-AUROC"]
    head += [*(f"{product}, P-AP" for product in P_AP_OVER), "mean, P-AP"]
    rows = []
    for variant in real.variants:
        cells = [spread([line["i_auroc"] for line in real.of(variant, product)]) for product in I_AUROC_OVER]
        cells.append(spread(real.means(variant, "i_auroc", I_AUROC_OVER, "all")))
        cells += [spread([line["p_ap"] for line in real.of(variant, product)]) for product in P_AP_OVER]
        rows.append([variant, *cells, spread(real.means(variant, "p_ap", P_AP_OVER, "all"))])
    return f"""## Detection

One model for all products, trained on normal images alone; the memory bank (`bank`) is told which product it looks at.

![I-AUROC of four variants by product, with standard deviations](detection.svg)

{table(head, rows)}
"""


def _naming(lines: Sequence[dict[str, Any]]) -> str:
    head = ["K_n", "K_a", "variant", *(name for name, _ in NAMED.values())]
    rows = []
    for normals, defects in NAMING:
        for variant in ("blemish", "nearest class mean"):
            own = [
                line
                for line in lines
                if (line["product"], line["split"], line["size"], line["encoder"])
                == ("magnetic_tile", "image", 320, "densenet169")
                and (line["normals"], line["defects"], line["variant"]) == (normals, defects, variant)
            ]
            cells = [spread([line[metric] for line in own if line[metric] is not None]) for metric in NAMED]
            rows.append([str(normals), str(defects), variant, *cells])
    return f"""## Names

Magnetic tiles, by image: K_n normal images, K_a labelled images of each of five categories.

{table(head, rows)}
"""


def _speed(lines: Sequence[dict[str, Any]]) -> str:
    newest = {(line["what"], line["how"]): line for line in lines if "ratio" in line}
    rows = [[what, how, f"{line['ratio']:.1f} ×"] for (what, how), line in newest.items()]
    return f"""## Speed

Beside OneNIP as the paper draws it, on the same two cores.

{table(["work", "by", "ratio"], rows)}
"""


def _service(lines: Sequence[dict[str, Any]]) -> str:
    newest = {(line["what"], line["engine"]): line for line in lines}
    loads = [line for (what, _), line in newest.items() if what == "load"]
    rows = [
        [
            f"{one['clients']} clients, {one['engine']}",
            f"{one['images_per_second']:.1f} images/s",
            f"{one['ratio']:.2f}",
        ]
        for one in loads
    ]
    return f"""## Service

{table(["load", "answered", "beside plain inspection"], rows)}
"""


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def _write(file: Path, text: str) -> None:
    with replaced(file) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
