"""Teaching: OneNIP stays as it is, names come back with the model, earlier categories stay, runs can be resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file

from blemish.calibration import FusionWeights
from blemish.config import TeachConfig, TrainConfig
from blemish.data.dataset import Dataset
from blemish.data.defects import DefectExample, Marking
from blemish.data.priors import CategoryPrior, Priors
from blemish.errors import BlemishError, ConfigError, DataError, ModelError, TrainingError
from blemish.inspection import UNKNOWN_DEFECT, Inspection
from blemish.inspector import Inspector
from blemish.scoring import fuse
from blemish.training.loop import TrainProgress
from blemish.training.runtime import silent
from blemish.training.teach import teach, without_categories
from blemish.training.teaching.fit import fit_detection
from blemish.training.teaching.step import TeachingStep
from blemish.training.train import train

from .conftest import TINY, on_a_cpu, tiny_teaching

Examples = tuple[DefectExample, ...]
FILES = ("model.safetensors", "prompts.safetensors")


def head_of(inspector: Inspector) -> dict[str, torch.Tensor]:
    head = inspector.engine.network.categories  # type: ignore[attr-defined]
    return dict(head.state_dict())


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_categories_are_learned_with_products_in_half_precision(
    tiny_model: Inspector, tiny_examples: tuple[DefectExample, ...]
) -> None:
    learned = []
    for precision in ("32-true", "bf16-mixed"):
        taught, _ = teach(tiny_model, tiny_examples, tiny_teaching(precision=precision))
        learned.append(list(taught.engine.network.categories.members.parameters()))  # type: ignore[attr-defined]
    assert any(not torch.equal(one, other) for one, other in zip(*learned, strict=True))
    for one, other in zip(*learned, strict=True):
        assert other.dtype == torch.float32
        torch.testing.assert_close(one, other, atol=0.05, rtol=0.05)


def test_onenip_is_not_touched(tiny_model: Inspector, tiny_taught: tuple[Inspector, Path], tmp_path: Path) -> None:
    before, after = tiny_model.save(tmp_path / "before"), tiny_taught[1]
    for name in FILES:
        assert equal(load_file(before / name), load_file(after / name))
    assert tiny_model.categories == {}
    assert tiny_model.engine.network.categories is None  # type: ignore[attr-defined]
    assert not (before / "categories.safetensors").exists()
    assert (after / "categories.safetensors").is_file()


def test_what_a_taught_model_knows(tiny_taught: tuple[Inspector, Path]) -> None:
    taught, folder = tiny_taught
    assert taught.categories == {"spots": ("cut", "stain"), "stripes": ("cut",)}
    assert head_of(taught)["embeddings"].shape == (2, 16)
    assert [len(taught.examples[name].images) for name in ("spots", "stripes")] == [2, 1]
    assert "spots: cut, stain; stripes: cut" in (folder / "README.md").read_text(encoding="utf-8")
    assert not folder.with_name(folder.name + ".run").exists()


def test_every_category_has_a_mean_feature_of_its_own(tiny_taught: tuple[Inspector, Path]) -> None:
    """Products are spots and stripes, categories cut and stain."""
    head = head_of(tiny_taught[0])
    assert head["prototypes.own"].tolist() == [[True, True], [True, False]]
    norms = head["prototypes.directions"].norm(dim=2).cpu()
    torch.testing.assert_close(norms[0], torch.ones(2))
    assert not torch.equal(head["prototypes.directions"][0, 0], head["prototypes.directions"][0, 1])
    assert not norms[1, 1]


def test_save_and_load_give_the_same_names(tiny_taught: tuple[Inspector, Path], tiny_examples: Examples) -> None:
    taught, folder = tiny_taught
    loaded = Inspector.load(folder, offline=True)
    assert loaded.categories == taught.categories
    assert loaded.teaching == taught.teaching
    assert equal(head_of(loaded), head_of(taught))
    for example in tiny_examples:
        one, other = (which.inspect(example.path) for which in (taught, loaded))
        assert one.to_dict() == other.to_dict()
        np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)
        np.testing.assert_array_equal(one.category_map, other.category_map)  # type: ignore[arg-type]
    np.testing.assert_array_equal(loaded.examples["spots"].labels, taught.examples["spots"].labels)


@pytest.fixture(scope="session")
def able(tiny_model: Inspector, tiny_examples: Examples) -> Inspector:
    """Taught long enough to tell the two defects of spots apart; so small a model marks most of the image, so that a
    name needs few of its votes."""
    config = tiny_teaching(steps=80, images=16, batch=8, learning_rate=0.005, certainty=0.05)
    return teach(tiny_model, tiny_examples[:2], config)[0]


def test_regions_have_names_and_scores(able: Inspector, tiny_examples: Examples) -> None:
    for example, name in zip(tiny_examples[:2], ("stain", "cut"), strict=True):
        found = able.inspect(example.path, product="spots")
        assert found.defective
        assert found.categories == ("cut", "stain")
        assert found.category == name
        largest = max(found.regions, key=lambda region: region.area)
        assert largest.category == name
        for region in found.regions:
            assert region.category in ("cut", "stain", UNKNOWN_DEFECT)
            assert region.category_scores.keys() == {"cut", "stain"}
            assert sum(region.category_scores.values()) <= 1 + 1e-6
        assert found.category_map is not None
        assert set(np.unique(found.category_map)) <= {-1, 0, 1}
        assert (found.category_map[~found.mask] == -1).all()
        assert found.to_dict()["category"] == name
        assert able.teaching is not None
        strict = replace(able, teaching=able.teaching.model_copy(update={"certainty": 1.0}))
        assert strict.inspect(example.path, product="spots").category == UNKNOWN_DEFECT


def test_a_product_without_categories_names_nothing(able: Inspector, tiny_examples: Examples) -> None:
    found = able.inspect(tiny_examples[2].path, product="stripes")
    assert (found.category, found.categories, found.category_map) == (None, (), None)
    assert all(region.category is None for region in found.regions)


@on_a_cpu
def test_the_same_seed_gives_the_same_weights(
    tiny_model: Inspector, tiny_taught: tuple[Inspector, Path], tiny_examples: Examples
) -> None:
    again, _ = teach(tiny_model, tiny_examples, tiny_teaching())
    assert equal(head_of(again), head_of(tiny_taught[0]))
    assert again.calibration == tiny_taught[0].calibration
    other, _ = teach(tiny_model, tiny_examples, tiny_teaching(seed=4))
    assert not equal(head_of(other), head_of(again))


@on_a_cpu
def test_a_saved_model_learns_as_the_one_in_memory(
    tiny_model: Inspector, tiny_taught: tuple[Inspector, Path], tiny_examples: Examples, tmp_path: Path
) -> None:
    loaded = Inspector.load(tiny_model.save(tmp_path / "m"), offline=True)
    again, _ = teach(loaded, tiny_examples, tiny_teaching())
    assert equal(head_of(again), head_of(tiny_taught[0]))


def test_extending_keeps_old_categories_and_examples(
    tiny_taught: tuple[Inspector, Path], tiny_examples: Examples, tmp_path: Path
) -> None:
    loaded = Inspector.load(tiny_taught[1], offline=True)
    stain = tiny_examples[0]
    new = DefectExample(tmp_path / "bruise.png", "spots", (Marking("bruise", mask=stain.markings[0].mask),))
    with Image.open(stain.path) as image:
        ImageOps.flip(image).save(new.path)
    extended, _ = teach(loaded, [new], tiny_teaching(), output=tmp_path / "more")
    assert extended.categories == {"spots": ("cut", "stain", "bruise"), "stripes": ("cut",)}
    assert len(extended.examples["spots"].images) == 3
    embeddings = head_of(extended)["embeddings"]
    torch.testing.assert_close(embeddings[:2], head_of(loaded)["embeddings"])
    assert equal(load_file(tmp_path / "more" / FILES[0]), load_file(tiny_taught[1] / FILES[0]))
    # the weights of the maps start from OneNIP's own again, not from those with the former detection
    assert extended.calibration["spots"].fusion == loaded.calibration["spots"].fusion
    assert loaded.categories["spots"] == ("cut", "stain")


def test_forgetting_restores_the_thresholds(
    tiny_model: Inspector, tiny_taught: tuple[Inspector, Path], tiny_examples: Examples
) -> None:
    for taught in (tiny_taught[0], Inspector.load(tiny_taught[1], offline=True)):
        assert taught.calibration["spots"].fusion != tiny_model.calibration["spots"].fusion
        bare = without_categories(taught)
        assert (bare.categories, bare.teaching, dict(bare.examples)) == ({}, None, {})
        for product in tiny_model.products:
            one, other = bare.calibration[product], tiny_model.calibration[product]
            assert one.fusion == other.fusion
            assert (one.n, one.images, one.copied) == (other.n, other.images, other.copied)
            assert one.scores == pytest.approx(other.scores, rel=1e-5)
            assert one.peaks == pytest.approx(other.peaks, rel=1e-5)
        found, expected = bare.inspect(tiny_examples[0].path), tiny_model.inspect(tiny_examples[0].path)
        np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, atol=1e-5)
        assert found.category is None
        assert taught.categories  # the taught one is as it was
    assert without_categories(tiny_model) is tiny_model


@pytest.mark.parametrize("exponent", [1, 0.5])
def test_the_detections_share_is_that_of_the_mean(tiny_taught: tuple[Inspector, Path], exponent: float) -> None:
    """Where OneNIP's map is 4 and the detection at its scale of 1 the joined map is the mean of the two."""
    taught = tiny_taught[0]
    one = taught.calibration["spots"]
    former = FusionWeights(reconstruction=4, refiner=3, exponent=exponent)
    blank = taught.calibration.with_product("spots", one.model_copy(update={"fusion": former}))
    fitted = fit_detection(taught.with_calibration(blank), 0.3, silent).calibration["spots"].fusion
    assert fitted.former == former
    heat, nothing, likely = np.ones((2, 2), np.float32), np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)
    expected = (0.7 * 4**exponent + 0.3) ** (1 / exponent)
    np.testing.assert_allclose(fuse(heat, nothing, fitted, detection=likely), expected, rtol=1e-5)


