from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from blemish.calibration import ProductCalibration
from blemish.cli.console import duration, training_progress
from blemish.config import TrainConfig
from blemish.errors import ImageError
from blemish.inspection import Failure
from blemish.inspector import Inspector

pytestmark = pytest.mark.core
Draw = Callable[..., Path]


@pytest.fixture
def calls(fake_inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Training that trains nothing and notes what it was asked for."""
    noted: list[dict[str, Any]] = []

    def train(dataset: Any, config: Any, *, progress: Any, **options: Any) -> Inspector:
        noted.append({"dataset": dataset, "config": config, **options})
        for done in (1, 2):
            progress(SimpleNamespace(stage="features", done=done, total=2, seconds_left=None, losses={}))
        progress(SimpleNamespace(stage="training", done=1, total=9, seconds_left=61.0, losses={"dice": 0.5}))
        return fake_inspector

    module = ModuleType("blemish.training.train")
    module.train = train  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "blemish.training.train", module)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    return noted


def test_unreadable_images_are_named_and_exit_with_3(
    run: Any, calls: list[dict[str, Any]], parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = sys.modules["blemish.training.train"].train

    def some_unreadable(*arguments: Any, left_out: Any, **options: Any) -> Inspector:
        left_out(Failure("a.png", ImageError("a.png is not an image.", "Replace it.")))
        return train(*arguments, **options)  # type: ignore[no-any-return]

    monkeypatch.setattr(sys.modules["blemish.training.train"], "train", some_unreadable)
    result = run("train", parts, "-o", tmp_path / "line.blemish")
    assert result.exit_code == 3, result.output
    assert "Left out: a.png is not an image." in result.output
    assert "Trained in" in result.output
    monkeypatch.setenv("LOCAL_RANK", "1")  # a further process of one training leaves it to the first
    assert run("train", parts, "-o", tmp_path / "line.blemish").exit_code == 0


def test_defaults(run: Any, calls: list[dict[str, Any]], parts: Path, tmp_path: Path) -> None:
    result = run("train", parts, "-o", tmp_path / "my line.blemish")
    assert result.exit_code == 0, result.output
    (call,) = calls
    assert call["config"] == TrainConfig.of("fast", seed=0)
    assert call["output"] == tmp_path / "my line.blemish"
    assert call["dataset"].products == ("bolt", "nut")
    assert (call["resume"], call["restart"], call["overwrite"], call["offline"]) == (False,) * 4
    assert (call["devices"], call["rois"]) == ("auto", {})
    for words in (
        "MVTec AD, 2 products",
        "Preparing images: 2/2",
        "Training: 1/9, dice 0.5, 1 min 1 s left",
        "Trained in 0 s",
        "bolt: false-alarm rate requested 5 %, effective 4.8 %, from 20 calibration images",
        f'blemish evaluate "{tmp_path / "my line.blemish"}" {parts}',
        f'blemish inspect "{tmp_path / "my line.blemish"}" new-images/',
    ):
        assert words in result.output.replace("\n", " ") or words in result.output


def test_options_reach_the_training(run: Any, calls: list[dict[str, Any]], parts: Path, tmp_path: Path) -> None:
    mask = parts / "bolt" / "ground_truth" / "spot" / "0_mask.png"
    result = run(
        *("train", parts, "-o", tmp_path / "m", "--preset", "paper", "--backbone", "timm:resnet18", "--seed", 7),
        *("--backbone-weights", "w.safetensors", "--steps", 5, "--false-alarm-rate", 0.002, "--devices", 2),
        *("--precision", "bf16-mixed", "--roi", f"bolt={mask}", "--resume", "--overwrite", "--offline"),
        *("--textures", "dtd", "--init", "old.blemish"),
    )
    assert result.exit_code == 0, result.output
    (call,) = calls
    config = call["config"]
    assert (config.preset, config.seed, config.steps, config.false_alarm_rate) == ("paper", 7, 5, 0.002)
    assert (config.backbone.name, config.backbone.levels) == ("timm:resnet18", None)
    assert config.backbone.weights == Path(os.path.abspath("w.safetensors"))
    assert config.precision == "bf16-mixed"
    assert config.init == "old.blemish"
    assert "starts from the weights of old.blemish" in result.output
    assert config.pseudo_anomalies.textures == Path(os.path.abspath("dtd"))
    assert (call["devices"], call["resume"], call["overwrite"], call["offline"]) == ("2", True, True, True)
    assert call["rois"]["bolt"].sum() == 24 * 24


def test_any_value_of_the_configuration_can_be_set(
    run: Any, calls: list[dict[str, Any]], parts: Path, tmp_path: Path
) -> None:
    result = run(
        *("train", parts, "-o", tmp_path / "m", "--backbone", "timm:resnet18", "--steps", 5),
        *("--set", "model.prompt_patches=500", "--set", "backbone.strides=[8, 16]", "--set", "learning_rate=1e-4"),
        *("--set", "model.decoder=dynamic", "--set", "pseudo_anomalies.keep_grey=false"),
    )
    assert result.exit_code == 0, result.output
    assert calls[0]["config"] == TrainConfig.of(
        "fast",
        steps=5,
        learning_rate=1e-4,
        backbone={"name": "timm:resnet18", "levels": None, "strides": (8, 16)},
        model={"prompt_patches": 500, "decoder": "dynamic"},
        pseudo_anomalies={"keep_grey": False},
    )


@pytest.mark.parametrize(("tiles", "size", "count"), [("3", 64, 3), ("auto", 64, 1), ("auto", 800, 4)])
def test_tiles(
    run: Any, calls: list[dict[str, Any]], parts: Path, tmp_path: Path, tiles: str, size: int, count: int
) -> None:
    for path in parts.glob("*/train/good/*.png"):
        Image.new("RGB", (size, size)).save(path)
    result = run("train", parts, "-o", tmp_path / "m", "--tiles", tiles)
    assert result.exit_code == 0, result.output
    assert calls[0]["config"] == TrainConfig.of("fast", model={"tiles": count})
    assert ("overlapping tiles" in result.output) == (count > 1)


def test_the_split_is_made_with_the_seed(run: Any, calls: list[dict[str, Any]], draw: Draw, tmp_path: Path) -> None:
    for index in range(10):
        draw(f"p/bolt/good/{index}.png")
    draw("p/bolt/bad/0.png", defect=True)
    for seed in (1, 1, 2):
        run("train", tmp_path / "p", "-o", tmp_path / "m", "--preset", "paper", "--split", "image", "--seed", seed)
    trained = [[sample.path.name for sample in call["dataset"].train_normals()] for call in calls]
    assert trained[0] == trained[1] != trained[2]


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (lambda root: (root / "empty").mkdir(), [], "empty"),
        (lambda root: [p.unlink() for p in (root / "nut/train/good").iterdir()], [], "nut"),
        (lambda root: None, ["--backbone", "resnet18"], "backbone.name"),
        (lambda root: None, ["--false-alarm-rate", "2"], "false_alarm_rate"),
        (lambda root: None, ["--tiles", "0"], "tiles"),
        (lambda root: None, ["--tiles", "some"], "tiles"),
        (lambda root: None, ["--roi", "mask.png"], "does not say which product"),
        (lambda root: None, ["--roi", "nut=missing.png"], "missing.png"),
        (lambda root: None, ["--set", "model.width"], "Write KEY=VALUE"),
        (lambda root: None, ["--set", "model..width=3"], "Write KEY=VALUE"),
        (lambda root: None, ["--set", "model.widht=3"], "model.widht: there is no such value"),
        (lambda root: None, ["--set", "model.size.x=3"], "model.size"),
        (lambda root: None, ["--set", "batch=many"], "batch"),
        (lambda root: None, ["--set", "seed=3"], "Say --seed"),
        (lambda root: None, ["--set", 'model={"width": 3}'], "Name each: model.NAME=VALUE"),
        (lambda root: None, ["--defects", "missing"], "no file or folder"),
        (lambda root: None, ["--priors", "missing.yaml"], "missing.yaml"),
        (lambda root: (root.parent / "m").write_text("mine"), [], "exists already"),
        (lambda root: (root.parent / "m").write_text("mine"), ["--overwrite"], "holds no config.json"),
    ],
)
def test_mistakes_are_refused_before_training(
    run: Any,
    calls: list[dict[str, Any]],
    parts: Path,
    tmp_path: Path,
    spoil: Callable[[Path], Any],
    options: list[str],
    message: str,
) -> None:
    spoil(parts)
    result = run("train", parts, "-o", tmp_path / "m", "--preset", "paper", *options)
    assert result.exit_code == 2
    assert "Error: " in result.output
    assert message in result.output
    assert calls == []


def test_stopping_says_how_to_go_on(
    run: Any, calls: list[dict[str, Any]], parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["blemish.training.train"], "train", stop)
    result = run("train", parts, "-o", tmp_path / "m", "--preset", "paper")
    assert result.exit_code == 130
    assert f"{tmp_path / 'm'}.run: continue it with --resume" in result.output


def test_names_are_taught_afterwards(
    run: Any, calls: list[dict[str, Any]], teachings: list[dict[str, Any]], parts: Path, draw: Draw, tmp_path: Path
) -> None:
    defects, more, priors = tmp_path / "defects", tmp_path / "more", tmp_path / "defects.yaml"
    for number in range(2):
        draw(f"defects/nut/spot/{number}.png", "nut", defect=True)
    draw("more/bolt/dent/0.png", defect=True)
    priors.write_text("nut:\n  burr: null\n", encoding="utf-8")
    result = run(
        *("train", parts, "-o", tmp_path / "m", "--defects", defects, "--defects", more, "--priors", priors),
        *("--seed", 4, "--preset", "paper"),
    )
    assert result.exit_code == 0, result.output
    assert len(calls) == 1
    (taught,) = teachings
    assert (taught["config"].preset, taught["config"].seed) == ("paper", 4)
    assert (taught["output"], taught["overwrite"], taught["restart"]) == (tmp_path / "m", True, True)
    assert {example.product for example in taught["examples"]} == {"bolt", "nut"}
    assert taught["priors"].for_product("nut").keys() == {"burr"}
    for words in ("2 labelled images: folders", "described only", "Trained in", "nut: false-alarm rate"):
        assert words in result.output
    run("train", parts, "-o", tmp_path / "other")
    assert len(teachings) == 1
    priors.write_text("cap:\n  burr: null\n", encoding="utf-8")
    result = run("train", parts, "-o", tmp_path / "third", "--priors", priors)
    assert result.exit_code == 2
    assert "product 'cap'" in result.output
    assert len(calls) == 2


def test_one_of_several_processes_speaks(
    run: Any, calls: list[dict[str, Any]], parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert run("train", parts, "-o", tmp_path / "m", "--preset", "paper").output == ""
    assert len(calls) == 1


def test_what_a_product_without_calibration_promises(
    run: Any, calls: list[dict[str, Any]], fake_inspector: Inspector, parts: Path, tmp_path: Path
) -> None:
    fake_inspector.calibration.products["nut"] = ProductCalibration()
    output = run("train", parts, "-o", tmp_path / "m", "--preset", "paper").output
    assert "nut: false-alarm rate requested 1 %, none promised" in output


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with training_progress() as show:
        for done in range(1, 1001):
            show(SimpleNamespace(stage="training", done=done, total=1000, seconds_left=1.0, losses={}))  # type: ignore[arg-type]
    assert capsys.readouterr().err.splitlines() == ["Training: 1/1000, 1 s left", "Training: 1000/1000"]
