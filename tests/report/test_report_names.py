from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from blemish.data.sample import Sample
from blemish.evaluation.record import ImageRecord
from blemish.evaluation.report import Case, ReportWriter, coloured_outlines, outlined, overlay, panel
from blemish.evaluation.report.gallery import Gallery
from blemish.evaluation.report.overlay import FINDING_COLOUR
from blemish.evaluation.report.palette import PALETTE
from blemish.evaluation.scorecard_builder import ScorecardBuilder
from blemish.inspection import UNKNOWN_DEFECT, Inspection
from blemish.regions import find_regions

pytestmark = pytest.mark.core

NAMES = ("crack", "dent", "<b>'stain'\"")
IMAGE = Image.new("RGB", (32, 32), "grey")


def inspection(*called: str, score: float = 2.0, confidence: float = 0.87, source: str = "a/1.png") -> Inspection:
    """One region for every name; none: a normal image. The first is the image's category."""
    heat = np.zeros((16, 16), np.float32)
    for number, _ in enumerate(called):
        heat[5 * number : 5 * number + 3, 2:5] = score - number / 10
    scores = dict.fromkeys(NAMES, (1 - confidence) / 2)
    regions = tuple(
        replace(region, category=name, category_scores={**scores, **({name: confidence} if name in NAMES else {})})
        for region, name in zip(find_regions(heat, heat > 0, (32, 32)), called, strict=True)
    )
    return Inspection(
        score=score,
        p_value=0.01,
        defective=bool(called),
        product="nut",
        similarity=0.9,
        anomaly_map=heat,
        mask=heat > 0,
        size=(32, 32),
        regions=regions,
        category=called[0] if called else None,
        category_scores=regions[0].category_scores if called else {},
        categories=NAMES,
        category_map=np.full((16, 16), -1, np.int16),
        source=source,
    )


