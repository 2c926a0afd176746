"""Training: repeatable, resumable, never a silent warm start, and errors that leave the last checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from blemish.config import TrainConfig
from blemish.data.dataset import Dataset
from blemish.data.duplicates import file_hash
from blemish.engines.torch_engine import TorchEngine
from blemish.errors import BlemishError, ConfigError, DataError, ModelError, TrainingError
from blemish.inspection import Failure, Inspection
from blemish.inspector import Inspector
from blemish.training import loop
from blemish.training.calibrate import calibrate
from blemish.training.checkpoint import RunFolder, begin_run, check_run
from blemish.training.images import TrainingSet
from blemish.training.step import Batch, TrainingStep
from blemish.training.train import TrainProgress, train

from .conftest import on_a_cpu


def weights(model: Path) -> dict[str, torch.Tensor]:
    return load_file(model / "model.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@on_a_cpu
@pytest.mark.parametrize("tiny_config", ["none", "dynamic"], indirect=True)
def test_a_seed_repeats_a_run_bit_for_bit(tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig) -> None:
    for name in "ab":
        train(tiny_dataset, tiny_config, output=tmp_path / name)
    other = TrainConfig.parse({**tiny_config.model_dump(), "seed": 4})
    train(tiny_dataset, other, output=tmp_path / "c")
    assert equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert (tmp_path / "a" / "calibration.json").read_text() == (tmp_path / "b" / "calibration.json").read_text()
    assert not equal(weights(tmp_path / "a"), weights(tmp_path / "c"))


@on_a_cpu
@pytest.mark.parametrize(
    ("tiny_config", "pool"), [("none", 40), ("dynamic", 0), ("dynamic", 40)], indirect=["tiny_config"]
)
def test_a_killed_run_resumes_to_the_same_weights(
    tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch, pool: int
) -> None:
    config = TrainConfig.parse({**tiny_config.model_dump(), "pool": pool, "steps": 10, "batch": 16})
    assert config.versions(20, 10) == pool / 20
    train(tiny_dataset, config, output=tmp_path / "whole")
    whole_curve = (tmp_path / "whole" / "curve.jsonl").read_text()

    calls = 0
    forward = TrainingStep.forward

    def dies(self: TrainingStep, *arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return forward(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingStep, "forward", dies)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_dataset, config, output=tmp_path / "model")
    monkeypatch.setattr(TrainingStep, "forward", forward)
    assert not (tmp_path / "model").exists()

    with pytest.raises(TrainingError, match="--resume"):
        train(tiny_dataset, config, output=tmp_path / "model")
    train(tiny_dataset, config, output=tmp_path / "model", resume=True)
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "model"))
    assert json.loads((tmp_path / "model" / "curve.jsonl").read_text())["step"] == json.loads(whole_curve)["step"]
    assert not (tmp_path / "model.run").exists()


@pytest.mark.parametrize("tiny_config", ["none", "dynamic"], indirect=True)
def test_products_in_half_precision_change_losses_little(
    tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig
) -> None:
    curves = []
    for precision in ("32-true", "bf16-mixed"):
        config = TrainConfig.parse({**tiny_config.model_dump(), "precision": precision})
        inspector = train(tiny_dataset, config, output=tmp_path / precision)
        curves.append([json.loads(line) for line in inspector.curve.splitlines()])
    full, half = curves
    assert full != half
    for one, other in zip(full, half, strict=True):
        assert other == pytest.approx(one, rel=0.1)
    assert {tensor.dtype for tensor in weights(tmp_path / "bf16-mixed").values()} <= {
        torch.float32,
        torch.float16,
        torch.int64,
    }


def test_a_checkpoint_of_another_configuration_is_not_continued(
    tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "learning_rate", lambda config, step, steps: float("nan") if step == 4 else 1e-3)
    with pytest.raises(TrainingError, match="at step 5"):
        train(tiny_dataset, tiny_config, output=tmp_path / "model")
    assert (tmp_path / "model.run" / "checkpoint.safetensors").is_file()
    other = TrainConfig.parse({**tiny_config.model_dump(), "learning_rate": 0.5})
    with pytest.raises(TrainingError, match="another configuration"):
        train(tiny_dataset, other, output=tmp_path / "model", resume=True)
    monkeypatch.undo()
    train(tiny_dataset, other, output=tmp_path / "model", restart=True)
    assert (tmp_path / "model" / "config.json").is_file()


def test_a_run_without_a_checkpoint_begins_anew_and_is_of_its_own_configuration(tmp_path: Path) -> None:
    run = RunFolder.beside(tmp_path / "model", "ours")
    begin_run(run, restart=False)
    for step in (10, 20):
        run.log(step, {"dice": 1.0})
    check_run(run, resume=True, restart=False)
    module = torch.nn.Linear(1, 1)
    assert run.restore(module, torch.optim.SGD(module.parameters())) == 0
    run.log(10, {"dice": 0.5})
    assert [json.loads(line)["dice"] for line in run.curve().splitlines()] == [0.5]
    theirs = RunFolder.beside(tmp_path / "model", "theirs")
    with pytest.raises(TrainingError, match="another configuration"):
        check_run(theirs, resume=True, restart=False)
    check_run(theirs, resume=True, restart=True)
    (run.path / "run.json").write_text("[]")
    with pytest.raises(TrainingError, match="is damaged"):
        check_run(run, resume=True, restart=False)


def test_a_full_disk_stops_with_a_message_and_leaves_the_checkpoint(
    tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operating system refuses files beyond 20 kB from step 3 on."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    rate = loop.learning_rate

    def fills(config: TrainConfig, step: int, steps: int) -> float:
        if step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        return rate(config, step, steps)

    monkeypatch.setattr(loop, "learning_rate", fills)
    try:
        with pytest.raises(BlemishError, match=r"checkpoint\.safetensors cannot be written"):
            train(tiny_dataset, tiny_config, output=tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with safe_open(tmp_path / "model.run" / "checkpoint.safetensors", framework="pt") as left:
        assert left.metadata()["step"] == "3"
    assert [path.name for path in (tmp_path / "model.run").iterdir() if path.name.endswith(".tmp")] == []


def test_a_gradient_that_is_not_finite_reaches_no_checkpoint(
    tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = TrainingStep.forward

    def explodes(self: TrainingStep, batch: Batch, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        losses = forward(self, batch, rng)
        bias = self.model.refiner.predictor.bias  # type: ignore[union-attr]
        if explodes.calls == 4:  # type: ignore[attr-defined]
            losses["total"] = (
                losses["total"] + (bias - bias.detach()).abs().sqrt().sum()
            )  # finite, with a gradient of NaN
        explodes.calls += 1  # type: ignore[attr-defined]
        return losses

    explodes.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(TrainingStep, "forward", explodes)
    with pytest.raises(TrainingError, match="gradient is nan at step 4"):
        train(tiny_dataset, tiny_config, output=tmp_path / "model")
    with safe_open(tmp_path / "model.run" / "checkpoint.safetensors", framework="pt") as left:
        assert left.metadata()["step"] == "4"
        assert all(left.get_tensor(name).isfinite().all() for name in left.keys())  # noqa: SIM118


def test_a_run_without_a_checkpoint_yet_is_not_discarded_unasked(
    tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingStep, "forward", dies)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_dataset, tiny_config, output=tmp_path / "m")
    monkeypatch.undo()
    with pytest.raises(TrainingError, match="holds an unfinished run"):
        train(tiny_dataset, tiny_config, output=tmp_path / "m")
    train(tiny_dataset, tiny_config, output=tmp_path / "m", resume=True)


def test_a_failed_start_is_no_unfinished_run(tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig) -> None:
    wrong = {"name": "timm:resnet18", "weights": tmp_path / "missing.safetensors"}
    with pytest.raises(ModelError, match="no weight file"):
        train(tiny_dataset, TrainConfig.parse({**tiny_config.model_dump(), "backbone": wrong}), output=tmp_path / "m")
    train(tiny_dataset, tiny_config, output=tmp_path / "m")
    (tmp_path / "other.run").mkdir()
    (tmp_path / "other.run" / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError, match="no run of Blemish"):
        train(tiny_dataset, tiny_config, output=tmp_path / "other")


@pytest.mark.parametrize("devices", ["abc", "0", "-1"])
def test_devices_that_are_none(tiny_dataset: Dataset, tiny_config: TrainConfig, devices: str) -> None:
    with pytest.raises(ConfigError, match="Say auto, or how many"):
        train(tiny_dataset, tiny_config, devices=devices)


def test_an_existing_model_is_not_overwritten_unasked(
    tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(BlemishError, match="exists"):
        train(tiny_dataset, tiny_config, output=tmp_path / "model")
    with pytest.raises(BlemishError, match="not replaced"):
        train(tiny_dataset, tiny_config, output=tmp_path / "model", overwrite=True)


def test_calibration_images_are_read_before_the_training(
    tmp_path: Path, tiny_folder: Path, tiny_config: TrainConfig
) -> None:
    """The images that would calibrate are damaged: better to hear of it before hours of training."""
    (tmp_path / "few").mkdir()
    for path in (tiny_folder / "spots/train/good").iterdir():
        (tmp_path / "few" / path.name).write_bytes(path.read_bytes())
    dataset = Dataset.from_folder(tmp_path)
    held = TrainingSet.of(dataset, 0.4, tiny_config.seed).held
    assert not any(image.copy for image in held)
    for image in held:
        image.path.write_bytes(image.path.read_bytes()[:500])
    seen: list[TrainProgress] = []
    with pytest.raises(
        DataError, match=r"No image of 'few' that can be read is left to calibrate with. Unreadable: .*png"
    ):
        train(dataset, tiny_config, progress=seen.append)
    assert not [one for one in seen if one.stage == "training"]


@pytest.mark.parametrize(("count", "damaged"), [(1, 0), (2, 0), (1, 1)])
def test_few_images_train_with_altered_copies_and_promise_nothing(
    tmp_path: Path,
    tiny_folder: Path,
    tiny_config: TrainConfig,
    caplog: pytest.LogCaptureFixture,
    count: int,
    damaged: int,
) -> None:
    """Further copies calibrate, also where one image cannot be read."""
    (tmp_path / "few").mkdir()
    names = [f"{number:02}.png" for number in range(count + damaged)]
    for name in names:
        (tmp_path / "few" / name).write_bytes((tiny_folder / "spots/train/good" / name).read_bytes())
    for name in names[count:]:
        (tmp_path / "few" / name).write_bytes(b"no image")
    inspector = train(Dataset.from_folder(tmp_path), tiny_config)
    one = inspector.calibration["few"]
    assert (one.n, one.copied, one.compared) == (24, count, False)
    assert "none promised" in one.statement()
    assert f"altered copies of {count} training image" in one.statement()
    kept = inspector.kept["few"]
    assert (len(kept.train), len(kept.held)) == (24, 24)
    assert len(inspector.seen) == count
    assert [name for name in names if name in caplog.text] == names[count:]


def test_with_neither_decoder_nor_refiner_nothing_is_trained(
    tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig
) -> None:
    """A bank of normal patches is all of the model, whether its refiner has no weight or does not exist."""
    seen: list[TrainProgress] = []
    for changes in ({"refiner_weight": 0}, {"model": {**tiny_config.model.model_dump(), "refiner": False}}):
        config = TrainConfig.parse({**tiny_config.model_dump(), **changes})
        train(tiny_dataset, config, output=tmp_path / "model", overwrite=True, progress=seen.append)
        loaded = Inspector.load(tmp_path / "model", offline=True)
        assert loaded.inspect(tiny_dataset.train_normals("spots")[0].path).product == "spots"
    assert not [one for one in seen if one.stage == "training"]


def test_one_unreadable_image_loses_nothing_and_is_named(
    tmp_path: Path, tiny_folder: Path, tiny_config: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    import shutil

    shutil.copytree(tiny_folder, tmp_path / "data")
    for name in ("03.png", "07.png"):
        (tmp_path / "data/spots/train/good" / name).write_bytes(b"not an image")
    for left_out in ({}, {"left_out": (told := []).append}):  # type: ignore[var-annotated]
        inspector = train(Dataset.from_folder(tmp_path / "data"), tiny_config, **left_out)
        assert inspector.products == ("spots", "stripes")
    assert all(caplog.text.count(f"{name} is not an image") == 1 for name in ("03.png", "07.png"))
    assert [Path(one.source).name for one in told] == ["03.png", "07.png"]


def test_progress_tells_of_every_stage(tiny_dataset: Dataset, tiny_config: TrainConfig) -> None:
    seen: list[TrainProgress] = []
    train(tiny_dataset, tiny_config, progress=seen.append)
    stages = list(dict.fromkeys(one.stage for one in seen))
    assert stages == ["features", "prompts", "pseudo-anomalies", "training", "calibration"]
    last = {one.stage: one for one in seen}
    assert all(one.done == one.total for one in last.values())
    assert {"total", "dice", "focal"} <= last["training"].losses.keys()


def results(inspector: Inspector, images: list[Path], **options: int) -> list[Inspection]:
    found = list(inspector.inspect_many(images, **options))
    assert not any(isinstance(one, Failure) for one in found)
    return [one for one in found if isinstance(one, Inspection)]


@pytest.mark.parametrize("tiny_config", ["none", "dynamic"], indirect=True)
def test_save_and_load_answer_the_same(tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig) -> None:
    images = [sample.path for sample in tiny_dataset.train_normals()]
    trained = train(tiny_dataset, tiny_config, output=tmp_path / "model")
    loaded = Inspector.load(tmp_path / "model", offline=True)
    assert loaded.seen == trained.seen == {file_hash(image) for image in images}
    for one, other in zip(results(trained, images), results(loaded, images), strict=True):
        assert one.score == other.score
        assert one.to_dict() == other.to_dict()
        np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)


def test_a_model_with_a_reduced_backbone_comes_back(
    tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig
) -> None:
    config = TrainConfig.parse({**tiny_config.model_dump(), "backbone": {"components": 12}})
    images = [sample.path for sample in tiny_dataset.train_normals()]
    trained = train(tiny_dataset, config, output=tmp_path / "model")
    loaded = Inspector.load(tmp_path / "model", offline=True)
    for inspector in (trained, loaded):
        assert isinstance(inspector.engine, TorchEngine)
        assert inspector.engine.network.layout.channels == (12, 12, 12)
    for one, other in zip(results(trained, images), results(loaded, images), strict=True):
        np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)


@on_a_cpu
@pytest.mark.parametrize("tiny_config", ["none", "dynamic"], indirect=True)
def test_a_result_does_not_depend_on_the_other_images(tiny_dataset: Dataset, tiny_config: TrainConfig) -> None:
    inspector = train(tiny_dataset, tiny_config)
    images = [sample.path for sample in tiny_dataset.train_normals()]
    together = results(inspector, images)
    for image, one in zip(images, together, strict=True):
        alone = inspector.inspect(image)
        np.testing.assert_allclose(alone.anomaly_map, one.anomaly_map, atol=1e-5)
        assert alone.product == one.product
        assert alone.score == pytest.approx(one.score, abs=1e-5)
    backwards = results(inspector, images[::-1], batch=3)[::-1]
    for one, other in zip(together, backwards, strict=True):
        np.testing.assert_allclose(one.anomaly_map, other.anomaly_map, atol=1e-5)


@on_a_cpu
def test_calibration_images_of_one_part_count_once(tiny_dataset: Dataset, tiny_config: TrainConfig) -> None:
    inspector = train(tiny_dataset, tiny_config)
    images = [sample.path for sample in tiny_dataset.train_normals("spots")][:6]
    each = calibrate(inspector, images, product="spots")[0].calibration["spots"]
    parts = calibrate(inspector, images, product="spots", groups="aabbbc")[0].calibration["spots"]
    scores = [inspector.inspect(image, product="spots").score for image in images]
    assert (each.n, each.images, parts.n, parts.images) == (6, None, 3, 6)
    assert parts.scores == pytest.approx(sorted([max(scores[:2]), max(scores[2:5]), scores[5]]), abs=1e-5)
    assert parts.threshold == each.threshold
    assert parts.effective_rate == 1 / 4


def test_unreadable_images_keep_their_place(tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig) -> None:
    inspector = train(tiny_dataset, tiny_config)
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    good = tiny_dataset.train_normals()[0].path
    found = list(inspector.inspect_many([good, bad, good, tmp_path / "missing.png"]))
    assert [isinstance(one, Failure) for one in found] == [False, True, False, True]
    assert isinstance(found[1], Failure)
    assert found[1].source == str(bad)


def test_a_region_of_interest_is_kept_and_obeyed(
    tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig
) -> None:
    roi = np.zeros((128, 128), dtype=bool)
    roi[32:96, 32:96] = True
    train(tiny_dataset, tiny_config, output=tmp_path / "model", rois={"spots": roi})
    loaded = Inspector.load(tmp_path / "model")
    result = loaded.inspect(tiny_dataset.train_normals("spots")[0].path, product="spots")
    assert not result.anomaly_map[~loaded.rois["spots"]].any()
    assert result.anomaly_map[loaded.rois["spots"]].any()
    assert loaded.rois["spots"].sum() == 32 * 32


@pytest.mark.parametrize("tiny_config", ["dynamic"], indirect=True)
@pytest.mark.parametrize("prompt_patches", [0, 50])
@pytest.mark.parametrize("pool", [0, 1])
def test_losses_follow_the_configuration(
    tmp_path: Path, tiny_dataset: Dataset, tiny_config: TrainConfig, prompt_patches: int, pool: int
) -> None:
    model = {**tiny_config.model.model_dump(), "prompt_patches": prompt_patches}
    base = {**tiny_config.model_dump(), "pool": pool, "steps": 2}
    cases = [
        ({"restoration": True, "refiner_weight": 1.0}, {"reconstruction", "restoration", "dice", "focal"}),
        ({"restoration": False, "refiner_weight": 1.0, "focal": 0.0}, {"reconstruction", "dice"}),
        ({"restoration": False, "refiner_weight": 0.0}, {"reconstruction"}),
    ]
    if prompt_patches:
        alone = {**model, "decoder": "none", "principal_start": False}
        cases.append(({"restoration": False, "refiner_weight": 1.0, "model": alone}, {"dice", "focal"}))
    for number, (changes, names) in enumerate(cases):
        target = tmp_path / f"{number}"
        train(tiny_dataset, TrainConfig.parse({**base, "model": model, **changes}), output=target)
        assert json.loads((target / "curve.jsonl").read_text().splitlines()[-1]).keys() - {"step", "total"} == names
