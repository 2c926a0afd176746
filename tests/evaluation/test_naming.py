from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blemish.data.sample import Sample
from blemish.errors import BlemishError
from blemish.evaluation.metrics import Confusion
from blemish.evaluation.metrics.classification import NORMAL
from blemish.evaluation.record import ImageRecord
from blemish.evaluation.scorecard import NAMING_METRICS, Scorecard
from blemish.evaluation.scorecard_builder import ScorecardBuilder
from blemish.evaluation.scorecard_tables import scorecard_text
from blemish.inspection import UNKNOWN_DEFECT, UNKNOWN_PRODUCT, Inspection

pytestmark = pytest.mark.core

NAMES = ("crack", "dent")
# Two of four pixels are found, and truly defective.
FOUND = np.array([[True, True], [False, False]])


def inspection(
    called: str | None, confidence: float = 0.8, *, product: str = "nut", names: tuple[str, ...] = NAMES, **changes: Any
) -> Inspection:
    """An image called `called`: a category, `UNKNOWN_DEFECT`, or None for normal."""
    mask = FOUND if called else ~np.ones_like(FOUND)
    index = names.index(called) if called in names else -1
    scores = {name: confidence if i == 0 else (1 - confidence) / len(names[1:]) for i, name in enumerate(names)}
    fields: dict[str, Any] = {
        "score": 1.0,
        "p_value": 0.5,
        "defective": called is not None,
        "product": product,
        "similarity": 0.9,
        "anomaly_map": mask.astype(np.float32),
        "mask": mask,
        "size": (2, 2),
        "category": called if names else None,
        "category_scores": scores if called else {},
        "categories": names,
        "category_map": np.where(mask, index, -1).astype(np.int16) if names else None,
    }
    return Inspection(**{**fields, **changes})


def evaluated(*images: tuple[str | None, Inspection], product: str = "nut", masks: bool = True) -> Scorecard:
    """Pairs of the true defect (None: normal) and what was found; "?" is a defect without a name."""
    pytest.importorskip("scipy")
    builder = ScorecardBuilder()
    for number, (defect, found) in enumerate(images):
        label = "normal" if defect is None else "defective"
        name = None if defect == "?" else defect
        sample = Sample(Path(f"{number}.png"), product, "test", label, name)  # type: ignore[arg-type]
        truth = FOUND if defect is not None and masks else None
        builder.add(ImageRecord.of(sample, found), found.anomaly_map, truth, None, found)
    return builder.finish()


def test_names_are_counted_over_the_learned_categories_and_normal() -> None:
    card = evaluated(
        (None, inspection(None)),
        (None, inspection("dent")),
        ("crack", inspection("crack", 0.9)),
        ("crack", inspection("crack", 0.8)),
        ("dent", inspection("crack", 0.6)),
        ("dent", inspection(UNKNOWN_DEFECT, 0.5)),
        ("burr", inspection(UNKNOWN_DEFECT, 0.55)),
        ("burr", inspection("dent", 0.7)),
        ("burr", inspection(None)),
        ("combined", inspection("dent")),
        ("?", inspection("dent")),
    )
    (nut,) = card.products
    assert nut.confusion == Confusion(
        rows=(NORMAL, "crack", "dent", "burr"),
        columns=(NORMAL, "crack", "dent", UNKNOWN_DEFECT),
        counts=((1, 0, 1, 0), (0, 2, 0, 0), (0, 1, 0, 1), (1, 0, 1, 1)),
        learned=2,
    )
    assert nut.accuracy == pytest.approx(3 / 6)
    assert nut.balanced_accuracy == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert nut.macro_f1 == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    # Pixels of the same six images: 2 of 16 in the background are found; 4 are rightly cracks, 2 wrongly.
    background = 14 / 16
    assert nut.miou == pytest.approx((background + 4 / 6 + 0 / 6) / 3)
    # 1 − score of the unknown ones (0.45, 0.3) against the known (0.1, 0.2, 0.4, 0.5): 3 + 2 of 8 pairs are right.
    assert nut.unknown_auroc == pytest.approx(5 / 8)
    assert (nut.normals, nut.defectives) == (2, 9)
    assert card.mean("accuracy") == nut.accuracy
    assert Scorecard.from_dict(json.loads(json.dumps(card.to_dict()))) == card


def test_without_categories_nothing_is_named() -> None:
    card = evaluated((None, inspection(None, names=())), ("crack", inspection("crack", names=())))
    (nut,) = card.products
    assert [getattr(nut, name) for name in NAMING_METRICS] == [None] * len(NAMING_METRICS)
    assert nut.confusion is None
    assert [(record.category, record.category_confidence) for record in card.records] == [(None, None)] * 2
    assert "Names of defects" not in scorecard_text(card)


