"""A scorecard as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blemish.evaluation.metrics import Rate
from blemish.evaluation.naming_tables import naming_tables
from blemish.evaluation.scorecard import RANKING_METRICS, VERDICT_METRICS, ProductScore, Scorecard
from blemish.evaluation.terminal import percent, plain_text, table

if TYPE_CHECKING:
    from rich.table import Table


def scorecard_tables(card: Scorecard) -> list[Table]:
    """Tables in percent: ranking metrics, verdicts, recall by defect category, and names where there are any."""
    tables = [_ranking_table(card), _verdict_table(card)]
    if any(score.recall_by_defect for score in card.products):
        tables.append(_defect_table(card))
    return [*tables, *naming_tables(card)]


def scorecard_text(card: Scorecard, width: int = 100) -> str:
    """The tables as plain text, at most `width` characters wide."""
    return plain_text(scorecard_tables(card), width)


def _interval(rate: Rate | None) -> str:
    return f"{percent(rate.value)} ({percent(rate.low)}–{percent(rate.high)})" if rate else "–"


def _ranking_table(card: Scorecard) -> Table:
    rows = [[score.product, *(percent(getattr(score, name)) for name in RANKING_METRICS)] for score in card.products]
    rows.append(["mean", *(percent(card.mean(name)) for name in RANKING_METRICS)])
    made = table(f"Metrics in percent, protocol {card.protocol}", ["product", *RANKING_METRICS.values()], rows)
    if without_mask := sum(score.without_mask for score in card.products):
        made.caption = f"Defective images without a mask, not in the pixel metrics: {without_mask}.\n"
    return made


def _verdict_table(card: Scorecard) -> Table:
    def row(name: str, counted: ProductScore | Scorecard, *rates: float | None) -> list[str]:
        false_alarms, recall = counted.false_alarms, counted.recall
        rejected = f"{false_alarms.count}/{false_alarms.total}" if false_alarms else "–"
        escaped = f"{recall.complement}/{recall.total}" if recall else "–"
        return [name, rejected, _interval(false_alarms), escaped, _interval(recall), *map(percent, rates)]

    heads = ["product", "normal\nrejected", "false-\nalarm\nrate", "defective\nescaped", "recall"]
    rows = [row(s.product, s, s.requested_rate, s.effective_rate, s.retrieval_accuracy) for s in card.products]
    rows.append([*row("all images", card), "", "", ""])
    retrieval, false_alarms, recall = (percent(card.mean(metric)) for metric in VERDICT_METRICS)
    rows.append(["mean", "", false_alarms, "", recall, "", "", retrieval])
    title = "Verdicts at the chosen threshold, in percent (95 % interval)"
    return table(title, [*heads, "rate\nasked", "rate\npromised", "prompt\nfound"], rows)


def _defect_table(card: Scorecard) -> Table:
    rows = [
        [score.product, defect, f"{rate.count}/{rate.total}", _interval(rate)]
        for score in card.products
        for defect, rate in score.recall_by_defect.items()
    ]
    heads = ["product", "defect", "caught", "recall"]
    return table("Recall by defect, in percent (95 % interval)", heads, rows, text_columns=2)
