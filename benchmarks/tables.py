"""Numbers with their spread, and Markdown tables, as all pages of results print them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

ABSENT = "–"
Line = dict[str, Any]


def spread(values: Sequence[float], scale: float = 100, digits: int = 1) -> str:
    """Mean ± sample standard deviation; without the latter for one value."""
    if not values:
        return ABSENT
    mean = f"{scale * fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {scale * stdev(values):.{digits}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def having(rows: Sequence[Line], **wanted: Any) -> list[Line]:
    """Lines with these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def seed_means(rows: Sequence[Line], metric: str, products: Sequence[str]) -> list[float]:
    """Per seed the mean over the products, of the seeds that have all of them."""
    means = []
    for seed in sorted({row["seed"] for row in rows}):
        known = {row["product"]: row[metric] for row in having(rows, seed=seed)}
        if all(product in known for product in products):
            means.append(fmean(known[product] for product in products))
    return means
