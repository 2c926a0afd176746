"""A spread as tables: for the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from blemish.evaluation.scorecard import NAMING_METRICS, RANKING_METRICS
from blemish.evaluation.spread import Spread
from blemish.evaluation.terminal import plain_text, table

if TYPE_CHECKING:
    from rich.table import Table

_VERDICTS = {
    "false_alarm_rate": "false-alarm\nrate",
    "recall_rate": "recall",
    "retrieval_accuracy": "prompt\nfound",
}
_GROUPS: dict[str, Mapping[str, str]] = {
    "Images and pixels": RANKING_METRICS,
    "Verdicts": _VERDICTS,
    "Names of defects": NAMING_METRICS,
}
# A row of more metrics than this is wider than a terminal.
_COLUMNS = 5


def spread_tables(spread: Spread) -> list[Table]:
    """Mean ± standard deviation in percent; metrics that no run has are left out."""
    made = []
    for title, heads in _GROUPS.items():
        metrics = spread.shown(heads)
        for start in range(0, len(metrics), _COLUMNS):
            some = metrics[start : start + _COLUMNS]
            more = "" if start == 0 else ", continued"
            rows = [[name, *map(str, estimates)] for name, estimates in spread.rows(some)]
            made.append(
                table(f"{title}{more}: {_statement(spread)}", ["product", *(heads[name] for name in some)], rows)
            )
    return made


def spread_text(spread: Spread, width: int = 100) -> str:
    """The tables as plain text, at most `width` characters wide."""
    return plain_text(spread_tables(spread), width)


def spread_markdown(spread: Spread, metrics: Sequence[str] | None = None) -> str:
    """One table in Markdown, mean ± standard deviation in percent; by default all metrics that some run has."""
    heads = {name: head for group in _GROUPS.values() for name, head in group.items()}
    chosen = spread.shown(heads) if metrics is None else list(metrics)
    cells = [["product", *(" ".join(heads[name].split("\n")) for name in chosen)], ["---", *["---:"] * len(chosen)]]
    cells += [[_escaped(name), *map(str, estimates)] for name, estimates in spread.rows(chosen)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return f"{_statement(spread).capitalize()}.\n\n" + "\n".join(lines) + "\n"


def _statement(spread: Spread) -> str:
    what = "mean ± standard deviation of" if spread.runs > 1 else "of"
    return f"{what} {spread.runs} {'run' if spread.runs == 1 else 'runs'} in percent, protocol {spread.protocol}"


def _escaped(name: str) -> str:
    """A name that Markdown leaves as it is within a table."""
    return "".join(f"\\{letter}" if letter in "\\|*_[]<>`" else letter for letter in " ".join(name.split()))
