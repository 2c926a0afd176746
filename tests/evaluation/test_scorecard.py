from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blemish.data.sample import Sample
from blemish.errors import BlemishError, DataError
from blemish.evaluation.metrics import Rate, pixel_metrics
from blemish.evaluation.record import ImageRecord
from blemish.evaluation.scorecard import METRICS, Scorecard
from blemish.evaluation.scorecard_builder import ScorecardBuilder
from blemish.evaluation.scorecard_tables import scorecard_text
from blemish.inspection import UNKNOWN_PRODUCT, Inspection

MAP = np.array([[0.9, 0.1], [0.2, 0.3]], dtype=np.float32)
MASK = np.array([[True, False], [False, False]])
NO_DEFECT = np.zeros((2, 2), dtype=np.bool_)


def record(product: str, score: float, defect: str | None = None, *, verdict: bool, **changes: Any) -> ImageRecord:
    """A record; `defect` None makes a normal image."""
    fields: dict[str, Any] = {
        "source": f"{product}/{score}.png",
        "product": product,
        "label": "normal" if defect is None else "defective",
        "defect": defect,
        "score": score,
        "p_value": 0.5,
        "defective": verdict,
        "predicted_product": product,
        "similarity": 0.9,
    }
    return ImageRecord(**{**fields, **changes})


def example() -> Scorecard:
    """Screws with one mask missing and one image taken for a nut; nuts without any defect."""
    builder = ScorecardBuilder("honest", {"screw": (0.01, 0.05)})
    builder.add(record("screw", 0.1, verdict=False), MAP, None)
    builder.add(record("nut", 0.2, verdict=True), MAP, None)
    builder.add(record("screw", 0.4, verdict=True, predicted_product="nut"), MAP, NO_DEFECT)
    builder.add(record("screw", 0.9, "scratch", verdict=True), MAP, MASK)
    builder.add(record("screw", 0.3, "scratch", verdict=False), MAP, None)
    builder.add(record("screw", 0.8, verdict=True, label="defective"), MAP, MASK)
    return builder.finish({"seed": 3, "command": "évaluer"})


def test_a_product_is_scored_from_its_own_images() -> None:
    card = example()
    nut, screw = card.products
    assert (screw.product, screw.normals, screw.defectives, screw.without_mask) == ("screw", 2, 3, 1)
    assert screw.i_auroc == pytest.approx(5 / 6)
    assert screw.i_ap == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert screw.i_f1max == pytest.approx(6 / 7)
    assert screw.false_alarms == Rate.of([False, True])
    assert screw.recall == Rate.of([True, False, True])
    assert (screw.requested_rate, screw.effective_rate) == (0.01, 0.05)
    assert screw.retrieval_accuracy == 0.8
    assert screw.recall_by_defect == {"scratch": Rate.of([True, False]), "unnamed": Rate.of([True])}
    assert nut.false_alarm_rate == 1.0
    assert (nut.i_auroc, nut.recall, nut.recall_rate, nut.p_ap, nut.requested_rate) == (None,) * 5
    assert (nut.retrieval_accuracy, nut.recall_by_defect) == (1.0, {})
    assert card.false_alarms == Rate.of([False, True, True])
    assert card.recall == screw.recall
    assert [r.score for r in card.records] == [0.1, 0.2, 0.4, 0.9, 0.3, 0.8]


def test_pixel_metrics_leave_out_defective_images_without_mask() -> None:
    screw = example().products[1]
    expected = pixel_metrics([MAP] * 4, [None, None, MASK, MASK])
    assert screw.p_ap == expected.p_ap
    assert screw.p_auroc == expected.p_auroc
    assert (screw.p_f1max, screw.f1_threshold) == (expected.p_f1max, expected.f1_threshold)
    assert (screw.aupro_30, screw.aupro_05) == (expected.aupro_30, expected.aupro_05)


def test_pixels_outside_the_region_of_interest_are_ignored() -> None:
    builder = ScorecardBuilder()
    roi = np.array([[True, True], [False, True]])
    builder.add(record("screw", 1.0, "dent", verdict=True), MAP, MASK, roi)
    assert builder.finish().products[0].p_auroc == pixel_metrics([MAP], [MASK], roi).p_auroc


@pytest.mark.parametrize(
    ("metric", "products", "expected"),
    [
        ("false_alarm_rate", None, 0.75),
        ("false_alarm_rate", ["nut"], 1.0),
        ("i_auroc", None, 5 / 6),
        ("i_auroc", ["nut"], None),
        ("i_auroc", [], None),
    ],
)
def test_means_ignore_products_that_lack_the_metric(
    metric: str, products: list[str] | None, expected: float | None
) -> None:
    assert example().mean(metric, products) == pytest.approx(expected)


def test_retrieval_is_undefined_when_the_product_was_given_and_wrong_when_unknown() -> None:
    builder = ScorecardBuilder()
    builder.add(record("a", 0.1, verdict=False, predicted_product=None), MAP, None)
    builder.add(record("b", 0.1, verdict=False, predicted_product=UNKNOWN_PRODUCT), MAP, None)
    assert [score.retrieval_accuracy for score in builder.finish().products] == [None, 0.0]


