"""Cards as HTML: image, heat map, outlines, verdict."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from pathlib import PurePath

from blemish.calibration import ProductCalibration
from blemish.evaluation.report.case import Card
from blemish.evaluation.report.markup import counted, number, text
from blemish.evaluation.report.naming import called
from blemish.evaluation.report.overlay import Outline
from blemish.evaluation.report.palette import tone_class
from blemish.inspection import UNKNOWN_PRODUCT, Region

VISIBLE = 6
"""Cards of one list that show at once; the others unfold at a click."""

# Beyond this ratio of width to height two pictures fill a frame of 2:1 better one below the other.
_WIDE = 2
_GAP = 4
_CATEGORY_HEAD = '<th scope="col" class="words">category</th>'


def gallery(title: str, hint: str, cards: Sequence[Card], calibration: ProductCalibration | None) -> str:
    """A titled list of cards; nothing at all without cards."""
    if not cards:
        return ""
    items = "".join(_card(card, calibration, folded=i >= VISIBLE) for i, card in enumerate(cards))
    rest = len(cards) - VISIBLE
    more = f'<button class="more" type="button" hidden>Show {rest} more</button>' if rest > 0 else ""
    return (
        f'<section class="gallery"><h3>{text(title)} <span class="soft">{text(hint)}</span></h3>'
        f'<div class="cards">{items}</div>{more}</section>'
    )


def _card(card: Card, calibration: ProductCalibration | None, folded: bool) -> str:
    path = PurePath(card.source or f"image {card.serial}")
    folder = f'<span class="soft">{text(path.parent.name)}/</span>' if path.parent.name else ""
    found = card.found_product not in (card.product, UNKNOWN_PRODUCT)
    category = f' data-category="{text(card.category)}"' if card.category else ""
    facts = [_score(card, calibration)]
    if card.defect:
        facts.append(f"true defect: <b><bdi>{text(card.defect)}</bdi></b>")
    if found:
        facts.append(f"taken for <b><bdi>{text(card.found_product)}</bdi></b>")
    if found or card.outcome == "unknown product":
        facts.append(f"similarity {number(card.similarity)}")
    return (
        f'<article class="card{" folded" if folded else ""}" data-defect="{text(card.defect or "")}" '
        f'data-outcome="{text(card.outcome)}"{category}>'
        f'<button class="picture" type="button" aria-haspopup="dialog">{_picture(card)}</button>'
        f'<div class="facts"><p class="name" title="{text(card.source)}"><bdi>{folder}{text(path.name)}</bdi></p>'
        f'<p><span class="badge" data-outcome="{text(card.outcome)}">{text(card.outcome)}</span></p>'
        f"{_called(card)}<p>{'<br>'.join(facts)}</p>{_regions(card)}</div></article>"
    )


def _score(card: Card, calibration: ProductCalibration | None) -> str:
    score = f"score <b>{number(card.score)}</b>"
    if card.outcome == "unknown product":
        return "no verdict"
    if calibration is not None and calibration.n and card.found_product == card.product:
        score += f" (threshold {number(calibration.threshold)})"
    return f"{score}, p = {card.p_value:.2g}"


def _called(card: Card) -> str:
    if card.category is None:
        return ""
    wrong = ' <span class="badge" data-outcome="wrongly named">wrongly named</span>' if card.misnamed else ""
    return f"<p>{called(card.category, card.category_scores, card.categories)}{wrong}</p>"


def _regions(card: Card) -> str:
    if not card.region_count:
        return ""
    named = any(region.category for region in card.regions)
    rows = "".join(_region(region, card.categories, named) for region in card.regions)
    hidden = card.region_count - len(card.regions)
    rest = f"<p>… and {counted(hidden, 'smaller region')}</p>" if hidden else ""
    return (
        f"<details><summary>{counted(card.region_count, 'region')}</summary><table>"
        '<thead><tr><th scope="col">left, top</th><th scope="col">size</th><th scope="col">area</th>'
        f'<th scope="col">score</th>{_CATEGORY_HEAD if named else ""}</tr></thead>'
        f"<tbody>{rows}</tbody></table>{rest}</details>"
    )


def _region(region: Region, categories: Sequence[str], named: bool) -> str:
    left, top, right, bottom = region.box
    name = called(region.category, region.category_scores, categories) if region.category else "–"
    column = f'<td class="words">{name}</td>' if named else ""
    return (
        f"<tr><td>{left}, {top}</td><td>{right - left} × {bottom - top}</td><td>{number(region.area)} px²</td>"
        f"<td>{number(region.score)}</td>{column}</tr>"
    )


def _picture(card: Card) -> str:
    """The plain image and the marked one as one SVG; the photo is stored once and used twice."""
    width, height = card.size
    photo, fill = f"photo-{card.serial}", f'width="{width}" height="{height}"'
    image = f'<image id="{photo}" {fill} href="{_data_uri("jpeg", card.photo)}"/>'
    spoken = text(_spoken(card))
    if card.heat is None:
        return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{spoken}">{image}</svg>'
    stacked = width > _WIDE * height
    x, y = (0, height + _GAP) if stacked else (width + _GAP, 0)
    return (
        f'<svg viewBox="0 0 {x + width} {y + height}" role="img" aria-label="{spoken}">{image}'
        f'<svg x="{x}" y="{y}" {fill} viewBox="0 0 {width} {height}"><use href="#{photo}"/>'
        f'<image class="heat" {fill} preserveAspectRatio="none" href="{_data_uri("png", card.heat)}"/>'
        f"{_outlines('truth', card.truth)}{_findings(card)}</svg></svg>"
    )


def _spoken(card: Card) -> str:
    """What a screen reader says in place of the picture."""
    name = PurePath(card.source).name or f"image {card.serial}"
    truth = f"truly {card.defect or card.label}" if card.label else "truth not known"
    name_of = f", called {card.category}" if card.category else ""
    found = f"{name_of}, {counted(card.region_count, 'region')} found. First the image, then the same with its heat map"
    return f"{name}: {card.outcome}, {truth}{found if card.heat else ''}."


def _findings(card: Card) -> str:
    """The outlines of the regions, those of one colour together; white ones below the others."""
    tones = sorted(set(card.tones), key=lambda tone: (tone is not None, tone))
    return "".join(
        _outlines(
            " ".join(filter(None, ("finding", tone_class(tone)))),
            [outline for outline, own in zip(card.findings, card.tones, strict=True) if own == tone],
        )
        for tone in tones
    )


def _outlines(style: str, outlines: Sequence[Outline]) -> str:
    if not outlines:
        return ""
    path = "".join("M" + " ".join(f"{x:.1f} {y:.1f}" for x, y in outline) + "Z" for outline in outlines)
    return f'<path class="{style} shadow" d="{path}"/><path class="{style}" d="{path}"/>'


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(data).decode('ascii')}"
