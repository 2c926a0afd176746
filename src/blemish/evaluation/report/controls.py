"""The bar with filters and switches, and the scale of the heat maps."""

from __future__ import annotations

from collections.abc import Sequence

from blemish.evaluation.report.case import Card
from blemish.evaluation.report.markup import text
from blemish.evaluation.report.overlay import COLOURS


def filters(cards: Sequence[Card], products: Sequence[str]) -> str:
    """What the script shows, as nothing in it works without; only choices between several values are offered."""
    selects = (
        ("product", "Product", "All products", products),
        ("defect", "Defect", "All defects", sorted({card.defect for card in cards if card.defect})),
        ("category", "Called", "All names", sorted({card.category for card in cards if card.category})),
        ("outcome", "Verdict", "All verdicts", sorted({card.outcome for card in cards})),
    )
    fields = "".join(
        f'<label><span class="hidden">{label}</span><select data-filter="{name}">'
        f'<option value="">{everything}</option>'
        + "".join(f"<option>{text(value)}</option>" for value in values)
        + "</select></label>"
        for name, label, everything, values in selects
        if len(values) > 1
    )
    layers = [("heat", "Heat map"), ("finding", "Findings")]
    if any(card.truth for card in cards):
        layers.append(("truth", "Ground truth"))
    switches = "".join(
        f'<label class="switch"><input type="checkbox" data-layer="{name}" checked>'
        f'<span class="key {name}"></span>{label}</label>'
        for name, label in layers
    )
    return (
        f'<form class="filters" hidden aria-label="Filter">{fields}'
        f'<fieldset><legend class="hidden">Layers</legend>{switches}</fieldset>'
        '<output aria-live="polite"></output><button type="reset">Reset</button></form>'
    )


def heat_legend() -> str:
    """The colour scale of the heat maps; the threshold lies in its middle."""
    stops = "".join(
        f'<stop offset="{i / 8}" stop-color="#{bytes(COLOURS[round(255 * i / 8)]).hex()}"/>' for i in range(9)
    )
    return (
        '<p class="legend"><svg viewBox="0 0 200 12" role="img" aria-label="Colour scale of the heat maps, from indigo '
        f'over red to yellow"><defs><linearGradient id="scale">{stops}</linearGradient></defs>'
        '<rect width="200" height="12" rx="3" fill="url(#scale)"/><path class="middle" d="M100 0V12"/></svg>'
        "<span>Heat maps: violet is within the range of normal images; red and yellow are above the product's "
        "threshold, the line in the middle of the scale. p is the share of normal images that score as high.</span></p>"
    )