class Words(HTMLParser):
    """Text and elements of a page; elements must be closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "br", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def evaluated(path: Path, *images: tuple[str | None, Inspection]) -> Words:
    """A report on pairs of the true defect (None: normal) and what was found."""
    pytest.importorskip("scipy")
    builder, writer = ScorecardBuilder(), ReportWriter(path, "Evaluation")
    for number, (defect, found) in enumerate(images):
        label = "normal" if defect is None else "defective"
        sample = Sample(Path(f"{number}.png"), "nut", "test", label, defect)  # type: ignore[arg-type]
        builder.add(ImageRecord.of(sample, found), found.anomaly_map, found.mask if defect else None, None, found)
        writer.add(Case.of(sample, found, IMAGE, found.mask))
    return Words(writer.finish(builder.finish()).read_text(encoding="utf-8"))


IMAGES = [
    (None, inspection(score=0.5, source="ok.png")),
    ("crack", inspection("crack", UNKNOWN_DEFECT, score=2.5, source="right.png")),
    ("dent", inspection("crack", score=1.5, source="wrong.png")),
    (NAMES[2], inspection(NAMES[2], score=1.8, source="nasty.png")),
    ("burr", inspection(UNKNOWN_DEFECT, score=1.9, confidence=0.4, source="new.png")),
]


def test_an_evaluation_shows_names_confidences_and_colours(tmp_path: Path) -> None:
    page = evaluated(tmp_path / "r.html", *IMAGES)
    assert "Named rightly75.0 %accuracy" in page.text
    assert "crack 87 % wrongly named" in page.text
    assert page.text.count("wrongly named") == 1
    assert "unknown defect most like crack, 30 %" in page.text
    assert f"Outlines of findings:crackdent{NAMES[2]}unknown defect" in page.text
    cards = [attributes for tag, attributes in page.elements if tag == "article"]
    assert [card.get("data-category") for card in cards][:1] == ["crack"]
    assert {card.get("data-category") for card in cards} == {"crack", NAMES[2], UNKNOWN_DEFECT, None}
    lines = [attributes["class"] for tag, attributes in page.elements if tag == "path" and "class" in attributes]
    assert {"finding", "finding tone-0", "finding tone-2"} <= set(lines)
    assert "finding tone-1" not in lines
    assert page.text.index("Wrongly named") < page.text.index("Hardest defects")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert not [attributes for _, attributes in page.elements if "style" in attributes]


def test_the_confusion_matrix_can_be_read_by_everyone(tmp_path: Path) -> None:
    evaluated(tmp_path / "r.html", *IMAGES)
    (matrix,) = re.findall(r'<div class="confusion">.*?</table>', (tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "<caption" in matrix
    assert matrix.count('scope="col"') == 1 + len(NAMES) + 2
    assert matrix.count('scope="row"') == 1 + len(NAMES) + 1
    assert 'scope="colgroup" colspan="5"' in matrix
    assert "<small>not learned</small>" in matrix
    cells = re.findall(r'<td class="(hit|miss) shade-(\d+)" title="(.*?)">1</td>', matrix)
    assert ("miss", "10", "dent called crack: 1 of 1 image") in cells
    assert ("hit", "10", "burr called unknown defect: 1 of 1 image") in cells
    assert len(cells) == len(IMAGES)


def test_an_inspection_counts_categories(tmp_path: Path) -> None:
    writer = ReportWriter(tmp_path / "r.html", "Inspection")
    for name in ("dent", "crack", "crack", UNKNOWN_DEFECT):
        writer.add(Case(inspection(name), IMAGE))
    page = Words(writer.finish().read_text(encoding="utf-8"))
    assert "Categories found" in page.text
    assert "2 crack, 1 dent, 1 unknown defect" in page.text
    assert "Highest-scoring images of all and of every name" in page.text


@pytest.mark.parametrize(
    ("defect", "called", "product", "misnamed"),
    [
        ("crack", ["crack"], "nut", False),
        ("crack", ["dent"], "nut", True),
        ("crack", [UNKNOWN_DEFECT], "nut", True),
        ("crack", [], "nut", False),
        ("burr", [UNKNOWN_DEFECT], "nut", False),
        ("burr", ["dent"], "nut", True),
        ("combined", ["dent"], "nut", False),
        (None, ["dent"], "nut", False),
        ("crack", ["dent"], "bolt", False),
    ],
)
def test_what_is_wrongly_named(defect: str | None, called: list[str], product: str, misnamed: bool) -> None:
    assert Case(inspection(*called), IMAGE, product, "defective", defect).misnamed == misnamed


def test_without_categories_or_truth_nothing_is_wrongly_named() -> None:
    plain = replace(inspection("crack"), categories=(), category=None)
    assert not Case(plain, IMAGE, "nut", "defective", "dent").misnamed
    assert not Case(inspection("crack"), IMAGE).misnamed
    assert not Case(inspection("crack"), IMAGE, "nut", "normal").misnamed


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["crack", "dent"])), max_size=30))
def test_examples_of_every_name_stay(images: list[tuple[int, str]]) -> None:
    gallery = Gallery(1, 8, {})
    for score, name in images:
        gallery.offer(Case(inspection(name, score=score + 0.5), IMAGE))
    cards = gallery.cards("nut", "highest")
    assert {card.category for card in cards} == {name for _, name in images}
    for name in {name for _, name in images}:
        best = max(score for score, own in images if own == name) + 0.5
        assert best in [card.score for card in cards if card.category == name]


def found_at(picture: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int]:
    """Lowest and highest row that has this colour."""
    rows = np.flatnonzero((np.asarray(picture) == colour).all(axis=2).any(axis=1))
    return int(rows.min()), int(rows.max())


def test_outlines_have_the_colours_of_their_categories() -> None:
    found = inspection("dent", UNKNOWN_DEFECT)
    size = (160, 160)
    marks = coloured_outlines(found, size)
    assert [colour for _, colour in marks] == [PALETTE[1], FINDING_COLOUR]
    image = Image.new("RGB", size, "black")
    for picture in (
        outlined(image, outlines=marks),
        overlay(image, np.zeros((4, 4), np.float32), 0, 1, outlines=marks),
    ):
        assert found_at(picture, PALETTE[1])[1] < 35
        assert found_at(picture, FINDING_COLOUR)[0] > 40
    small = panel(image, np.zeros((4, 4), np.float32), 0, 1, outlines=marks, height=80)
    assert 15 < found_at(small.crop((180, 0, 244, 80)), FINDING_COLOUR)[1] < 45
