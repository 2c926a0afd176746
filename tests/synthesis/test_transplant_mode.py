"""From labelled defects to synthetic ones: donors, the plan, and transplants."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from blemish.data import Dataset
from blemish.data.decode import load_square
from blemish.data.defects import DefectExample, Marking
from blemish.data.priors import CategoryPrior, Priors
from blemish.errors import ConfigError, SynthesisError
from blemish.procedural.seeding import generator
from blemish.synthesis.donors import Donors
from blemish.synthesis.synthesize import Synthesis
from blemish.synthesis.task import plan

SIZE = 64
PRODUCTS = ("bolt", "nut")
Draw = Callable[..., Path]


@pytest.fixture
def spotted(draw: Draw) -> DefectExample:
    """A nut with a white square of 24 px, rows 10 to 33, columns 20 to 43, and its mask."""
    image = draw("defects/spot.png", "nut", defect=True)
    return DefectExample(image, "nut", (Marking("spot", mask=draw("defects/mask.png", mask=True, defect=True)),))


def test_examples_become_donors(spotted: DefectExample) -> None:
    other = Marking("dent", polygon=((50, 50), (60, 50), (60, 60), (50, 60)))
    vague = Marking("stain", box=(0, 40, 8, 48))
    both = DefectExample(spotted.path, "nut", (*spotted.markings, other, vague))

    donors = Donors([both], PRODUCTS, size=SIZE)

    assert (donors.categories("nut"), donors.categories("bolt")) == (("dent", "spot"), ())
    assert dict(donors.counts()) == {("nut", "dent"): 1, ("nut", "spot"): 1}
    prior = CategoryPrior("spot", position_bound=True)
    (donor,) = donors.in_order("nut", prior, generator(0, "test"))
    assert donor.position_bound
    assert donor.source == spotted.path.as_posix()
    assert donor.mask.sum() == 24 * 24
    assert not donor.known[50:60, 50:60].any()
    assert not donor.known[40:48, 0:8].any()
    assert donor.known.sum() == SIZE**2 - 100 - 64


@pytest.mark.parametrize(
    ("product", "marking", "products", "words"),
    [
        ("nut", Marking("spot", box=(1, 1, 9, 9)), PRODUCTS, "1 image of 'spot' of nut without an exact mask"),
        ("nut", Marking("a {b}"), PRODUCTS, "'a {b}'"),
        ("{cap}", Marking("spot"), PRODUCTS, "show '{cap}', which DATA does not have"),
        (None, Marking("spot"), PRODUCTS, "do not say which product they show"),
    ],
)
def test_what_is_no_donor_is_said(
    draw: Draw, product: str | None, marking: Marking, products: tuple[str, ...], words: str
) -> None:
    path = draw("x.png", "nut", defect=True)
    donors = Donors([DefectExample(path, product, (marking,))], products, size=SIZE)
    (problem,) = donors.problems
    assert words in problem.message
    assert str(path) in problem.message
    assert problem.remedy
    assert not donors.counts()


def test_examples_without_a_product_show_the_only_one(spotted: DefectExample) -> None:
    nameless = DefectExample(spotted.path, None, spotted.markings)
    assert Donors([nameless], ("nut",), size=SIZE).has("nut", "spot")


def test_unreadable_examples_and_places_outside_are_passed_over(
    spotted: DefectExample, draw: Draw, caplog: pytest.LogCaptureFixture
) -> None:
    broken = draw("broken.png")
    broken.write_bytes(b"broken")
    outside = Marking("spot", polygon=((200, 200), (210, 200), (210, 210)))
    examples = [
        spotted,
        DefectExample(broken, "nut", spotted.markings),
        DefectExample(spotted.path, "nut", (outside,)),
    ]
    donors = Donors(examples, PRODUCTS, size=SIZE)
    with caplog.at_level(logging.WARNING):
        found = list(donors.in_order("nut", CategoryPrior("spot"), generator(0, "test")))
    assert len(found) == 1
    assert caplog.text.count("passed over") == 2


def test_transplants(parts: Path, spotted: DefectExample) -> None:
    dataset = Dataset.from_folder(parts)
    donors = Donors([spotted], dataset.products, size=SIZE)
    synthesis = Synthesis(dataset, donors=donors, size=SIZE, count=6, seed=2)
    made = {task.key: (task, one) for task, one in synthesis.images()}

    assert list(made) == [("nut", "spot", number) for number in range(6)]
    for task, one in made.values():
        origin = one.provenance
        assert (task.mode, origin.mode, origin.seed) == ("transplant", "transplant", 2)
        assert (origin.example, origin.shape, origin.prompt) == (spotted.path.as_posix(), None, None)
        assert "nut/train/good" in origin.source
        change = np.abs(one.image.astype(int) - load_square(origin.source, SIZE)).max(axis=2)
        assert change[one.mask].min() > 20
    assert {one.provenance.method for _, one in made.values()} == {"feather", "paste"}
    assert len({one.mask.tobytes() for _, one in made.values()}) == 6
    done = {("nut", "spot", number) for number in (0, 1, 2, 4)}
    rest = {task.key: one for task, one in synthesis.images(done)}
    assert list(rest) == [("nut", "spot", 3), ("nut", "spot", 5)]
    assert all((rest[key].image == made[key][1].image).all() for key in rest)


@pytest.mark.parametrize("blending", ["paste", "poisson"])
def test_the_blending_is_chosen_and_a_bound_defect_stays(parts: Path, spotted: DefectExample, blending: str) -> None:
    dataset = Dataset.from_folder(parts)
    donors = Donors([spotted], dataset.products, size=SIZE)
    priors = Priors({"nut": {"spot": CategoryPrior("spot", position_bound=True)}})
    for _, one in Synthesis(dataset, priors, donors=donors, size=SIZE, count=4, blending=blending).images():
        assert one.provenance.method == blending
        assert one.mask.sum() == 24 * 24
        rows, columns = np.nonzero(one.mask)
        assert abs(rows.mean() - 21.5) < 8
        assert abs(columns.mean() - 31.5) < 8


def test_a_defect_that_cannot_be_seen_is_not_made(parts: Path, draw: Draw) -> None:
    """The mask lies on the plain product."""
    hidden = DefectExample(
        draw("plain.png", "nut"), "nut", (Marking("ghost", mask=draw("m.png", mask=True, defect=True)),)
    )
    dataset = Dataset.from_folder(parts)
    with pytest.raises(SynthesisError, match=r"'ghost' of nut cannot be made: .* cannot be seen"):
        list(Synthesis(dataset, donors=Donors([hidden], dataset.products, size=SIZE), size=SIZE, count=1).images())


PRIORS = Priors({"*": {"spot": CategoryPrior("spot"), "dent": CategoryPrior("dent")}})


@pytest.mark.parametrize(
    ("mode", "diffusion", "expected"),
    [
        ("auto", False, {"spot": "transplant", "dent": "painter"}),
        ("auto", True, {"spot": "transplant", "dent": "diffusion"}),
        ("painter", True, {"spot": "painter", "dent": "painter"}),
        ("diffusion", True, {"spot": "diffusion", "dent": "diffusion"}),
        ("transplant", True, {"spot": "transplant"}),
    ],
)
def test_each_category_has_its_mode(
    parts: Path, spotted: DefectExample, mode: str, diffusion: bool, expected: dict[str, str]
) -> None:
    dataset = Dataset.from_folder(parts)
    donors = Donors([spotted], dataset.products, size=SIZE)
    made = plan(dataset, PRIORS, 2, donors=donors, mode=mode, diffusion=diffusion)
    nut = [(task.prior.category, task.mode) for task in made.tasks if task.product == "nut"]
    assert nut == [pair for pair in expected.items() for _ in range(2)]
    left_out = [("bolt", "spot"), ("bolt", "dent"), ("nut", "dent")] if mode == "transplant" else []
    assert list(made.left_out) == left_out


def test_plans_that_cannot_be(parts: Path) -> None:
    dataset = Dataset.from_folder(parts)
    none = Donors([], dataset.products, size=SIZE)
    with pytest.raises(SynthesisError, match="nothing to transplant"):
        plan(dataset, PRIORS, 1, donors=none, mode="transplant")
    with pytest.raises(SynthesisError, match="nothing to make"):
        plan(dataset, None, 1, donors=none)
    with pytest.raises(ConfigError, match="no blending 'glue'"):
        list(Synthesis(dataset, PRIORS, donors=none, blending="glue").images())
