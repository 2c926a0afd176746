"""The whole page, put together from tables, charts and cards."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from typing import Any

from blemish.calibration import ProductCalibration
from blemish.evaluation.report import charts, controls, naming, palette, tables
from blemish.evaluation.report.cards import gallery
from blemish.evaluation.report.case import Card
from blemish.evaluation.report.gallery import Gallery
from blemish.evaluation.report.markup import counted, number, text
from blemish.evaluation.report.tally import Tally
from blemish.evaluation.scorecard import ProductScore, Scorecard
from blemish.inspection import UNKNOWN_PRODUCT

_LOGO = (
    '<svg class="logo" viewBox="0 0 24 24" aria-hidden="true"><circle class="ring" cx="12" cy="12" r="9.5"/>'
    '<circle class="dot" cx="15.2" cy="9.2" r="2.6"/></svg>'
)


@dataclass(frozen=True)
class Report:
    """Everything that the page shows.

    Attributes:
        tallies: product → its scores and verdicts.
        examples: the cases with pictures.
        calibrations: product → its calibration, where known.
        categories: product → names that the model has learned, where it has.
        unreadable: the first unreadable files with reasons.
        unreadable_count: how many there were in all.
        details: how the report was made, name → value.
    """

    title: str
    tallies: Mapping[str, Tally]
    examples: Gallery
    calibrations: Mapping[str, ProductCalibration]
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unreadable: Sequence[tuple[str, str]] = ()
    unreadable_count: int = 0
    scorecard: Scorecard | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def products(self) -> list[str]:
        """By name; images of unknown products come last."""
        return sorted(self.tallies, key=lambda product: (product == UNKNOWN_PRODUCT, product))

    @cached_property
    def anchors(self) -> dict[str, str]:
        return {product: f"product-{i}" for i, product in enumerate(self.products, start=1)}

    def render(self) -> Iterator[str]:
        """The page in pieces, to be written one after the other."""
        style, script = _asset("report.css") + palette.style_sheet(), _asset("report.js")
        policy = (
            f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"
        )
        yield (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark"><meta name="generator" content="Blemish">'
            f"<title>{text(self.title)}</title><style>{style}</style></head><body>"
            '<a class="skip" href="#products">Skip to the products</a>'
            f'<header class="top"><p class="brand">{_LOGO}Blemish</p><h1>{text(self.title)}</h1>'
            f"{self._protocol()}</header><main>"
        )
        yield self._summary()
        yield controls.filters([card for name in self.products for card in self._all_cards(name)], self.products)
        yield controls.heat_legend()
        yield '<div id="products">'
        for product in self.products:
            yield self._product(product)
        yield "</div>"
        yield tables.unreadable_table(self.unreadable, self.unreadable_count)
        yield tables.details(self.details)
        yield (
            '</main><dialog id="enlarged" aria-label="Enlarged picture"><form method="dialog">'
            '<button type="submit">Close</button></form><div id="enlarged-picture"></div></dialog>'
            f"<script>{script}</script></body></html>\n"
        )

    def _protocol(self) -> str:
        if self.scorecard is None:
            return ""
        name = self.scorecard.protocol
        return f'<p class="protocol">Protocol <b>{text(name)}</b>. {text(tables.PROTOCOLS.get(name, ""))}</p>'

    def _summary(self) -> str:
        if self.scorecard is not None:
            body = tables.scorecard_tiles(self.scorecard) + tables.scorecard_table(self.scorecard, self.anchors)
            body += naming.naming_table(self.scorecard, self.anchors)
            return f'<section id="summary"><h2 class="hidden">Summary</h2>{body}</section>'
        unknown = sum(tally.unknown for tally in self.tallies.values())
        images = sum(tally.images for tally in self.tallies.values())
        flagged = sum(tally.flagged for tally in self.tallies.values())
        facts = [("Images inspected", f"{images:,}", ""), ("Defective", f"{flagged:,}", _share(flagged, images))]
        if unknown:
            facts.append(("Unknown product", f"{unknown:,}", "no verdict"))
        if self.unreadable_count:
            facts.append(("Unreadable files", f"{self.unreadable_count:,}", "listed below"))
        ordered = {product: self.tallies[product] for product in self.products}
        body = tables.tiles(facts) + tables.count_table(ordered, self.anchors, self.calibrations)
        return f'<section id="summary"><h2 class="hidden">Summary</h2>{body}</section>'

    def _product(self, product: str) -> str:
        tally, calibration = self.tallies[product], self.calibrations.get(product)
        score = next((s for s in self.scorecard.products if s.product == product), None) if self.scorecard else None
        lead = [_counts(tally)]
        if calibration is not None:
            lead.append(f"False-alarm rate: {calibration.statement()}.")
        plots = self._charts(tally, calibration, score) if product != UNKNOWN_PRODUCT else []
        recall = tables.recall_list(score) + naming.confusion_table(product, score.confusion) if score else ""
        legend = naming.colour_legend(self.categories.get(product, ()))
        figures = "".join(f"<figure>{plot}</figure>" for plot in plots if plot)
        return (
            f'<section class="product" id="{self.anchors[product]}" data-product="{text(product)}">'
            f'<h2><bdi>{text(product)}</bdi></h2><p class="lead">{text(" ".join(lead))}</p>'
            f'<div class="charts">{figures}{recall}</div>{legend}{self._galleries(product, calibration)}</section>'
        )

    def _charts(self, tally: Tally, calibration: ProductCalibration | None, score: ProductScore | None) -> list[str]:
        threshold = calibration.threshold if calibration and calibration.n else None
        normal, defective, unlabelled = tally["normal"], tally["defective"], tally[None]
        names = (("normal", normal, "normal"), ("defective", defective, "defective"), ("all images", unlabelled, "any"))
        rows = [charts.Series(name, scores.array, style) for name, scores, style in names if len(scores)]
        plots = [charts.histogram(rows, threshold)]
        if len(normal) and len(defective):
            alarms, recall = normal.flagged / len(normal), defective.flagged / len(defective)
            precision = defective.flagged / flagged if (flagged := normal.flagged + defective.flagged) else None
            plots += [
                charts.roc_curve(normal.array, defective.array, score.i_auroc if score else None, (alarms, recall)),
                charts.precision_recall_curve(
                    normal.array,
                    defective.array,
                    score.i_ap if score else None,
                    None if precision is None else (recall, precision),
                ),
            ]
        return plots

    def _galleries(self, product: str, calibration: ProductCalibration | None) -> str:
        misnamed = sorted(self.examples.cards(product, "misnamed"), key=_doubt)
        shown = {card.serial for card in misnamed}
        found = self.examples.cards(product, "hardest", "clearest")[::-1]
        defects = [card for card in found if card.serial not in shown]
        hard = [card for i, card in enumerate(defects) if card.outcome == "missed" or i < len(defects) / 2]
        serials = {card.serial for card in hard}
        clear = [card for card in defects[::-1] if card.serial not in serials]
        highest = self.examples.cards(product, "highest")
        lists = (
            ("Wrongly named", "highest confidence first", misnamed),
            ("Hardest defects", "lowest scores first", hard),
            ("Most suspicious normal images", "highest scores first", self.examples.cards(product, "suspicious")),
            ("Clearest defects", "highest scores first", clear),
            ("Product not recognised", "highest scores first", self.examples.cards(product, "mixed up")),
            ("Highest-scoring images", "of all and of every name" if any(c.category for c in highest) else "", highest),
            ("Unlike every product of the model", "least similar", self.examples.cards(product, "unknown")),
        )
        return "".join(gallery(title, hint, cards, calibration) for title, hint, cards in lists)

    def _all_cards(self, product: str) -> list[Card]:
        return self.examples.cards(
            product, "misnamed", "hardest", "clearest", "suspicious", "mixed up", "highest", "unknown"
        )


def _doubt(card: Card) -> tuple[float, int]:
    """Sorts by falling confidence in the name."""
    return -max(card.category_scores.values(), default=0.0), card.serial


def _counts(tally: Tally) -> str:
    parts = [f"{len(tally[label]):,} {label}" for label in ("normal", "defective") if len(tally[label])]
    counts = ", ".join(parts) if parts else counted(tally.images, "image")
    flagged = f"{tally.flagged:,} called defective" if tally.flagged or not tally.unknown else "no verdict"
    return f"{counts}; {flagged}."


def _share(part: int, whole: int) -> str:
    return f"{number(100 * part / whole)} % of the images" if whole else ""


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
