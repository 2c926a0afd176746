"""What defects were called, as HTML: names with their colours, metrics, confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from blemish.evaluation.metrics import Confusion
from blemish.evaluation.report.markup import counted, percent, product_head, scrollable, text
from blemish.evaluation.report.palette import tone, tone_class
from blemish.evaluation.scorecard import NAMING_METRICS, Scorecard
from blemish.inspection import UNKNOWN_DEFECT

_BREAK = "\n"
_SHADES = 10
"""Steps of shading between no image and all of a row."""


def category(name: str, categories: Sequence[str], remark: str = "") -> str:
    """A category beside its colour."""
    style = " ".join(filter(None, ("category", tone_class(tone(name, categories)))))
    return f'<span class="{style}"><bdi>{text(name)}</bdi>{f" {remark}" if remark else ""}</span>'


def called(name: str, scores: Mapping[str, float], categories: Sequence[str]) -> str:
    """A finding's category with its confidence; of an unknown defect, the category that it is most like."""
    if name in scores:
        return category(name, categories, f"<b>{_whole_percent(scores[name])}</b>")
    if not scores:
        return category(name, categories)
    nearest = max(scores, key=lambda one: scores[one])
    remark = f"<small>most like <bdi>{text(nearest)}</bdi>, {_whole_percent(scores[nearest])}</small>"
    return category(name, categories, remark)


def colour_legend(categories: Sequence[str]) -> str:
    """Which colour stands for which category; nothing without categories."""
    if not categories:
        return ""
    names = "".join(category(name, categories) for name in (*categories, UNKNOWN_DEFECT))
    return f'<p class="legend names"><span>Outlines of findings:</span>{names}</p>'


def found_list(found: Mapping[str, int]) -> str:
    """Such as "3 crack, 1 unknown defect", most frequent first."""
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,}\N{NO-BREAK SPACE}<bdi>{text(name)}</bdi>" for name, count in ordered) or "–"


def naming_tile(card: Scorecard) -> list[tuple[str, str, str]]:
    """The key figure as (name, value, remark); none without categories."""
    mean = card.mean("accuracy")
    if mean is None:
        return []
    count = sum(score.accuracy is not None for score in card.products)
    remark = f"accuracy, mean of {count} products" if count > 1 else "accuracy"
    return [("Named rightly", f"{percent(mean)} %", remark)]


def naming_table(card: Scorecard, anchors: Mapping[str, str]) -> str:
    """Metrics of every product that has categories, and their means; nothing without categories."""
    named = [score for score in card.products if score.confusion is not None]
    if not named:
        return ""
    rows = "".join(
        f'<tr data-product="{text(score.product)}">{product_head(score.product, anchors)}'
        f"<td>{score.confusion.learned if score.confusion else 0}</td>"
        + "".join(f"<td>{percent(getattr(score, metric))}</td>" for metric in NAMING_METRICS)
        + "</tr>"
        for score in named
    )
    means = "".join(f"<td>{percent(card.mean(metric))}</td>" for metric in NAMING_METRICS)
    heads = "".join(
        f'<th scope="col">{"<br>".join(map(text, head.split(_BREAK)))}</th>' for head in NAMING_METRICS.values()
    )
    return scrollable(
        "Names of defects by product",
        "In percent, over the learned categories and normal (mIoU: background). Defects of several kinds, without a "
        "name, or of a category that the model has not learned do not count there. Unknown AUROC: how well low "
        "category scores tell the latter from learned ones.",
        f'<tr><th scope="col">Names of defects</th><th scope="col">categories<br>learned</th>{heads}</tr>',
        rows,
        f'<tr><th scope="row">Mean</th><td></td>{means}</tr>' if len(named) > 1 else "",
    )


def confusion_table(product: str, confusion: Confusion | None) -> str:
    """What the images of a product were called, shaded by share of the row; nothing without categories."""
    if confusion is None:
        return ""
    learned = confusion.columns[1 : confusion.learned + 1]
    heads = "".join(f'<th scope="col">{_head(name, learned)}</th>' for name in confusion.columns)
    rows = "".join(_row(confusion, index, learned) for index in range(len(confusion.rows)))
    return (
        '<div class="confusion"><h3>What defects were called</h3>'
        f'<div class="scroll" role="region" tabindex="0" aria-label="Confusion matrix of {text(product)}"><table>'
        f'<caption class="hidden">What images of {text(product)} were called</caption>'
        '<thead><tr><th scope="col" rowspan="2">Truth</th>'
        f'<th scope="colgroup" colspan="{len(confusion.columns)}">called</th></tr><tr>{heads}</tr></thead>'
        f'<tbody>{rows}</tbody></table></div><p class="caption">Images by truth (rows) and by what they were called '
        "(columns), shaded by their share of the row: blue is right, orange is wrong.</p></div>"
    )


def _row(confusion: Confusion, index: int, learned: Sequence[str]) -> str:
    name, counts = confusion.rows[index], confusion.counts[index]
    known = index <= confusion.learned
    expected = name if known else UNKNOWN_DEFECT
    total = sum(counts)
    cells = "".join(
        _cell(count, total, column == expected, f"{name} called {column}")
        for column, count in zip(confusion.columns, counts, strict=True)
    )
    remark = "" if known else "<small>not learned</small>"
    return f'<tr><th scope="row" title="{text(name)}">{_head(name, learned)}{remark}</th>{cells}</tr>'


def _cell(count: int, total: int, right: bool, spoken: str) -> str:
    if not count:
        return '<td class="none">0</td>'
    shade = max(1, round(_SHADES * count / total))
    title = f"{spoken}: {count:,} of {counted(total, 'image')}"
    return f'<td class="{"hit" if right else "miss"} shade-{shade}" title="{text(title)}">{count:,}</td>'


def _head(name: str, learned: Sequence[str]) -> str:
    """A class; categories with their colours."""
    return category(name, learned) if name in learned else f"<bdi>{text(name)}</bdi>"


def _whole_percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
