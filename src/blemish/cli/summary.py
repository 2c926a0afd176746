"""What `blemish inspect` prints in the end: counts, and the first images that someone should look at."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from blemish.calibration import Calibration, percent
from blemish.cli.console import console, duration, plain_table, say
from blemish.inspection import UNKNOWN_PRODUCT, Failure, Inspection

_SHOWN = 10
_BOXES = 3


class Summary:
    """Takes results in one by one; keeps counts and a few lines.

    Attributes:
        inspected, defective: product → number of images.
        named: product → category → number of defective images.
        unreadable: how many images could not be inspected.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self.inspected: Counter[str] = Counter()
        self.defective: Counter[str] = Counter()
        self.named: dict[str, Counter[str]] = defaultdict(Counter)
        self.unreadable = 0
        self._categories = False
        self._notable: list[str] = []
        self._failures: list[str] = []

    def add(self, result: Inspection | Failure) -> None:
        """Count one image."""
        if isinstance(result, Failure):
            self.unreadable += 1
            if len(self._failures) < _SHOWN:
                self._failures.append(result.error.message)
            return
        self.inspected[result.product] += 1
        self._categories |= bool(result.categories)
        if not result.defective:
            return
        self.defective[result.product] += 1
        if result.category is not None:
            self.named[result.product][result.category] += 1
        if len(self._notable) < _SHOWN:
            self._notable.append(_line(result))

    def print(self, seconds: float, output: Path | None, *, to_stderr: bool) -> None:
        """Say what there was.

        Args:
            seconds: that it took.
            output: folder with the results; None: there is none.
            to_stderr: keep standard output free; then there is no table.
        """

        def tell(text: str, style: str = "") -> None:
            say(text, style=style, stderr=to_stderr)

        for lines, count, style in (
            (self._notable, self.defective.total(), ""),
            (self._failures, self.unreadable, "yellow"),
        ):
            for line in lines:
                tell(line, style)
            if count > len(lines):
                tell(f"… and {count - len(lines)} more", style)
        if not to_stderr and self.inspected:
            self._print_table()
        total, unknown = self.inspected.total(), self.inspected[UNKNOWN_PRODUCT]
        parts = [f"{total} images inspected in {duration(seconds)}", f"{self.defective.total()} defective"]
        parts += [f"{unknown} of no known product, without a verdict"] if unknown else []
        parts += [f"{self.unreadable} unreadable"] if self.unreadable else []
        tell(", ".join(parts) + ".", "bold")
        if output is not None:
            tell(f"Results: {output / 'inspections.jsonl'} and {output / 'report.html'}")

    def _print_table(self) -> None:
        heads = ["product", "images", "defective", "false alarms: asked", "promised"]
        rows = [
            [name, self.inspected[name], self.defective[name], *self._rates(name)] for name in sorted(self.inspected)
        ]
        if self._categories:
            heads.append("categories found")
            rows = [[*row, _counted(self.named.get(str(row[0]), {}))] for row in rows]
        console().print(plain_table(heads, rows, text_columns=(0, 5)))

    def _rates(self, product: str) -> tuple[str, str]:
        """False-alarm rates requested and promised; the promise is coarser where calibration images are few."""
        one = self._calibration.products.get(product)
        if one is None:
            return "–", "–"
        return percent(one.false_alarm_rate), "none" if one.promised_rate is None else percent(one.promised_rate)


def _line(result: Inspection) -> str:
    boxes = (region.box for region in result.regions[:_BOXES])
    where = ", ".join(f"{left},{top}–{right},{bottom}" for left, top, right, bottom in boxes)
    facts = [*_called(result.category, result.category_scores), f"p = {result.p_value:.2g}", where]
    return f"defective: {result.source} ({'; '.join(facts)})"


def _called(category: str | None, scores: Mapping[str, float]) -> list[str]:
    """Such as "crack 87 %" or "unknown defect, most like crack 31 %"; nothing without a category."""
    if category is None:
        return []
    if category in scores or not scores:
        return [f"{category} {100 * scores[category]:.0f} %" if scores else category]
    nearest = max(scores, key=lambda name: scores[name])
    return [f"{category}, most like {nearest} {100 * scores[nearest]:.0f} %"]


def _counted(found: Mapping[str, int]) -> str:
    """Such as "3 crack, 1 unknown defect", most frequent first."""
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in ordered) or "–"
