"""From labelled examples to what a model is to learn: masks drawn or guessed, products named or found out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from blemish.data.decode import load_square
from blemish.data.defects import DefectExample, Marking
from blemish.errors import ConfigError, DataError
from blemish.inspection import UNKNOWN_DEFECT
from blemish.inspector import Inspector
from blemish.kept.examples import KeptExamples
from blemish.training.teaching.examples import Lesson, load_lesson

Draw = Any
SIZE = 64
SPOT = (slice(10, 34), slice(20, 44))  # what `draw` paints white


def lesson(inspector: Inspector, *examples: DefectExample, described: dict[str, list[str]] | None = None) -> Lesson:
    return load_lesson(inspector, examples, described or {})


def spot(draw: Draw, name: str = "a.png", **marking: Any) -> DefectExample:
    path = draw(name, "nut", defect=True)
    return DefectExample(path, "nut", (Marking("spot", **marking),))


def area(lesson: Lesson, number: int, product: str = "nut", row: int = 0) -> np.ndarray:
    return np.asarray(lesson.examples[product].labels[row] == number)


def test_a_drawn_mask(fake_inspector: Inspector, draw: Draw) -> None:
    found = lesson(fake_inspector, spot(draw, mask=draw("a-mask.png", mask=True, defect=True)))
    assert found.categories == {"nut": ("spot",)}
    assert found.problems == ()
    (labels,) = found.examples["nut"].labels
    assert (labels[SPOT] == 0).all()
    assert (labels >= 0).sum() == 24 * 24
    assert found.examples["nut"].guessed == (False,)
    assert found.examples["nut"].images.shape == (1, SIZE, SIZE, 3)


def test_an_image_of_another_size(fake_inspector: Inspector, draw: Draw, tmp_path: Path) -> None:
    Image.open(draw("small.png", "nut", defect=True)).resize((128, 96)).save(tmp_path / "large.png")
    outline = ((40.0, 15.0), (88.0, 15.0), (88.0, 51.0), (40.0, 51.0))
    found = lesson(fake_inspector, DefectExample(tmp_path / "large.png", "nut", (Marking("spot", polygon=outline),)))
    (labels,) = found.examples["nut"].labels
    assert (labels[SPOT] == 0).all()
    assert (labels >= 0).sum() == 24 * 24


@pytest.mark.parametrize("box", [None, (15.0, 5.0, 50.0, 40.0)])
def test_a_mask_is_guessed_from_the_map(fake_inspector: Inspector, draw: Draw, box: Any) -> None:
    found = lesson(fake_inspector, spot(draw, box=box))
    assert area(found, 0)[SPOT].all()
    assert area(found, 0).sum() == 24 * 24
    assert found.examples["nut"].guessed == (True,)
    (problem,) = found.problems
    assert problem.severity == "info"
    assert "a.png was guessed" in problem.message


def test_a_box_bounds_its_guess(fake_inspector: Inspector, draw: Draw) -> None:
    found = lesson(fake_inspector, spot(draw, box=(20.0, 10.0, 30.0, 64.0)))
    rows, columns = np.nonzero(area(found, 0))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 33, 20, 29)


def test_a_box_around_nothing_that_stands_out(fake_inspector: Inspector, draw: Draw) -> None:
    """The map is even there: the box itself is the best guess."""
    found = lesson(fake_inspector, spot(draw, box=(50.0, 50.0, 60.0, 62.0)))
    assert area(found, 0).sum() == 120


def test_a_box_beside_the_image_only_says_that_there_is_a_defect(fake_inspector: Inspector, draw: Draw) -> None:
    found = lesson(fake_inspector, spot(draw, box=(80.0, 80.0, 90.0, 90.0)))
    assert area(found, 0)[SPOT].all()


def test_an_empty_mask_teaches_nothing(fake_inspector: Inspector, draw: Draw) -> None:
    empty = spot(draw, "empty.png", mask=draw("m.png", mask=True))
    found = lesson(fake_inspector, empty, spot(draw, "full.png"))
    assert [Path(source).name for source in found.examples["nut"].sources] == ["full.png"]
    warning = next(problem for problem in found.problems if problem.severity == "warning")
    assert "empty.png" in warning.message
    assert warning.remedy
    with pytest.raises(DataError, match="nothing to learn"):
        lesson(fake_inspector, empty)


def test_the_product_is_found_out(fake_inspector: Inspector, draw: Draw) -> None:
    mask = draw("m.png", mask=True, defect=True)
    examples = [
        DefectExample(draw(f"{kind}.png", kind, defect=True), None, (Marking("spot", mask=mask),))
        for kind in ("nut", "bolt")
    ]
    found = lesson(fake_inspector, *examples)
    assert found.categories == {"bolt": ("spot",), "nut": ("spot",)}
    assert [Path(one.sources[0]).stem for one in found.examples.values()] == ["bolt", "nut"]
    assert not any(one.guessed[0] for one in found.examples.values())


def test_a_product_that_the_model_does_not_know(fake_inspector: Inspector, draw: Draw) -> None:
    with pytest.raises(ConfigError, match=r"a\.png shows 'cap', which the model does not know. It knows bolt, nut"):
        lesson(fake_inspector, replace(spot(draw), product="cap"))
    with pytest.raises(ConfigError, match="no product 'cap'"):
        lesson(fake_inspector, described={"cap": ["dent"]})


@pytest.mark.parametrize("name", ["normal", "Normal", "combined", UNKNOWN_DEFECT, UNKNOWN_DEFECT.upper(), "", "  "])
def test_reserved_names(fake_inspector: Inspector, draw: Draw, name: str) -> None:
    example = DefectExample(draw("a.png", "nut", defect=True), "nut", (Marking(name),))
    for arguments in (([example], {}), ([], {"nut": [name]})):
        with pytest.raises(ConfigError, match="cannot be called"):
            load_lesson(fake_inspector, *arguments)


def test_one_unreadable_example_loses_nothing(fake_inspector: Inspector, draw: Draw, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"hello")
    bad = DefectExample(tmp_path / "bad.png", "nut", (Marking("spot"),))
    gone = DefectExample(tmp_path / "gone.png", None, (Marking("spot"),))
    mask = tmp_path / "bad-mask.png"
    mask.write_bytes(b"hello")
    unmasked = spot(draw, "c.png", mask=mask)
    found = lesson(fake_inspector, bad, gone, unmasked, spot(draw))
    assert len(found.examples["nut"].images) == 1
    warnings = [problem for problem in found.problems if problem.severity == "warning"]
    assert len(warnings) == 3
    assert all(problem.remedy for problem in warnings)
    assert [problem.path.name for problem in warnings] == ["bad.png", "gone.png", "c.png"]


def known(fake_inspector: Inspector, source: str, image: NDArray[np.uint8] | None = None) -> Inspector:
    """Has learned dents and cuts of nuts from one image, a black one unless given."""
    images = np.zeros((1, SIZE, SIZE, 3), np.uint8) if image is None else image[None]
    labels = np.full((1, SIZE, SIZE), -1, np.int16)
    labels[0, :5], labels[0, -5:] = 0, 1
    kept = KeptExamples(images, labels, (source,), (False,))
    return replace(fake_inspector, categories={"nut": ("dent", "cut")}, examples={"nut": kept})


def test_known_categories_keep_their_order_and_examples(fake_inspector: Inspector, draw: Draw) -> None:
    inspector = known(fake_inspector, "/before.png")
    mask = draw("m.png", mask=True, defect=True)
    new = DefectExample(
        draw("n.png", "nut", defect=True),
        "nut",
        (Marking("cut", mask=mask), Marking("abrasion", box=(0, 40, 20, 60)), Marking("zig", box=(40, 40, 60, 60))),
    )
    found = lesson(inspector, new, described={"bolt": ["thread"], "nut": ["burr", "dent"]})
    assert found.categories == {"bolt": ("thread",), "nut": ("dent", "cut", "burr", "abrasion", "zig")}
    assert list(found.examples) == ["nut"]
    kept = found.examples["nut"]
    assert kept.sources == ("/before.png", str(new.path))
    np.testing.assert_array_equal(kept.labels[0], inspector.examples["nut"].labels[0])
    assert set(np.unique(kept.labels[1])) == {-1, 1, 3, 4}


@pytest.mark.parametrize("before", ["a.png", "dent/a.png"])
def test_an_image_that_is_taught_again_replaces_itself(fake_inspector: Inspector, draw: Draw, before: str) -> None:
    example = spot(draw, mask=draw("m.png", mask=True, defect=True))
    former = str(example.path.parent / before)  # a label is corrected by moving the file to another folder
    inspector = known(fake_inspector, former, load_square(example.path, SIZE))
    found = lesson(inspector, example)
    assert found.categories == {"nut": ("dent", "cut", "spot")}
    assert found.examples["nut"].sources == (str(example.path),)
    assert area(found, 2).sum() == 24 * 24
    assert not area(found, 0).any()


def test_another_image_of_the_same_name_replaces_nothing(fake_inspector: Inspector, draw: Draw) -> None:
    example = spot(draw, mask=draw("m.png", mask=True, defect=True))
    found = lesson(known(fake_inspector, str(example.path)), example)
    assert found.examples["nut"].sources == (str(example.path), str(example.path))
    assert area(found, 0).any()


def test_descriptions_alone_add_categories_to_known_ones(fake_inspector: Inspector) -> None:
    found = lesson(known(fake_inspector, "/before.png"), described={"nut": ["burr"]})
    assert found.categories == {"nut": ("dent", "cut", "burr")}
    assert len(found.examples["nut"].images) == 1


def test_of_two_defects_in_one_place_the_smaller_is_seen(fake_inspector: Inspector, draw: Draw) -> None:
    large, small = ((0, 0), (60, 0), (60, 60), (0, 60)), ((10, 10), (20, 10), (20, 20), (10, 20))
    for order in ((("a", large), ("b", small)), (("a", small), ("b", large))):
        markings = tuple(Marking(name, polygon=outline) for name, outline in order)
        found = lesson(fake_inspector, DefectExample(draw("a.png", "nut"), "nut", markings))
        areas = {name: area(found, number).sum() for number, name in enumerate("ab")}
        assert sorted(areas.values()) == [100, 3500]


def test_several_markings_of_one_category_are_one_mask(fake_inspector: Inspector, draw: Draw) -> None:
    boxes = [((x, 0), (x + 4, 0), (x + 4, 4), (x, 4)) for x in (0, 10, 20)]
    example = DefectExample(draw("a.png", "nut"), "nut", tuple(Marking("pit", polygon=box) for box in boxes))
    assert area(lesson(fake_inspector, example), 0).sum() == 48


def test_one_image_given_twice_is_one_example(fake_inspector: Inspector, draw: Draw) -> None:
    """As when two annotation files name it: both of its defects are learned."""
    path = draw("a.png", "nut")
    twice = [
        DefectExample(path, "nut", (Marking(name, polygon=((x, 0), (x + 8, 0), (x + 8, 8), (x, 8))),))
        for name, x in (("a", 0.0), ("b", 30.0))
    ]
    found = lesson(fake_inspector, *twice)
    (labels,) = found.examples["nut"].labels
    assert [(labels == number).sum() for number in (0, 1)] == [64, 64]
