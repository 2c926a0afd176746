"""Charts as inline SVG: score histograms, ROC and precision-recall curves. Colours come from the style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blemish.evaluation.report.markup import counted, number, text

MAX_BINS = 48
MAX_POINTS = 300
LOGARITHMIC_FROM = 8


@dataclass(frozen=True)
class Series:
    """One row of a histogram: its name, its scores and the style class of its bars."""

    name: str
    scores: NDArray[np.float64]
    style: str


def histogram(rows: Sequence[Series], threshold: float | None) -> str:
    """Score histograms, one below the other on one axis, with the threshold across them.

    A bin ends at the threshold, itself included, so that no bar mixes images on either side of it. The axis is
    logarithmic when the highest score is many times the lowest: else one gross defect hides all that is near the
    threshold.
    """
    scores = np.concatenate([row.scores for row in rows])
    if not len(scores):
        return ""
    width, row_height, left, right, top = 520, 92, 12, 12, 30
    bottom = top + row_height * len(rows)
    ends = np.append(scores, [] if threshold is None else threshold)
    logarithmic = bool(ends.min() > 0 and ends.max() > LOGARITHMIC_FROM * ends.min())
    scale = np.log if logarithmic else np.asarray
    edges = _bin_edges(scale(scores), None if threshold is None else float(scale(threshold)))
    x = _Axis(float(edges[0]), float(edges[-1]), left, width - right)
    at = None if threshold is None else x(float(scale(threshold)))
    # Names stand where the line of the threshold does not cross them.
    name_at, anchor = (left, "start") if at is None or at > width / 2 else (width - right, "end")
    parts = []
    for i, row in enumerate(rows):
        base = top + row_height * (i + 1) - 8
        parts.append(
            f'<path class="bar {row.style}" d="{_bars(scale(row.scores), edges, x, base, row_height - 32)}"/>'
            f'<line class="axis" x1="{left}" x2="{width - right}" y1="{base}" y2="{base}"/>'
            f'<text class="strong" x="{name_at}" y="{base - row_height + 24}" text-anchor="{anchor}">{text(row.name)}'
            f'<tspan class="soft" dx="6">{counted(len(row.scores), "image")}</tspan></text>'
        )
    if threshold is not None and at is not None:
        side, shift = ("end", -6) if at > width / 2 else ("start", 6)
        parts.append(
            f'<line class="threshold" x1="{at:.1f}" x2="{at:.1f}" y1="2" y2="{bottom - 4}"/>'
            f'<text class="soft" x="{at + shift:.1f}" y="16" text-anchor="{side}">threshold {number(threshold)}</text>'
        )
    for tick in _log_ticks(x.low, x.high) if logarithmic else _ticks(x.low, x.high):
        tick_at = x(float(scale(tick)))
        parts.append(
            f'<text class="soft" x="{tick_at:.1f}" y="{bottom + 12}" text-anchor="middle">{number(tick)}</text>'
            f'<path class="axis" d="M{tick_at:.1f} {bottom - 8}v4"/>'
        )
    name = "image score, logarithmic" if logarithmic else "image score"
    parts.append(f'<text class="soft" x="{width / 2}" y="{bottom + 30}" text-anchor="middle">{name}</text>')
    summary = "; ".join(f"{row.name}: {counted(len(row.scores), 'image')}, {_range(row.scores)}" for row in rows)
    line = f", threshold {number(threshold)}" if threshold is not None else ""
    return _svg(width, bottom + 36, f"Histogram of image scores{line}. {summary}.", parts)


def roc_curve(
    normal: NDArray[np.float64],
    defective: NDArray[np.float64],
    auroc: float | None,
    verdict: tuple[float, float] | None,
) -> str:
    """Recall over the false-alarm rate. `verdict` is the point that the model's threshold gives, as (x, y)."""
    caught, alarms = _ranking(normal, defective)
    area = "–" if auroc is None else f"{100 * auroc:.1f} %"
    return _curve(
        "ROC", alarms / len(normal), caught / len(defective), ("false-alarm rate", "recall"), area, verdict, (0, 1)
    )


def precision_recall_curve(
    normal: NDArray[np.float64], defective: NDArray[np.float64], ap: float | None, verdict: tuple[float, float] | None
) -> str:
    """Precision over recall. `verdict` is the point that the model's threshold gives, as (x, y)."""
    caught, alarms = _ranking(normal, defective)
    precision = caught[1:] / (caught[1:] + alarms[1:])
    area = "–" if ap is None else f"{100 * ap:.1f} %"
    share = len(defective) / (len(normal) + len(defective))
    # Average precision sums steps: each recall is reached with the precision at its end.
    recall = np.repeat(caught / len(defective), 2)[1:-1]
    return _curve(
        "Precision and recall", recall, np.repeat(precision, 2), ("recall", "precision"), area, verdict, (share, share)
    )


