"""What defects were called, as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blemish.evaluation.metrics import Confusion
from blemish.evaluation.scorecard import NAMING_METRICS, Scorecard
from blemish.evaluation.terminal import percent, table

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH = 70
"""Room for the names of a confusion matrix's columns; where they need more they are numbered."""


def naming_tables(card: Scorecard) -> list[Table]:
    """Metrics in percent, and a confusion matrix for each product; nothing where no categories are learned."""
    matrices = [(score.product, score.confusion) for score in card.products if score.confusion is not None]
    if not matrices:
        return []
    return [_metrics(card), *(_matrix(product, confusion) for product, confusion in matrices)]


def _metrics(card: Scorecard) -> Table:
    rows = [
        [score.product, str(score.confusion.learned), *(percent(getattr(score, name)) for name in NAMING_METRICS)]
        for score in card.products
        if score.confusion is not None
    ]
    rows.append(["mean", "", *(percent(card.mean(name)) for name in NAMING_METRICS)])
    heads = ["product", "categories\nlearned", *NAMING_METRICS.values()]
    made = table("Names of defects, in percent", heads, rows)
    made.caption = "Over the learned categories and normal. Defects of several kinds or without a name do not count.\n"
    return made


def _matrix(product: str, confusion: Confusion) -> Table:
    known = confusion.learned + 1
    rows = [
        [name if index < known else f"{name} (not learned)", *map(str, counts)]
        for index, (name, counts) in enumerate(zip(confusion.rows, confusion.counts, strict=True))
    ]
    heads = list(confusion.columns)
    if sum(len(max(name.split(), key=len, default="")) + 3 for name in heads) > _WIDTH:
        heads = [str(number) for number in range(1, len(heads) + 1)]
        rows = [[_numbered(confusion, row[0], index), *row[1:]] for index, row in enumerate(rows)]
        rows += [
            [f"{number} {name}", *[""] * len(heads)]
            for number, name in enumerate(confusion.columns, start=1)
            if number > known
        ]
    else:
        heads = ["\n".join(name.split()) for name in heads]
    return table(f"What defects of {product} were called: truth in rows, names in columns", ["truth", *heads], rows)


def _numbered(confusion: Confusion, name: str, index: int) -> str:
    """The head of a row with the number of its own column, where it has one."""
    return f"{index + 1} {name}" if index <= confusion.learned else f"– {name}"
