"""A scorecard as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING

from blemish.evaluation.metrics import Rate
from blemish.evaluation.scorecard import METRICS, RANKING_METRICS, ProductScore, Scorecard

if TYPE_CHECKING:
    from rich.table import Table


def scorecard_tables(card: Scorecard) -> list[Table]:
    """Tables in percent: ranking metrics, verdicts, and recall by defect category."""
    tables = [_ranking_table(card), _verdict_table(card)]
    if any(score.recall_by_defect for score in card.products):
        tables.append(_defect_table(card))
    return tables


def scorecard_text(card: Scorecard, width: int = 100) -> str:
    """The tables as plain text, at most `width` characters wide."""
    from rich.console import Console

    buffer = StringIO()
    Console(file=buffer, width=width, color_system=None, legacy_windows=False).print(*scorecard_tables(card))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _interval(rate: Rate | None) -> str:
    return f"{_percent(rate.value)} ({_percent(rate.low)}–{_percent(rate.high)})" if rate else "–"


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE, collapse_padding=True)
    table.caption_justify = "left"
    for index, column in enumerate(zip(heads, *rows, strict=True)):
        if index < text_columns:
            table.add_column(column[0], overflow="fold")
        else:
            table.add_column(column[0], justify="right", min_width=max(map(len, " ".join(column).split())))
    for row in rows:
        # A product may be called "[red]"; only a Text keeps rich from reading that as markup.
        table.add_row(*map(Text, row))
    return table


def _ranking_table(card: Scorecard) -> Table:
    rows = [[score.product, *(_percent(getattr(score, name)) for name in RANKING_METRICS)] for score in card.products]
    rows.append(["mean", *(_percent(card.mean(name)) for name in RANKING_METRICS)])
    table = _table(f"Metrics in percent, protocol {card.protocol}", ["product", *RANKING_METRICS.values()], rows)
    if without_mask := sum(score.without_mask for score in card.products):
        table.caption = f"Defective images without a mask, not in the pixel metrics: {without_mask}.\n"
    return table


def _verdict_table(card: Scorecard) -> Table:
    def row(name: str, counted: ProductScore | Scorecard, *rates: float | None) -> list[str]:
        false_alarms, recall = counted.false_alarms, counted.recall
        rejected = f"{false_alarms.count}/{false_alarms.total}" if false_alarms else "–"
        escaped = f"{recall.complement}/{recall.total}" if recall else "–"
        return [name, rejected, _interval(false_alarms), escaped, _interval(recall), *map(_percent, rates)]

    heads = ["product", "normal\nrejected", "false-\nalarm\nrate", "defective\nescaped", "recall"]
    rows = [row(s.product, s, s.requested_rate, s.effective_rate, s.retrieval_accuracy) for s in card.products]
    rows.append([*row("all images", card), "", "", ""])
    retrieval, false_alarms, recall = (_percent(card.mean(metric)) for metric in METRICS[len(RANKING_METRICS) :])
    rows.append(["mean", "", false_alarms, "", recall, "", "", retrieval])
    title = "Verdicts at the chosen threshold, in percent (95 % interval)"
    return _table(title, [*heads, "rate\nasked", "rate\nkept", "prompt\nfound"], rows)


def _defect_table(card: Scorecard) -> Table:
    rows = [
        [score.product, defect, f"{rate.count}/{rate.total}", _interval(rate)]
        for score in card.products
        for defect, rate in score.recall_by_defect.items()
    ]
    heads = ["product", "defect", "caught", "recall"]
    return _table("Recall by defect, in percent (95 % interval)", heads, rows, text_columns=2)