def test_the_map_may_stay_onenips(tiny_model: Inspector, tiny_examples: Examples) -> None:
    taught, _ = teach(tiny_model, tiny_examples, tiny_teaching(detection_share=0))
    assert taught.calibration == tiny_model.calibration
    one, other = (which.inspect(tiny_examples[0].path, product="spots") for which in (taught, tiny_model))
    np.testing.assert_allclose(one.anomaly_map, other.anomaly_map, atol=1e-5)
    assert (one.defective, one.score) == (other.defective, pytest.approx(other.score, rel=1e-5))
    assert one.categories == ("cut", "stain")


def test_categories_from_descriptions_alone(tiny_model: Inspector, tmp_path: Path) -> None:
    priors = Priors(
        {"*": {"hole": CategoryPrior("hole")}, "spots": {"smear": CategoryPrior("smear", ("a dark smear",))}}
    )
    taught, problems = teach(tiny_model, [], tiny_teaching(), priors=priors, output=tmp_path / "m")
    assert problems == ()
    assert taught.categories == {"spots": ("hole", "smear"), "stripes": ("hole",)}
    loaded = Inspector.load(tmp_path / "m", offline=True)
    assert dict(loaded.examples) == {}
    assert loaded.categories == taught.categories


def test_descriptions_and_examples_together(tiny_model: Inspector, tiny_examples: Examples) -> None:
    priors = Priors({"spots": {"smear": CategoryPrior("smear"), "cut": CategoryPrior("cut", position_bound=True)}})
    taught, _ = teach(tiny_model, tiny_examples, tiny_teaching(), priors=priors)
    assert taught.categories == {"spots": ("smear", "cut", "stain"), "stripes": ("cut",)}


