from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish.data.dataset import Dataset
from blemish.data.duplicates import file_hash
from blemish.engines.engine import EngineMaps
from blemish.errors import BlemishError, DataError
from blemish.evaluation.evaluate import evaluate
from blemish.evaluation.protocols import honest, paper
from blemish.evaluation.scorecard import Scorecard
from blemish.inspection import UNKNOWN_PRODUCT, Failure, Inspection
from blemish.inspector import Inspector

pytestmark = pytest.mark.core
Draw = Callable[..., Path]


def score(inspector: Inspector, root: Path, **options: Any) -> Scorecard:
    pytest.importorskip("scipy")
    return evaluate(inspector, Dataset.from_folder(root), **options)


def test_a_model_that_sees_every_defect(fake_inspector: Inspector, parts: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    card = score(
        fake_inspector,
        parts,
        report=tmp_path / "r.html",
        meta={"command": "test"},
        progress=lambda done, total: seen.append((done, total)),
    )
    assert card.protocol == "honest"
    assert [one.product for one in card.products] == ["bolt", "nut"]
    for one in card.products:
        assert (one.i_auroc, one.p_ap, one.retrieval_accuracy) == (1, 1, 1)
        assert one.aupro_05 == pytest.approx(1)
        assert (one.recall_rate, one.false_alarm_rate) == (1, 0)
        assert (one.requested_rate, one.effective_rate) == (0.05, 1 / 21)
        assert list(one.recall_by_defect) == ["spot"]
    assert seen == [(done, 8) for done in range(1, 9)]
    assert (card.meta["command"], card.meta["seed"], card.meta["test_images"]) == ("test", 3, 8)
    assert card.meta["unreadable"] == []
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Protocol <b>honest</b>" in page
    assert page.count("<article") == 8
    json.dumps(card.to_dict(), allow_nan=False)


@pytest.mark.usefixtures("with_names")
@pytest.mark.parametrize("protocol", ["honest", "paper"])
def test_names_are_scored(fake_inspector: Inspector, parts: Path, tmp_path: Path, protocol: Any) -> None:
    card = score(fake_inspector, parts, report=tmp_path / "r.html", protocol=protocol)
    bolt, nut = card.products
    assert (nut.accuracy, nut.balanced_accuracy, nut.macro_f1, nut.miou, nut.unknown_auroc) == (1, 1, 1, 1, None)
    assert (bolt.accuracy, bolt.confusion) == (None, None)
    assert nut.confusion is not None
    assert nut.confusion.rows == ("normal", "dent", "spot")
    spots = [record for record in card.records if record.product == "nut" and record.label == "defective"]
    assert [(record.category, record.category_confidence) for record in spots] == [("spot", 0.9)] * 2
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Named rightly" in page
    assert page.count('<div class="confusion">') == 1


@pytest.mark.usefixtures("with_names")
def test_names_that_are_not_theirs(fake_inspector: Inspector, parts: Path) -> None:
    (parts / "nut/test/spot").rename(parts / "nut/test/dent")
    (parts / "nut/ground_truth/spot").rename(parts / "nut/ground_truth/dent")
    nut = score(fake_inspector, parts).products[1]
    assert nut.confusion is not None
    assert nut.confusion.counts == ((2, 0, 0, 0), (0, 0, 2, 0), (0, 0, 0, 0))
    assert (nut.accuracy, nut.balanced_accuracy) == (0.5, 0.5)
    assert nut.miou == pytest.approx(1 / 3)  # background, dent that is never found, spot that is not there


def test_the_model_is_not_told_the_product(fake_inspector: Inspector, parts: Path, draw: Draw) -> None:
    draw("parts/bolt/test/good/0.png", "nut")
    draw("parts/bolt/test/good/1.png", "stranger")
    card = score(fake_inspector, parts)
    assert card.products[0].retrieval_accuracy == 0.5
    found = [record.predicted_product for record in card.records if "good" in record.source]
    assert found == ["nut", UNKNOWN_PRODUCT, "nut", "nut"]


def test_unreadable_images_are_left_out_and_named(fake_inspector: Inspector, parts: Path, tmp_path: Path) -> None:
    (parts / "nut/test/good/1.png").write_text("hello")
    card = score(fake_inspector, parts, report=tmp_path / "r.html")
    assert len(card.records) == 7
    (entry,) = card.meta["unreadable"]
    assert entry["path"].endswith("1.png")
    assert "is not an image" in entry["reason"]
    assert "1 unreadable file" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("mask", [b"hello", None])
def test_a_mask_that_cannot_be_used(fake_inspector: Inspector, parts: Path, draw: Draw, mask: bytes | None) -> None:
    path = draw("parts/nut/ground_truth/spot/0_mask.png", mask=True)
    if mask:
        path.write_bytes(mask)
    card = score(fake_inspector, parts)
    nut = card.products[1]
    assert (nut.without_mask, nut.defectives, nut.p_ap) == (1, 2, 1)
    assert [warning for warning in card.meta["warnings"] if "0_mask.png" in warning and "image metrics only" in warning]


def test_pixels_outside_the_region_of_interest_do_not_count(fake_inspector: Inspector, parts: Path) -> None:
    upper = np.zeros((64, 64), dtype=bool)
    upper[:20] = True
    roi = fake_inspector.with_roi("bolt", upper)
    image = Image.open(parts / "bolt/test/good/0.png").convert("RGB")
    image.paste("white", (0, 50, 20, 60))
    image.save(parts / "bolt/test/good/0.png")
    assert score(fake_inspector, parts).products[0].p_ap < 1  # type: ignore[operator]
    assert score(roi, parts).products[0].p_ap == 1


def test_warnings_of_the_data(fake_inspector: Inspector, parts: Path, draw: Draw) -> None:
    draw("parts/gear/train/good/0.png", "stranger")
    draw("parts/gear/test/good/0.png", "stranger", defect=True)
    inspector = replace(fake_inspector, seen=frozenset([file_hash(parts / "nut/test/good/0.png")]))
    warnings = score(inspector, parts).meta["warnings"]
    assert [warning for warning in warnings if "has not learned gear. It knows bolt, nut." in warning]
    (flatters,) = [warning for warning in warnings if "trained or calibrated this model" in warning]
    assert flatters.startswith("2 test images")  # both good nuts are the same picture
    assert not [warning for warning in score(fake_inspector, parts).meta["warnings"] if "calibrated" in warning]


@pytest.mark.parametrize("break_it", ["no test", "unreadable"])
def test_nothing_to_evaluate(fake_inspector: Inspector, parts: Path, break_it: str) -> None:
    dataset = Dataset.from_folder(parts)
    if break_it == "no test":
        dataset = dataset.select(split="train")
    for sample in dataset.test():
        sample.path.write_text("hello")
    with pytest.raises(
        DataError, match="no test images" if break_it == "no test" else "None of 8 test images can be evaluated"
    ):
        evaluate(fake_inspector, dataset)


def test_an_image_with_senseless_values_loses_no_other(fake_inspector: Inspector, parts: Path) -> None:
    class Broken:
        def run(self, images: np.ndarray, product: int | None = None) -> EngineMaps:
            maps = fake_inspector.engine.run(images, product)
            maps.reconstruction[0] = np.nan
            return maps

    card = score(replace(fake_inspector, engine=Broken()), parts)
    assert len(card.records) == 7
    assert "not finite" in card.meta["unreadable"][0]["reason"]


def results(protocol: Any, inspector: Inspector, paths: list[Path]) -> list[Inspection | Failure]:
    ticks: list[int] = []
    found = list(protocol(inspector, paths, lambda: ticks.append(1)))
    assert len(ticks) == len(paths)
    return found


def test_the_paper_protocol_fuses_over_the_whole_test_set(
    fake_inspector: Inspector, draw: Draw, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("hello")
    paths = [draw("a.png", defect=True), bad, draw("b.png", "nut")]
    own, failure, other = results(honest, fake_inspector, paths)
    fused, same_failure, _ = results(paper, fake_inspector, paths)
    assert isinstance(failure, Failure)
    assert isinstance(same_failure, Failure)
    assert isinstance(own, Inspection)
    assert isinstance(fused, Inspection)
    assert isinstance(other, Inspection)
    lowest, highest = 60 / 255, 1.0
    scale = (lowest + highest) / 2
    whiteness = own.anomaly_map  # the stored fusion takes the reconstruction alone
    np.testing.assert_allclose(fused.anomaly_map, 0.5 * whiteness + 0.5 * scale * whiteness**2, rtol=1e-5)
    assert math.isclose(fused.score, 0.5 + 0.5 * scale, rel_tol=1e-5)
    # the verdict is the model's own
    assert (fused.defective, fused.p_value, fused.regions) == (own.defective, own.p_value, own.regions)


def test_the_paper_protocol_is_transductive_and_says_so(
    fake_inspector: Inspector, parts: Path, draw: Draw, tmp_path: Path
) -> None:
    card = score(fake_inspector, parts, protocol="paper", report=tmp_path / "r.html")
    assert card.protocol == "paper (transductive)"
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "paper (transductive)" in page
    assert "depends on the other test images" in page
    alone = results(paper, fake_inspector, [draw("a.png")])[0]
    among = results(paper, fake_inspector, [draw("a.png"), draw("b.png", defect=True)])[0]
    assert alone.score != among.score  # type: ignore[union-attr]


def test_an_image_is_judged_the_same_whatever_else_is_in_the_call(fake_inspector: Inspector, draw: Draw) -> None:
    alone = results(honest, fake_inspector, [draw("a.png")])[0]
    among = results(honest, fake_inspector, [draw("b.png", defect=True), draw("a.png"), draw("c.png", "nut")])[1]
    assert isinstance(alone, Inspection)
    assert isinstance(among, Inspection)
    np.testing.assert_array_equal(alone.anomaly_map, among.anomaly_map)
    assert alone.to_dict() == among.to_dict()


def test_no_room_for_the_maps(fake_inspector: Inspector, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, _: object) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(BlemishError, match=r"do not fit.*No space"):
        results(paper, fake_inspector, [draw("a.png")])