def test_an_image_without_a_mask_is_named_but_has_no_pixels() -> None:
    (nut,) = evaluated((None, inspection(None)), ("crack", inspection("dent")), masks=False).products
    assert (nut.accuracy, nut.miou) == (0.5, 1.0)


def test_an_image_taken_for_another_product() -> None:
    stranger = inspection(None, product=UNKNOWN_PRODUCT, names=())
    card = evaluated(
        ("crack", inspection("crack")),
        ("crack", inspection("burn", product="bolt", names=("burn",))),
        ("crack", inspection("?", product="gear", names=())),
        ("crack", stranger),
    )
    (nut,) = card.products
    assert [record.category for record in card.records] == ["crack", "burn", None, None]
    assert nut.confusion is not None
    assert nut.confusion.columns == (NORMAL, *NAMES, UNKNOWN_DEFECT, "burn")
    assert nut.confusion.counts[1] == (1, 1, 0, 1, 1)
    assert nut.accuracy == 0.25


def test_the_categories_are_those_of_the_own_product() -> None:
    (nut,) = evaluated(("crack", inspection("crack", product="bolt"))).products
    assert (nut.accuracy, nut.confusion) == (None, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category_map": np.zeros((3, 3), np.int16)}, "shape"),
        ({"category_map": np.full((2, 2), 7, np.int16)}, "index beyond"),
        ({"categories": ("normal",)}, "categories must differ"),
    ],
)
def test_a_bad_category_map_loses_no_other_image(changes: dict[str, Any], message: str) -> None:
    pytest.importorskip("scipy")
    builder = ScorecardBuilder()
    sample, good = Sample(Path("a.png"), "nut", "test", "defective", "crack"), inspection("crack")
    builder.add(ImageRecord.of(sample, good), good.anomaly_map, FOUND, None, good)
    before = builder.finish()
    bad = replace(good, **changes)
    with pytest.raises(BlemishError, match=rf"'a\.png'.*{message}"):
        builder.add(ImageRecord.of(sample, bad), bad.anomaly_map, FOUND, None, bad)
    assert builder.finish() == before


def test_a_bad_anomaly_map_leaves_no_names() -> None:
    pytest.importorskip("scipy")
    builder = ScorecardBuilder()
    sample, found = Sample(Path("a.png"), "nut", "test", "defective", "crack"), inspection("crack")
    with pytest.raises(BlemishError, match="not finite"):
        builder.add(ImageRecord.of(sample, found), np.full((2, 2), np.nan), FOUND, None, found)
    normal = inspection(None, names=())
    builder.add(ImageRecord.of(replace(sample, label="normal", defect=None), normal), normal.anomaly_map, None)
    assert builder.finish().products[0].confusion is None


def test_scorecards_from_before_there_were_names_still_load() -> None:
    card = evaluated((None, inspection(None, names=())), ("crack", inspection("?", names=())))
    old = json.loads(json.dumps(card.to_dict()))
    old["schema_version"] = 1
    for name in (*NAMING_METRICS, "confusion"):
        for product in old["products"]:
            del product[name]
    for record in old["records"]:
        del record["category"], record["category_confidence"]
    assert Scorecard.from_dict(old) == card


def test_the_terminal_shows_names() -> None:
    text = scorecard_text(
        evaluated((None, inspection(None)), ("dent", inspection("dent")), ("burr", inspection("crack")))
    )
    lines = [line.split() for line in text.splitlines()]
    assert ["nut", "2", "100.0", "100.0", "100.0", "100.0", "50.0"] in lines
    assert ["dent", "0", "0", "1", "0"] in lines
    assert ["burr", "(not", "learned)", "0", "1", "0", "0"] in lines
    assert max(map(len, text.splitlines())) <= 100


def test_many_categories_are_numbered() -> None:
    names = tuple(f"a category of number {number}" for number in range(12))
    text = scorecard_text(
        evaluated((None, inspection(None, names=names)), (names[3], inspection(names[3], names=names)))
    )
    assert max(map(len, text.splitlines())) <= 100
    (row,) = [line.split() for line in text.splitlines() if line.split()[:1] == ["5"]]
    assert row == ["5", *names[3].split(), *["0"] * 4, "1", *["0"] * 9]
    assert [line for line in text.splitlines() if line.split() == ["14", "unknown", "defect"]]