def test_the_papers_setting(tiny_model: Inspector, tiny_examples: Examples, tmp_path: Path) -> None:
    config = TeachConfig.of("paper", width=16, images=1, steps=6, batch=4)
    taught, _ = teach(tiny_model, tiny_examples, config, output=tmp_path / "m")
    loaded = Inspector.load(tmp_path / "m", offline=True)
    one, other = (which.inspect(tiny_examples[0].path) for which in (taught, loaded))
    assert one.to_dict() == other.to_dict()


@on_a_cpu
def test_a_killed_run_resumes_to_the_same_weights(
    tiny_model: Inspector,
    tiny_taught: tuple[Inspector, Path],
    tiny_examples: Examples,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target, run = tmp_path / "line", tmp_path / "line.run"
    with _dying(monkeypatch, after=2), pytest.raises(KeyboardInterrupt):
        teach(tiny_model, tiny_examples, tiny_teaching(), output=target)
    assert not target.exists()
    with pytest.raises(TrainingError, match="--resume"):
        teach(tiny_model, tiny_examples, tiny_teaching(), output=target)
    with pytest.raises(TrainingError, match="another configuration"):
        teach(tiny_model, tiny_examples, tiny_teaching(steps=5), output=target, resume=True)
    with pytest.raises(TrainingError, match="another configuration"):
        teach(tiny_model, tiny_examples[:2], tiny_teaching(), output=target, resume=True)
    resumed, _ = teach(tiny_model, tiny_examples, tiny_teaching(), output=target, resume=True)
    assert equal(head_of(resumed), head_of(tiny_taught[0]))
    assert equal(head_of(Inspector.load(target, offline=True)), head_of(resumed))
    assert not run.exists()


def test_a_run_is_continued_with_its_own_model_and_descriptions_only(
    tiny_model: Inspector, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "line"

    def described(appearance: str) -> Priors:
        return Priors({"spots": {"mark": CategoryPrior("mark", appearance=appearance)}})

    with _dying(monkeypatch, after=2), pytest.raises(KeyboardInterrupt):
        teach(tiny_model, [], tiny_teaching(), priors=described("stain"), output=target)
    with pytest.raises(TrainingError, match="another configuration"):
        teach(tiny_model, [], tiny_teaching(), priors=described("hole"), output=target, resume=True)
    other = train(Dataset.from_folder(tiny_folder), TrainConfig.of("fast", **{**TINY, "steps": 1}))
    with pytest.raises(TrainingError, match="another configuration"):
        teach(other, [], tiny_teaching(), priors=described("stain"), output=target, resume=True)
    teach(tiny_model, [], tiny_teaching(), priors=described("stain"), output=target, resume=True)
    assert target.is_dir()


def _dying(monkeypatch: pytest.MonkeyPatch, after: int) -> Any:
    """Within it a training is interrupted in the step that follows `after` steps."""
    from contextlib import contextmanager

    @contextmanager
    def context() -> Iterator[None]:
        calls, forward = 0, TeachingStep.forward

        def dies(self: TeachingStep, *arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > after:
                raise KeyboardInterrupt
            return forward(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(TeachingStep, "forward", dies)
            yield

    return context()


def test_a_model_that_keeps_no_images_is_refused(
    tiny_model: Inspector, tiny_examples: Examples, tmp_path: Path
) -> None:
    bare = replace(tiny_model, kept={})
    with pytest.raises(DataError, match="keeps no normal images of 'spots'") as caught:
        teach(bare, tiny_examples, tiny_teaching(), output=tmp_path / "m")
    assert "kept=0" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_learn(tiny_model: Inspector) -> None:
    with pytest.raises(DataError, match="nothing to learn"):
        teach(tiny_model, [], tiny_teaching())


def test_an_exported_model_cannot_learn(fake_inspector: Inspector, tiny_model: Inspector) -> None:
    foreign = replace(tiny_model, engine=fake_inspector.engine)
    priors = Priors({"spots": {"mark": CategoryPrior("mark")}})
    with pytest.raises(ConfigError, match="An exported model cannot learn"):
        teach(foreign, [], tiny_teaching(), priors=priors)


def test_an_existing_model_is_not_overwritten_unasked(
    tiny_taught: tuple[Inspector, Path], tiny_examples: Examples
) -> None:
    with pytest.raises(BlemishError, match="exists already"):
        teach(tiny_taught[0], tiny_examples, tiny_teaching(), output=tiny_taught[1])


def test_progress_tells_of_every_stage(tiny_model: Inspector, tiny_examples: Examples) -> None:
    seen: list[TrainProgress] = []
    teach(tiny_model, tiny_examples, tiny_teaching(), progress=seen.append)
    assert list(dict.fromkeys(one.stage for one in seen)) == ["features", "training", "calibration"]
    for stage in ("features", "training", "calibration"):
        last = [one for one in seen if one.stage == stage][-1]
        assert last.done == last.total


def test_a_damaged_half_is_named(tiny_taught: tuple[Inspector, Path], tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(tiny_taught[1], tmp_path / "m")
    weights = folder / "categories.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"categories\.safetensors is damaged"):
        Inspector.load(folder, offline=True)
    weights.unlink()
    with pytest.raises(ModelError, match=r"has no categories\.safetensors"):
        Inspector.load(folder, offline=True)
    shutil.copy(tiny_taught[1] / weights.name, weights)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["teach"]["components"] = 4
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match="does not fit"):
        Inspector.load(folder, offline=True)


def test_a_result_does_not_depend_on_the_other_images(
    tiny_taught: tuple[Inspector, Path], tiny_examples: Examples
) -> None:
    images = [example.path for example in tiny_examples]
    together = list(tiny_taught[0].inspect_many(images))
    for image, one in zip(images, together, strict=True):
        assert isinstance(one, Inspection)
        alone = tiny_taught[0].inspect(image)
        np.testing.assert_allclose(alone.anomaly_map, one.anomaly_map, atol=1e-5)
        assert alone.category == one.category
