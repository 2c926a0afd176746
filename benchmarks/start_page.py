"""The page docs/results/start.md and its picture from docs/results/start.jsonl; `make results` calls it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from xml.sax.saxutils import escape

from real_page import I_AUROC_OVER, P_AP_OVER
from tables import Line, having, seed_means, spread, table

from blemish.files import replaced

_PAGE = """# Minutes of training

Written by `make results` from [start.jsonl](start.jsonl); do not edit. What it says: [onenip.md](onenip.md).

One model for all products with the embedded backbone, from {images} normal images of each, drawn by seed, of
different parts where these are known; its product is told with every image. `random` and `shipped` are trainings by
the preset `fast`, its maps added (`fusion_exponent: 1`) as in the model that ships, from random weights and from
those that ship (`--init shipped`); `shipped` with 0 steps is that model as it is, with the same images as prompts;
`bank` is a memory bank of them. Minutes are those of the whole training: features, pseudo-anomalies, steps,
calibration. These runs made one pseudo-anomalous version of each image; `fast` makes several of each of so few since,
which takes one to two minutes longer and with 400 steps from random weights finds more
([onenip.md](onenip.md#few-images-several-pseudo-anomalies-of-each)).

Percent of the test images of the half `report` of [real.md](real.md), mean ± sample standard deviation over n seeds of
the mean over {image} (I-AUROC) and over {pixel} (P-AP, AUPRO).

![I-AUROC and P-AP over minutes of training, from random weights, from those that ship, and of a memory bank](start.svg)

The picture shows the draws that all points have (seed {common}).

{summary}

## By product

I-AUROC / P-AP.

{products}

## Runs

{runs}
"""
_COLOURS = {"bank": "#45379e", "shipped": "#176b3c", "random": "#bd420d"}
_METRICS = {"i_auroc": ("I-AUROC", I_AUROC_OVER), "p_ap": ("P-AP", P_AP_OVER), "aupro_30": ("AUPRO 0.3", P_AP_OVER)}
_WIDTH, _HEIGHT, _LEFT, _TOP = 300, 190, 44, 40


def write_page(lines: Path, page: Path, picture: Path) -> None:
    """Write the page and its picture."""
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    runs = sorted({f"- `{row['command']}`, commit {row['commit']}, {row['machine']}" for row in rows})
    text = _PAGE.format(
        images=" and ".join(map(str, sorted({row["images"] for row in rows}))),
        image=", ".join(I_AUROC_OVER),
        pixel=", ".join(P_AP_OVER),
        common=", ".join(map(str, sorted(_common(rows)))),
        summary=_summary(rows),
        products=_products(rows),
        runs="\n".join(runs),
    )
    for file, content in ((page, text), (picture, chart(rows))):
        with replaced(file) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="\n")


def _points(rows: Sequence[Line]) -> list[tuple[str, int]]:
    """Start and steps of all runs."""
    order = list(_COLOURS)
    return sorted({(row["start"], row["steps"]) for row in rows}, key=lambda one: (order.index(one[0]), one[1]))


def _summary(rows: Sequence[Line]) -> str:
    found = []
    for start, steps in _points(rows):
        own = having(rows, start=start, steps=steps)
        minutes = [row["minutes"] for row in own if row["product"] == own[0]["product"]]
        values = [seed_means(own, metric, products) for metric, (_, products) in _METRICS.items()]
        cells = [start, str(steps), str(len(values[0])), "" if start == "bank" else spread(minutes, scale=1)]
        found.append([*cells, *map(spread, values)])
    return table(["start", "steps", "n", "minutes", *(title for title, _ in _METRICS.values())], found)


def _products(rows: Sequence[Line]) -> str:
    products = list(dict.fromkeys(row["product"] for row in rows))
    found = []
    for start, steps in _points(rows):
        cells = []
        for product in products:
            own = having(rows, start=start, steps=steps, product=product)
            image = spread([row["i_auroc"] for row in own])
            pixels = spread([row["p_ap"] for row in own]) if product in P_AP_OVER else ""
            cells.append(f"{image} / {pixels}" if pixels else image)
        found.append([start, str(steps), *cells])
    return table(["start", "steps", *products], found)


def _common(rows: Sequence[Line]) -> set[int]:
    """Seeds of which there is every run; points of different draws do not make a curve."""
    return set.intersection(
        *({row["seed"] for row in having(rows, start=start, steps=steps)} for start, steps in _points(rows))
    )


def chart(rows: Sequence[Line]) -> str:
    """Two panels, I-AUROC and P-AP over minutes; a memory bank and models without training are level lines."""
    common = _common(rows)
    rows = [row for row in rows if row["seed"] in common]
    longest = max(row["minutes"] for row in rows) or 1.0
    panels = [
        _panel(rows, metric, place * (_WIDTH + 2 * _LEFT), longest) for place, metric in enumerate(("i_auroc", "p_ap"))
    ]
    keys = "".join(
        f'<rect x="{_LEFT + 110 * place}" y="6" width="11" height="11" fill="{colour}"/>'
        f'<text x="{_LEFT + 110 * place + 16}" y="16">{escape(start)}</text>'
        for place, (start, colour) in enumerate(_COLOURS.items())
    )
    width, height = 2 * (_WIDTH + 2 * _LEFT), _TOP + _HEIGHT + 36
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="I-AUROC and '
        'P-AP over minutes of training; the table below has the numbers." font-family="sans-serif" font-size="11" '
        f'fill="none"><rect width="100%" height="100%" fill="#ffffff"/><g fill="#1b1d27">{keys}{"".join(panels)}</g>'
        "</svg>\n"
    )


def _panel(rows: Sequence[Line], metric: str, offset: float, longest: float) -> str:
    title, products = _METRICS[metric]
    series: dict[str, list[tuple[float, float, bool]]] = {}
    for start, steps in _points(rows):
        own = having(rows, start=start, steps=steps)
        if values := seed_means(own, metric, products):
            minutes = fmean(row["minutes"] for row in own)
            series.setdefault(start, []).append((minutes, 100 * fmean(values), steps == 0))
    every = [value for points in series.values() for _, value, _ in points]
    low, high = 5 * (min(every) // 5), 5 * (max(every) // 5 + 1)
    left = offset + _LEFT

    def place(minutes: float, value: float) -> tuple[float, float]:
        return left + _WIDTH * minutes / longest, _TOP + _HEIGHT * (high - value) / (high - low)

    parts = [f'<text x="{left}" y="{_TOP - 8}">{title}, %</text>']
    for tick in range(int(low), int(high) + 1, 5):
        _, y = place(0, tick)
        parts.append(
            f'<path d="M{left} {y:.1f}h{_WIDTH}" stroke="#dcdee6"/>'
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick}</text>'
        )
    for tick in range(int(longest) + 1):
        x, y = place(tick, low)
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{tick}</text>')
    parts.append(f'<text x="{left + _WIDTH}" y="{_TOP + _HEIGHT + 30}" text-anchor="end">minutes</text>')
    for start, points in series.items():
        colour = _COLOURS[start]
        for minutes, value, level in points:
            x, y = place(minutes, value)
            if level:
                parts.append(f'<path d="M{left} {y:.1f}h{_WIDTH}" stroke="{colour}" stroke-dasharray="4 3"/>')
            else:
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        ends = [place(minutes, value) for minutes, value, level in points if not level]
        if ends:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in ends)
            parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return "".join(parts)
