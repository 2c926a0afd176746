"""Text, numbers and the frame of tables as they stand in the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from blemish.evaluation.metrics import Rate

# Control characters, which HTML forbids, and lone surrogates, which stand for undecodable bytes of file names.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def text(value: object) -> str:
    """Any text, made safe for element content and quoted attributes."""
    return escape(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(value)), quote=True)


def number(value: float) -> str:
    """Three significant digits, with thousands separated and no exponent between 0.001 and a million."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{float(f'{value:.3g}'):g}"


def percent(share: float | None) -> str:
    """A share as percent without its sign, one decimal; a dash when there is none."""
    return "–" if share is None else f"{100 * share:.1f}"


def interval(rate: Rate) -> str:
    """The 95 % interval of a rate in percent."""
    return f"{percent(rate.low)}–{percent(rate.high)} %"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: "1 image", "1,204 images"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def scrollable(name: str, caption: str, head: str, rows: str, foot: str = "") -> str:
    """A table that scrolls sideways on narrow screens, by keyboard too."""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(name)}"><table>'
        f"<thead>{head}</thead><tbody>{rows}</tbody><tfoot>{foot}</tfoot></table></div>"
        + (f'<p class="caption">{text(caption)}</p>' if caption else "")
    )


def product_head(product: str, anchors: Mapping[str, str]) -> str:
    """The head of a product's row; `anchors`: product → id of its section."""
    name = f"<bdi>{text(product)}</bdi>"
    link = f'<a href="#{anchors[product]}">{name}</a>' if product in anchors else name
    return f'<th scope="row" title="{text(product)}">{link}</th>'
