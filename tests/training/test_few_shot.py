"""Few-shot evaluation: one run for each seed, the model itself unchanged, shots never among the tested images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blemish import few_shot
from blemish.data.dataset import Dataset
from blemish.data.priors import CategoryPrior, Priors
from blemish.data.sample import Sample
from blemish.errors import ConfigError, DataError
from blemish.few_shot import FewShotRun, ShotCounts, evaluate_few_shot
from blemish.inspector import Inspector

from .conftest import DEFECTS, draw_defect, tiny_teaching


@pytest.mark.parametrize(
    ("text", "normals", "defects"), [("2,1", 2, 1), ("all,2", None, 2), (" 4 , 0 ", 4, 0), ("all,0", None, 0)]
)
def test_numbers_of_shots(text: str, normals: int | None, defects: int) -> None:
    assert ShotCounts.of(text) == ShotCounts(normals, defects)


@pytest.mark.parametrize("text", ["", "2", "2;1", "a,b", "2,", ",1", "0,1", "-1,2", "2,-1", "2,1,3", "2.5,1", "2,all"])
def test_no_numbers_of_shots(text: str) -> None:
    with pytest.raises(ConfigError, match="no number of shots") as caught:
        ShotCounts.of(text)
    assert "2,1" in caught.value.remedy


@pytest.fixture(scope="module")
def data(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Per product 6 normal images that train and 2 that test, and of each defect 3 test images with masks."""
    root = tmp_path_factory.mktemp("few-shot")
    samples: list[Sample] = []
    for product in ("spots", "stripes"):
        normals = sorted((tiny_folder / product / "train" / "good").iterdir())
        samples += [
            Sample(path, product, "train" if number < 6 else "test", "normal")
            for number, path in enumerate(normals[:8])
        ]
        for name in DEFECTS:
            for source in normals[:3]:
                image, mask = draw_defect(root / product, source, name)
                samples.append(Sample(image, product, "test", "defective", name, mask))
    return Dataset(tuple(samples))


@pytest.fixture
def learner(tiny_model: Inspector) -> Inspector:
    """A model that learns in a few steps."""
    return replace(tiny_model, teaching=tiny_teaching())


@pytest.fixture
def taught_by(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each teaching was given."""
    noted: list[dict[str, Any]] = []
    teach = few_shot.teach

    def noting(inspector: Inspector, examples: Any, config: Any, **options: Any) -> Any:
        noted.append({"inspector": inspector, "examples": list(examples), "config": config, **options})
        return teach(inspector, noted[-1]["examples"], config, **options)

    monkeypatch.setattr(few_shot, "teach", noting)
    return noted


def test_all_normals(learner: Inspector, data: Dataset, taught_by: list[dict[str, Any]], tmp_path: Path) -> None:
    found = evaluate_few_shot(
        learner, data, ShotCounts(None, 1), [4, 5], report=tmp_path / "r.html", meta={"note": "x"}
    )
    assert isinstance(found, Iterator)
    runs: list[FewShotRun] = list(found)
    assert [run.shots.seed for run in runs] == [4, 5]
    for run, taught in zip(runs, taught_by, strict=True):
        shown = {sample.path for sample in run.shots.defects}
        assert len(shown) == 4
        assert {example.path for example in taught["examples"]} == shown
        assert taught["config"].seed == run.shots.seed
        assert taught["inspector"].categories == {}
        tested = {Path(record.source) for record in run.card.records}
        assert tested == {sample.path for sample in data.test()} - shown
        assert run.card.meta["shots"] == "all,1"
        assert (run.card.meta["seed"], run.card.meta["note"]) == (run.shots.seed, "x")
        assert all(score.accuracy is not None for score in run.card.products)
    assert {s.path for s in runs[0].shots.defects} != {s.path for s in runs[1].shots.defects}
    assert (tmp_path / "r.html").is_file()
    assert learner.categories == {}


def test_images_that_the_model_was_taught_do_not_count_as_seen(learner: Inspector, data: Dataset) -> None:
    """The draw itself keeps them out of the test; the normal ones that test here have trained the tiny model."""
    (run,) = evaluate_few_shot(learner, data, ShotCounts(None, 1), [0])
    assert not [one for one in run.card.meta["warnings"] if "trained or calibrated" in one]


def test_some_normals_train_a_model_of_their_own(
    learner: Inspector, data: Dataset, taught_by: list[dict[str, Any]]
) -> None:
    (run,) = evaluate_few_shot(learner, data, ShotCounts(2, 1), [1])
    assert len(run.shots.normals) == 4
    (taught,) = taught_by
    own = taught["inspector"]
    assert own.config.seed == 1
    assert own.config.model == learner.config.model
    assert {one.copied for one in own.calibration.products.values()} == {2}
    assert len(own.seen) == 4
    assert run.card.meta["shots"] == "2,1"


def test_a_model_whose_start_did_not_travel_is_not_trained_anew(learner: Inspector, data: Dataset) -> None:
    started = replace(learner, config=learner.config.model_copy(update={"init": "base.blemish"}))
    with pytest.raises(ConfigError, match=r"trained from base\.blemish, which did not travel"):
        next(evaluate_few_shot(started, data, ShotCounts(2, 1), [0]))


def test_a_taught_model_forgets_first(
    tiny_taught: tuple[Inspector, Path], data: Dataset, taught_by: list[dict[str, Any]]
) -> None:
    list(evaluate_few_shot(tiny_taught[0], data, ShotCounts(None, 1), [0]))
    (taught,) = taught_by
    assert (taught["inspector"].categories, dict(taught["inspector"].examples)) == ({}, {})
    assert taught["config"] == tiny_teaching(seed=0)
    assert tiny_taught[0].categories["spots"] == ("cut", "stain")


def test_descriptions_instead_of_examples(learner: Inspector, data: Dataset) -> None:
    with pytest.raises(ConfigError, match="need descriptions") as caught:
        list(evaluate_few_shot(learner, data, ShotCounts(None, 0), [0]))
    assert "--priors" in caught.value.remedy
    priors = Priors({"*": {name: CategoryPrior(name) for name in DEFECTS}})
    (run,) = evaluate_few_shot(learner, data, ShotCounts(None, 0), [0], priors=priors)
    assert len(run.card.records) == len(data.test())


def test_more_shots_than_images(learner: Inspector, data: Dataset) -> None:
    with pytest.raises(DataError, match="9 shots were asked for"):
        list(evaluate_few_shot(learner, data, ShotCounts(None, 9), [0]))
