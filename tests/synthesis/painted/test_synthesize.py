"""From a priors file to synthetic defects."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from blemish.data import Dataset
from blemish.data.decode import load_square
from blemish.data.priors import CategoryPrior, Priors
from blemish.errors import BlemishError, ConfigError, SynthesisError
from blemish.synthesis.overview import overview
from blemish.synthesis.synthesize import Synthesis
from blemish.synthesis.task import plan

PRIORS = Priors(
    {
        "*": {"scratch": CategoryPrior("scratch")},
        "nut": {"hole": CategoryPrior("hole", prompts=("a nut with a hole",), shapes=("ellipse",), sizes=("medium",))},
    }
)


def test_every_category_gets_its_count(parts: Path) -> None:
    found = list(Synthesis(Dataset.from_folder(parts), PRIORS, size=48, count=3, seed=5).images())

    assert [task.key for task, _ in found] == [
        (product, category, number)
        for product, category in (("bolt", "scratch"), ("nut", "scratch"), ("nut", "hole"))
        for number in range(3)
    ]
    for task, one in found:
        assert (one.product, one.category) == (task.product, task.prior.category)
        assert one.image.shape == (48, 48, 3)
        assert one.mask.any()
        origin = one.provenance
        assert (origin.mode, origin.seed, origin.example, origin.score) == ("painter", 5, None, None)
        assert f"{task.product}/train/good" in origin.source
        normal = load_square(origin.source, 48)
        assert (one.image[one.mask] != normal[one.mask]).any()
    hole = found[-1][1].provenance
    assert (hole.method, hole.prompt) == ("hole", "a nut with a hole")
    assert hole.shape in ("ellipse-circular-medium", "ellipse-eccentric-medium")


def test_what_is_done_is_not_made_again_and_changes_nothing_else(parts: Path) -> None:
    dataset = Dataset.from_folder(parts)
    whole = {task.key: one for task, one in Synthesis(dataset, PRIORS, size=48, count=3).images()}
    done = {("nut", "hole", 0), ("bolt", "scratch", 2)}
    rest = {task.key: one for task, one in Synthesis(dataset, PRIORS, size=48, count=3).images(done)}
    assert rest.keys() == whole.keys() - done
    assert all((rest[key].image == whole[key].image).all() for key in rest)
    other = {task.key: one for task, one in Synthesis(dataset, PRIORS, size=48, count=3, seed=1).images()}
    assert any((other[key].mask != whole[key].mask).any() for key in whole)


def test_an_unreadable_normal_image_is_passed_over(parts: Path, caplog: pytest.LogCaptureFixture) -> None:
    (parts / "nut" / "train" / "good" / "0.png").write_bytes(b"broken")
    with caplog.at_level(logging.WARNING):
        found = list(Synthesis(Dataset.from_folder(parts), PRIORS, size=48, count=3).images())
    assert len(found) == 9
    assert {Path(one.provenance.source).name for task, one in found if task.product == "nut"} == {"1.png"}
    assert "passed over" in caplog.text


def test_what_cannot_be_made_loses_nothing_else(parts: Path) -> None:
    for index in range(2):
        (parts / "bolt" / "train" / "good" / f"{index}.png").write_bytes(b"broken")
    made = []
    with pytest.raises(SynthesisError, match=r"No normal image of bolt could be read\. 1 more images could not"):
        made += (one for one in Synthesis(Dataset.from_folder(parts), PRIORS, size=48, count=2).images())
    assert [task.product for task, _ in made] == ["nut"] * 4


def test_a_product_without_readable_images_is_an_error(parts: Path) -> None:
    for index in range(2):
        (parts / "nut" / "train" / "good" / f"{index}.png").write_bytes(b"broken")
    with pytest.raises(SynthesisError, match="No normal image of nut could be read"):
        list(Synthesis(Dataset.from_folder(parts), PRIORS, size=48, count=1).images())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 0}, "count is 0"),
        ({"size": 16}, "size is 16"),
        ({"foreground": "birds"}, "no foreground 'birds'"),
        ({"mode": "magic"}, "no mode 'magic'"),
        ({"mode": "transplant"}, "none are given"),
        ({"mode": "diffusion"}, "needs weights"),
    ],
)
def test_options_out_of_range(parts: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        list(Synthesis(Dataset.from_folder(parts), PRIORS, **options).images())  # type: ignore[arg-type]


def test_there_must_be_something_to_make(parts: Path) -> None:
    dataset = Dataset.from_folder(parts)
    with pytest.raises(ConfigError, match="product 'nuts'"):
        plan(dataset, Priors({"nuts": {"x": CategoryPrior("x")}}), 1)
    with pytest.raises(BlemishError, match="nothing to make"):
        plan(dataset.select(split="test"), PRIORS, 1)


def test_the_overview_shows_every_category(parts: Path) -> None:
    defective = Dataset.from_folder(parts).select(label="defective")
    picture = np.asarray(overview(defective, title="Defects"))
    assert picture.ndim == 3
    outline = (picture == (255, 64, 40)).all(axis=2)
    assert outline[: len(outline) // 2].any()
    assert outline[len(outline) // 2 :].any()
    (parts / "nut" / "test" / "spot" / "0.png").write_bytes(b"broken")
    assert overview(defective, title="Defects").size[1] == picture.shape[0]
