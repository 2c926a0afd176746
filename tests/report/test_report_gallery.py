from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from blemish.calibration import ProductCalibration
from blemish.evaluation.report.case import MAX_HEAT_SIDE, Card, Case
from blemish.evaluation.report.gallery import Gallery
from blemish.inspection import UNKNOWN_PRODUCT, Inspection, Region

pytestmark = pytest.mark.core

IMAGE = Image.new("RGB", (40, 20), "grey")


def case(score: float, defective: bool = False, found: str = "nut", similarity: float = 0.9, **truth: Any) -> Case:
    square = ((0.0, 0.0), (200.0, 0.0), (200.0, 200.0), (0.0, 200.0))
    region = Region(box=(0, 0, 200, 200), polygon=square, area=40000, score=score)
    inspection = Inspection(
        score=score,
        p_value=0.5,
        defective=defective,
        product=found,
        similarity=similarity,
        anomaly_map=np.full((4, 4), score, np.float32),
        mask=np.zeros((4, 4), dtype=bool),
        size=(400, 200),
        regions=(region,) if defective else (),
        source=f"{score}.png",
    )
    return Case(inspection, IMAGE, **truth)


@pytest.mark.parametrize(
    ("label", "defective", "found", "outcome"),
    [
        ("defective", True, "nut", "caught"),
        ("defective", False, "nut", "missed"),
        ("normal", True, "nut", "false alarm"),
        ("normal", False, "nut", "passed"),
        (None, True, "nut", "defective"),
        (None, False, "nut", "normal"),
        ("defective", False, UNKNOWN_PRODUCT, "unknown product"),
        (None, False, UNKNOWN_PRODUCT, "unknown product"),
    ],
)
def test_outcomes(label: Any, defective: bool, found: str, outcome: str) -> None:
    assert case(1, defective, found, product="nut", label=label).outcome == outcome


def test_the_shown_product_is_the_true_one() -> None:
    assert case(1, product="bolt").shown_product == "bolt"
    assert case(1).shown_product == "nut"


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["a", "b", None])), max_size=40), st.integers(1, 3))
def test_the_hardest_and_clearest_of_every_category_stay(defects: list[tuple[int, str | None]], examples: int) -> None:
    gallery = Gallery(examples, 8, {})
    for score, defect in defects:
        gallery.offer(case(score, product="nut", label="defective", defect=defect))
    for choice, sign in (("hardest", 1), ("clearest", -1)):
        cards = gallery.cards("nut", choice)  # type: ignore[arg-type]
        assert [card.score for card in cards] == sorted((card.score for card in cards), reverse=True)
        for category in ("a", "b", None):
            # Of equal scores the first stays: a stable sort.
            expected = sorted(
                (n for n, (_, d) in enumerate(defects, 1) if d == category), key=lambda n: sign * defects[n - 1][0]
            )
            assert {card.serial for card in cards if card.defect == category} == set(expected[:examples])


def test_lists_without_categories_are_three_times_as_long() -> None:
    gallery = Gallery(2, 8, {})
    for score in range(20):
        gallery.offer(case(score, product="nut", label="normal"))
        gallery.offer(case(score))
    assert [card.score for card in gallery.cards("nut", "suspicious")] == [19, 18, 17, 16, 15, 14]
    assert [card.score for card in gallery.cards("nut", "highest")] == [19, 18, 17, 16, 15, 14]


def test_only_cases_that_are_shown_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    encode = Card.of

    def noted(case: Case, serial: int, side: int, pixel_threshold: float | None) -> Card:
        encoded.append(serial)
        return encode(case, serial, side, pixel_threshold)

    monkeypatch.setattr(Card, "of", noted)
    gallery = Gallery(1, 8, {})
    for score in range(30, 0, -1):
        gallery.offer(case(score))
    assert encoded == [1, 2, 3]


def test_products_that_were_not_recognised_are_listed_apart() -> None:
    gallery = Gallery(1, 8, {})
    gallery.offer(case(5, True, product="bolt", label="defective", similarity=0.7))
    gallery.offer(case(5, found=UNKNOWN_PRODUCT, product="bolt", label="normal", similarity=0.1))
    gallery.offer(case(5, found=UNKNOWN_PRODUCT, similarity=0.2))
    assert gallery.cards("bolt", "hardest", "clearest", "suspicious", "highest") == []
    assert [card.found_product for card in gallery.cards("bolt", "mixed up")] == ["nut", UNKNOWN_PRODUCT]
    (unknown,) = gallery.cards(UNKNOWN_PRODUCT, "unknown")
    assert unknown.heat is None


def test_a_card_is_small_and_in_thumbnail_pixels() -> None:
    found = case(3, True, truth=np.eye(8, dtype=bool), label="defective")
    card = Card.of(found, 1, 16, pixel_threshold=1.5)
    assert card.size == (16, 8)
    assert Image.open(BytesIO(card.photo)).size == (16, 8)
    assert card.findings == (((0, 0), (8, 0), (8, 8), (0, 8)),)
    xs, ys = zip(*card.truth[0], strict=True)
    assert 0 <= min(xs) < max(xs) <= 16
    assert 0 <= min(ys) < max(ys) <= 8
    assert (card.region_count, card.original_size) == (1, (400, 200))


def test_heat_maps_share_the_scale_of_their_product() -> None:
    calibrations = {"nut": ProductCalibration(scores=[1.0], peaks=[1.0], similarities=[0.9])}  # type: ignore[arg-type]
    gallery = Gallery(2, 8, calibrations)
    for score in (1, 4):
        gallery.offer(case(score))
    hot, threshold = (
        np.asarray(Image.open(BytesIO(card.heat or b"")).convert("RGBA")) for card in gallery.cards("nut", "highest")
    )
    assert (hot[..., 3] > threshold[..., 3]).all()
    assert (hot[..., 0] > hot[..., 2]).all()


def test_large_maps_are_reduced() -> None:
    big = case(1)
    inspection = Inspection(**{**big.inspection.__dict__, "anomaly_map": np.ones((600, 300), np.float32)})
    card = Card.of(Case(inspection, IMAGE), 1, 16, None)
    assert max(Image.open(BytesIO(card.heat or b"")).size) == MAX_HEAT_SIDE
