"""The tables of a report: key figures, metrics per product, counts per product, recall by defect."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from blemish.calibration import ProductCalibration
from blemish.evaluation.metrics import Rate
from blemish.evaluation.report.markup import counted, interval, number, percent, product_head, scrollable, text
from blemish.evaluation.report.naming import found_list, naming_tile
from blemish.evaluation.report.tally import Tally
from blemish.evaluation.scorecard import RANKING_METRICS, ProductScore, Scorecard
from blemish.inspection import UNKNOWN_PRODUCT

PROTOCOLS = {
    "honest": "Nothing of the test images touched the model, its thresholds or the choice of a checkpoint.",
    "paper (transductive)": "As the papers' authors evaluate: an image's score depends on the other test images. "
    "For comparison with published figures only. Verdicts are the model's own and not of this protocol.",
}

_LISTED = 12
"""Longer lists among the details of a run are counted."""


def tiles(facts: Iterable[tuple[str, str, str]]) -> str:
    """Key figures as (name, value, remark)."""
    items = "".join(
        f"<div><dt>{text(name)}</dt><dd><b>{text(value)}</b><small>{text(remark)}</small></dd></div>"
        for name, value, remark in facts
    )
    return f'<dl class="tiles">{items}</dl>'


def scorecard_tiles(card: Scorecard) -> str:
    """Errors over all images, and the means of the headline metrics."""
    facts = []
    if recall := card.recall:
        facts.append(("Defects missed", f"{recall.complement} of {recall.total}", f"95 %: {_missed_interval(recall)}"))
    if alarms := card.false_alarms:
        facts.append(("False alarms", f"{alarms.count} of {alarms.total}", f"95 %: {interval(alarms)}"))
    remark = f"mean of {len(card.products)} products" if len(card.products) > 1 else ""
    for metric, name in {"i_auroc": "Image AUROC", "p_ap": "Pixel AP", "aupro_30": "AUPRO"}.items():
        if (mean := card.mean(metric)) is not None:
            facts.append((name, f"{percent(mean)} %", remark))
    return tiles([*facts, *naming_tile(card)])


def scorecard_table(card: Scorecard, anchors: Mapping[str, str]) -> str:
    """Metrics of every product and their means. `anchors`: product → id of its section."""
    groups = [
        (group, [name for _, name in heads])
        for group, heads in groupby((head.split("\n") for head in RANKING_METRICS.values()), key=lambda head: head[0])
    ]
    tops = "".join(f'<th scope="colgroup" colspan="{len(names)}">{text(group)}</th>' for group, names in groups)
    subs = "".join(f'<th scope="col">{text(name)}</th>' for _, names in groups for name in names)
    rows = "".join(_score_row(score, anchors) for score in card.products)
    means = "".join(f"<td>{percent(card.mean(metric))}</td>" for metric in RANKING_METRICS)
    total = (
        f'<tr><th scope="row">Mean</th><td></td>{means}{_error_cells(card.false_alarms, card.recall)}'
        f"<td>{percent(card.mean('retrieval_accuracy'))}</td><td></td></tr>"
    )
    return scrollable(
        "Metrics by product",
        "Metrics in percent, counts with 95 % Clopper-Pearson intervals. The last row has means over products, and "
        "counts over all images.",
        '<tr><th scope="col" rowspan="2">Product</th><th scope="col" rowspan="2">Normal +<br>defective</th>'
        f'{tops}<th scope="col" rowspan="2">False<br>alarms</th><th scope="col" rowspan="2">Defects<br>missed</th>'
        '<th scope="col" rowspan="2">Prompt<br>found</th>'
        '<th scope="col" rowspan="2">Rate asked<br>→ promised</th></tr>'
        f"<tr>{subs}</tr>",
        rows,
        total if len(card.products) > 1 else "",
    )


def _score_row(score: ProductScore, anchors: Mapping[str, str]) -> str:
    metrics = "".join(f"<td>{percent(getattr(score, metric))}</td>" for metric in RANKING_METRICS)
    rates = "–"
    if score.requested_rate is not None:
        promised = "none" if score.effective_rate is None else _short_percent(score.effective_rate)
        rates = f"{_short_percent(score.requested_rate)} → {promised}"
    return (
        f'<tr data-product="{text(score.product)}">{product_head(score.product, anchors)}'
        f"<td>{score.normals:,} + {score.defectives:,}</td>{metrics}{_error_cells(score.false_alarms, score.recall)}"
        f"<td>{percent(score.retrieval_accuracy)}</td><td>{rates}</td></tr>"
    )


def _error_cells(false_alarms: Rate | None, recall: Rate | None) -> str:
    alarms = (
        f"{false_alarms.count} of {false_alarms.total}<small>{interval(false_alarms)}</small>" if false_alarms else "–"
    )
    missed = f"{recall.complement} of {recall.total}<small>{_missed_interval(recall)}</small>" if recall else "–"
    return f"<td>{alarms}</td><td>{missed}</td>"


def count_table(
    tallies: Mapping[str, Tally], anchors: Mapping[str, str], calibrations: Mapping[str, ProductCalibration]
) -> str:
    """How many images of every product were called defective, and by which names where there are any."""
    rows = ""
    named = any(tally.named for tally in tallies.values())
    for product, tally in tallies.items():
        if product == UNKNOWN_PRODUCT:
            verdicts = (
                '<td>–</td><td>–</td><td>–</td><td class="words">no verdict: unlike every product of the model</td>'
            )
        else:
            calibration = calibrations.get(product)
            known = calibration is not None and calibration.n > 0
            threshold = number(calibration.threshold) if calibration and known else "–"
            statement = calibration.statement() if calibration else "–"
            verdicts = (
                f"<td>{tally.flagged:,}</td><td>{percent(tally.flagged / tally.images)} %</td><td>{threshold}</td>"
                f'<td class="words">{text(statement)}</td>'
            )
        if named:
            verdicts += f'<td class="words found">{found_list(tally.named)}</td>'
        head = product_head(product, anchors)
        rows += f'<tr data-product="{text(product)}">{head}<td>{tally.images:,}</td>{verdicts}</tr>'
    heads = ("Product", "Images", "Defective", "Share", "Threshold")
    columns = "".join(f'<th scope="col">{name}</th>' for name in heads)
    columns += '<th scope="col" class="words">False-alarm rate</th>'
    if named:
        columns += '<th scope="col" class="words found">Categories found</th>'
    return scrollable("Verdicts by product", "", f"<tr>{columns}</tr>", rows)


def recall_list(score: ProductScore) -> str:
    """Recall by defect category, with bars and intervals; nothing without defects."""
    if not score.recall_by_defect:
        return ""
    items = "".join(
        f"<li><bdi>{text(defect)}</bdi><span>{rate.count} of {rate.total}</span>{_bar(rate)}</li>"
        for defect, rate in score.recall_by_defect.items()
    )
    return (
        '<div class="recall"><h3>Caught by category <span class="soft">with 95 % intervals</span></h3>'
        f"<ul>{items}</ul></div>"
    )


def details(facts: Mapping[str, Any]) -> str:
    """What is needed to repeat a run, folded; nothing without facts."""
    if not facts:
        return ""
    items = "".join(f"<dt>{text(name)}</dt><dd>{text(_plain(value))}</dd>" for name, value in facts.items())
    return f'<details class="meta"><summary>How this was made</summary><dl>{items}</dl></details>'


def unreadable_table(files: Sequence[tuple[str, str]], total: int) -> str:
    """Files that could not be inspected, with reasons; nothing without such files."""
    if not total:
        return ""
    rows = "".join(
        f'<tr><th scope="row"><bdi>{text(source)}</bdi></th><td class="words">{text(reason)}</td></tr>'
        for source, reason in files
    )
    more = f'<p class="soft">… and {counted(total - len(files), "other")}.</p>' if total > len(files) else ""
    table = scrollable(
        "Unreadable files", "", '<tr><th scope="col">File</th><th scope="col" class="words">Reason</th></tr>', rows
    )
    return f'<section id="unreadable"><h2>{counted(total, "unreadable file")}</h2>{table}{more}</section>'


def _bar(rate: Rate) -> str:
    spoken = f"{percent(rate.value)} %, 95 % interval {interval(rate)}"
    return (
        f'<svg class="rate" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{spoken}">'
        f'<path class="track" d="M0 5H100"/><path class="fill" d="M0 5H{100 * rate.value:.1f}"/>'
        f'<path class="whisker" d="M{100 * rate.low:.1f} 5H{100 * rate.high:.1f}"/></svg>'
    )


def _missed_interval(recall: Rate) -> str:
    return f"{percent(1 - recall.high)}–{percent(1 - recall.low)} %"


def _short_percent(rate: float) -> str:
    return f"{100 * rate:.2g} %"


def _plain(value: Any) -> str:
    if isinstance(value, list) and len(value) > _LISTED:
        return counted(len(value), "entry", "entries")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
