"""How the line does: counts and false alarms over time, per product and category."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

from blemish.serving.records import Tally

_DAY = 24 * 3600 * 1000
WIDTH, HEIGHT = 720, 160
_LEFT, _TOP, _BOTTOM = 8, 22, 28
BASE = HEIGHT - _BOTTOM
"""Where the bars stand, in pixels from above."""


@dataclass(frozen=True)
class Sum:
    """Counts of several tallies.

    Attributes:
        product, category: of all of them; None: of several, or of none.
    """

    product: str | None = None
    category: str | None = None
    inspected: int = 0
    defective: int = 0
    confirmed: int = 0
    false_alarms: int = 0
    renamed: int = 0
    missed: int = 0

    @property
    def reviewed(self) -> int:
        """Findings that somebody judged."""
        return self.confirmed + self.false_alarms

    @property
    def false_alarm_share(self) -> float | None:
        """Of the findings that somebody judged, those that are none; None where nobody did."""
        return self.false_alarms / self.reviewed if self.reviewed else None

    @property
    def false_alarm_rate(self) -> float | None:
        """False alarms that are known of, by image inspected."""
        return self.false_alarms / self.inspected if self.inspected else None

    def plus(self, tally: Tally) -> Sum:
        names = ("inspected", "defective", "confirmed", "false_alarms", "renamed", "missed")
        return Sum(self.product, self.category, *(getattr(self, name) + getattr(tally, name) for name in names))


@dataclass(frozen=True)
class Bar:
    """One day of a chart, in pixels of the picture.

    Attributes:
        x, width: of the bar.
        normal, defective: height of either part.
        label: the date; empty where there is no room.
        spoken: all that it shows, for people who do not see it.
        rate: height of the false-alarm share among judged findings; None where nobody judged.
    """

    x: float
    width: float
    normal: float
    defective: float
    label: str
    spoken: str
    rate: float | None


@dataclass(frozen=True)
class LineView:
    """What the page of the line shows."""

    total: Sum
    rows: tuple[Sum, ...]
    bars: tuple[Bar, ...]
    most: int
    rate_line: str


def line_view(tallies: Iterable[Tally], since: int, days: int) -> LineView:
    """Sums per product and category, and one bar for each of `days` days from `since` on."""
    tallies = list(tallies)
    total = Sum()
    rows: dict[tuple[str | None, str | None], Sum] = {}
    by_day = [Sum() for _ in range(days)]
    for tally in tallies:
        total = total.plus(tally)
        key = tally.product, tally.category
        rows[key] = rows.get(key, Sum(*key)).plus(tally)
        day = min(max((tally.day - since) // _DAY, 0), days - 1)
        by_day[day] = by_day[day].plus(tally)
    most = max((one.inspected for one in by_day), default=0)
    bars = tuple(_bar(one, number, since, days, most) for number, one in enumerate(by_day))
    points = [f"{bar.x + bar.width / 2:.1f},{BASE - bar.rate:.1f}" for bar in bars if bar.rate is not None]
    ordered = sorted(rows.values(), key=lambda one: (one.product or "", -one.defective, one.category or ""))
    return LineView(total, tuple(ordered), bars, most, " ".join(points))


def _bar(one: Sum, number: int, since: int, days: int, most: int) -> Bar:
    step = (WIDTH - 2 * _LEFT) / days
    width = min(step * 0.8, 60)
    full = HEIGHT - _TOP - _BOTTOM
    scale = full / most if most else 0
    date = datetime.fromtimestamp((since + number * _DAY) / 1000, timezone.utc)
    labelled = number % max(1, days // 10) == 0
    share = one.false_alarm_share
    alarms = "nobody judged the findings" if share is None else f"{one.false_alarms} of {one.reviewed} false alarms"
    return Bar(
        x=round(_LEFT + number * step + (step - width) / 2, 1),
        width=round(width, 1),
        normal=round((one.inspected - one.defective) * scale, 1),
        defective=round(one.defective * scale, 1),
        label=f"{date:%d %b}" if labelled else "",
        spoken=f"{date:%d %B}: {one.inspected} inspected, {one.defective} defective, {alarms}",
        rate=None if share is None else round(share * full, 1),
    )