def _curve(
    title: str,
    xs: NDArray[np.float64],
    ys: NDArray[np.float64],
    names: tuple[str, str],
    area: str,
    verdict: tuple[float, float] | None,
    chance: tuple[float, float],
) -> str:
    width, height, left, top, side = 290, 278, 44, 26, 210
    x, y = _Axis(0, 1, left, left + side), _Axis(0, 1, top + side, top)
    parts = [f'<text class="strong" x="{left}" y="14">{title}<tspan class="soft" dx="6">area {area}</tspan></text>']
    for tick in (0, 0.5, 1):
        parts.append(
            f'<path class="grid" d="M{x(tick)} {top}V{top + side}M{left} {y(tick)}H{left + side}"/>'
            f'<text class="soft" x="{x(tick)}" y="{top + side + 16}" text-anchor="middle">{number(tick)}</text>'
            f'<text class="soft" x="{left - 8}" y="{y(tick) + 4}" text-anchor="end">{number(tick)}</text>'
        )
    kept = np.unique(np.linspace(0, len(xs) - 1, MAX_POINTS).round().astype(int))
    points = " ".join(f"{x(px):.1f},{y(py):.1f}" for px, py in zip(xs[kept], ys[kept], strict=True))
    parts += [
        f'<text class="soft" x="{left + side / 2}" y="{top + side + 34}" text-anchor="middle">{names[0]}</text>',
        f'<text class="soft" text-anchor="middle" transform="translate(12 {top + side / 2}) rotate(-90)">'
        f"{names[1]}</text>",
        f'<path class="chance" d="M{x(0)} {y(chance[0]):.1f}L{x(1)} {y(chance[1]):.1f}"/>',
        f'<polyline class="curve" points="{points}"/>',
    ]
    spoken = f"{title} curve, area {area}."
    if verdict is not None:
        parts.append(f'<circle class="verdict-point" cx="{x(verdict[0]):.1f}" cy="{y(verdict[1]):.1f}" r="5"/>')
        spoken += f" At the threshold: {names[0]} {100 * verdict[0]:.1f} %, {names[1]} {100 * verdict[1]:.1f} %."
    return _svg(width, height, spoken, parts)


def _bars(scores: NDArray[np.float64], edges: NDArray[np.float64], x: _Axis, base: float, height: float) -> str:
    """The path of the bars; the highest is `height` pixels high."""
    # A search from the left puts a value on an edge below that edge, as a verdict is score > threshold.
    bins = np.clip(np.searchsorted(edges, scores) - 1, 0, len(edges) - 2)
    counts = np.bincount(bins, minlength=len(edges) - 1)
    return "".join(
        f"M{x(edges[b]) + 0.5:.1f} {base}V{base - height * counts[b] / counts.max():.1f}"
        f"H{max(x(edges[b + 1]) - 0.5, x(edges[b]) + 1):.1f}V{base}Z"
        for b in np.flatnonzero(counts)
    )


@dataclass(frozen=True)
class _Axis:
    """Maps [low, high] to [start, end] in pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _svg(width: int, height: int, summary: str, parts: Sequence[str]) -> str:
    start = f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{text(summary)}">'
    return start + "".join(parts) + "</svg>"


def _ranking(
    normal: NDArray[np.float64], defective: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Caught defects and false alarms at every distinct score, highest first, starting from (0, 0)."""
    thresholds = np.unique(np.concatenate([normal, defective]))[::-1]
    caught = len(defective) - np.searchsorted(np.sort(defective), thresholds)
    alarms = len(normal) - np.searchsorted(np.sort(normal), thresholds)
    return np.concatenate([[0], caught]), np.concatenate([[0], alarms])


def _bin_edges(scores: NDArray[np.float64], threshold: float | None) -> NDArray[np.float64]:
    """Ascending edges, at most MAX_BINS + 2, that span the scores and the threshold; one of them is the threshold."""
    origin = float(scores.min()) if threshold is None else threshold
    low, high = min(float(scores.min()), origin), max(float(scores.max()), origin)
    step = (high - low) / min(MAX_BINS, max(8, 2 * len(scores))) or max(abs(high), 1) / 8
    below, above = math.ceil((low - origin) / step) - 1, math.ceil((high - origin) / step)
    return origin + step * np.arange(below, above + 1, dtype=np.float64)


def _ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers inside [low, high]."""
    rough = (high - low) / 6
    magnitude = 10 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough)
    return [round(k * step, 12) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers whose logarithms lie inside [low, high]: 1, 2, 5 of each power of ten, or powers only."""
    decades = range(math.floor(low / math.log(10)), math.ceil(high / math.log(10)) + 1)
    ticks = [m * 10.0**k for k in decades for m in ((1, 2, 5) if len(decades) < 5 else (1,))]
    return [tick for tick in ticks if tick and low <= math.log(tick) <= high]  # 10 ** −324 is 0


def _range(scores: NDArray[np.float64]) -> str:
    return f"from {number(scores.min())} to {number(scores.max())}" if len(scores) else "none"