def test_a_record_pairs_a_sample_with_its_inspection() -> None:
    sample = Sample(Path("a") / "ü.png", "screw", "test", "defective", defect="dent")
    inspection = Inspection(np.float32(2.5), 0.01, np.True_, "nut", 0.7, MAP, MASK, (2, 2))  # type: ignore[arg-type]
    expected = ImageRecord(str(sample.path), "screw", "defective", "dent", 2.5, 0.01, True, "nut", 0.7)
    made = ImageRecord.of(sample, inspection)
    assert made == expected
    assert (type(made.score), type(made.defective)) == (float, bool)
    assert ImageRecord.of(sample, inspection, product_given=True) == replace(expected, predicted_product=None)


@pytest.mark.parametrize(
    ("changes", "anomaly_map", "mask", "message"),
    [
        ({"score": math.nan}, MAP, MASK, "score"),
        ({"p_value": math.inf}, MAP, MASK, "p-value"),
        ({"similarity": math.nan}, MAP, MASK, "similarity"),
        ({}, np.full((2, 2), np.nan), MASK, "not finite"),
        ({}, MAP, np.zeros((3, 3), dtype=bool), "mask has the shape"),
    ],
)
def test_a_bad_image_is_named_and_loses_no_other(
    changes: dict[str, Any], anomaly_map: np.ndarray, mask: np.ndarray, message: str
) -> None:
    builder = ScorecardBuilder()
    builder.add(record("screw", 0.1, verdict=False), MAP, None)
    before = builder.finish()
    bad = replace(record("screw", 1.0, "dent", verdict=True, source="bad.png"), **changes)
    with pytest.raises(BlemishError, match=rf"'bad\.png'.*{message}"):
        builder.add(bad, anomaly_map, mask)
    assert builder.finish() == before


def test_nothing_added_gives_an_empty_card() -> None:
    card = ScorecardBuilder("paper").finish()
    assert (card.products, card.records, card.false_alarms, card.recall) == ((), (), None, None)
    assert all(card.mean(metric) is None for metric in METRICS)
    assert Scorecard.from_dict(card.to_dict()) == card
    assert "mean" in scorecard_text(card)


def test_json_round_trip(tmp_path: Path) -> None:
    card = example()
    assert Scorecard.from_dict(json.loads(json.dumps(card.to_dict()))) == card
    target = tmp_path / "cärd.json"
    target.write_text("old")
    card.save(target)
    assert Scorecard.load(target) == card
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert json.loads(target.read_text(encoding="utf-8"))["mean"]["i_auroc"] == pytest.approx(5 / 6)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def full_disk(*_: object) -> None:
        raise OSError("No space left on device")

    target = tmp_path / "card.json"
    target.write_text("old")
    monkeypatch.setattr(f"os.{step}", full_disk)
    with pytest.raises(BlemishError, match="No space"):
        example().save(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("{", "Cannot read"),
        ("[]", "not a scorecard"),
        ("{}", "not a scorecard"),
        ('{"schema_version": 99}', "later version"),
        ('{"schema_version": 1, "products": 3}', "not a scorecard"),
    ],
)
def test_an_unusable_file_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    target = tmp_path / "card.json"
    if text is not None:
        target.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        Scorecard.load(target)
    assert "card.json" in str(caught.value)


def rows(text: str) -> list[list[str]]:
    """The words of every line."""
    return [line.split() for line in text.splitlines()]


def test_text_is_in_percent_and_shows_undefined_as_a_dash() -> None:
    text = scorecard_text(example())
    lines = rows(text)
    ranking = {line[0]: line[1:] for line in reversed(lines) if len(line) == 9}
    assert ranking["nut"] == ["–"] * 8
    assert ranking["screw"][:3] == ranking["mean"][:3] == ["83.3", "91.7", "85.7"]
    assert "without a mask, not in the pixel metrics: 1." in text
    assert ["nut", "1/1", "100.0", "(2.5–100.0)", "–", "–", "–", "–", "100.0"] in lines
    assert ["screw", "1/2", "50.0", "(1.3–98.7)", "1/3", "66.7", "(9.4–99.2)", "1.0", "5.0", "80.0"] in lines
    assert ["all", "images", "2/3", "66.7", "(9.4–99.2)", "1/3", "66.7", "(9.4–99.2)"] in lines
    assert ["screw", "scratch", "1/2", "50.0", "(1.3–98.7)"] in lines
    assert max(map(len, text.splitlines())) <= 100


def test_product_names_are_not_read_as_markup() -> None:
    builder = ScorecardBuilder("[bold]")
    builder.add(record("[red]x[/]", 0.1, "[i]", verdict=True), MAP, MASK)
    text = scorecard_text(builder.finish())
    assert "[red]x[/]" in text
    assert "[i]" in text
    assert "[bold]" in text


def test_a_scorecard_loads_without_torch_and_scipy(tmp_path: Path) -> None:
    target = tmp_path / "card.json"
    example().save(target)
    code = (
        "import sys; sys.modules['torch'] = sys.modules['scipy'] = None\n"
        "from blemish.evaluation.scorecard import Scorecard\n"
        "from blemish.evaluation.scorecard_tables import scorecard_text\n"
        "assert 'rich' not in sys.modules\n"
        "print(scorecard_text(Scorecard.load(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-X", "utf8", "-c", code, str(target)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert "screw" in done.stdout.decode()
