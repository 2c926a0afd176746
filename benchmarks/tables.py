"""Numbers with their spread, and Markdown tables, as all pages of results print them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

ABSENT = "–"


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
