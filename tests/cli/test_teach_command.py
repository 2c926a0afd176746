"""`blemish teach`: what it hands to the teaching, what it says, and which mistakes end it before any work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blemish.config import TeachConfig
from blemish.data.problem import Problem
from blemish.errors import DataError

pytestmark = pytest.mark.core
Draw = Callable[..., Path]
Calls = list[dict[str, Any]]


@pytest.fixture
def priors(tmp_path: Path) -> Path:
    path = tmp_path / "defects.yaml"
    path.write_text("nut:\n  burr: a nut with a burr\nbolt:\n  burr: null\n", encoding="utf-8")
    return path


def test_defaults(run: Any, teachings: Calls, model: Path, defects: Path, tmp_path: Path) -> None:
    result = run("teach", model, defects, "-o", tmp_path / "my new.blemish")
    assert result.exit_code == 0, result.output
    (call,) = teachings
    assert call["config"] == TeachConfig.of("fast", seed=3)  # the model's seed
    assert call["output"] == tmp_path / "my new.blemish"
    assert [example.path.name for example in call["examples"]] == ["a.png", "b.png"]
    assert {(example.product, example.categories) for example in call["examples"]} == {("nut", ("spot",))}
    assert (call["overwrite"], call["resume"], call["restart"], call["devices"]) == (False, False, False, "auto")
    assert call["priors"] is None
    for words in (
        "2 labelled images: folders",
        "Preparing images: 2/2",
        "Training: 1/9, dice 0.5, 1 min 1 s left",
        "Taught in 0 s",
        "nut: false-alarm rate requested 5 %",
        f'blemish inspect "{tmp_path / "my new.blemish"}" new-images/',
    ):
        assert words in result.output.replace("\n", " ") or words in result.output
    row = next(line.split() for line in result.output.splitlines() if line.split()[:1] == ["nut"])
    assert row == ["nut", "spot", "2", "1"]
    assert "bolt: false-alarm" not in result.output


def test_options_reach_the_teaching(run: Any, teachings: Calls, model: Path, defects: Path, tmp_path: Path) -> None:
    result = run(
        *("teach", model, defects, "-o", tmp_path / "m", "--preset", "accurate", "--seed", 7, "--steps", 5),
        *("--images", 9, "--embeddings", "file:x.safetensors", "--devices", 2, "--resume", "--overwrite"),
        *("--product", "bolt", "--set", "painted=0", "--set", 'blending=["poisson"]'),
    )
    assert result.exit_code == 0, result.output
    (call,) = teachings
    config = call["config"]
    assert (config.preset, config.seed, config.steps, config.images) == ("accurate", 7, 5, 9)
    assert config.embeddings == "file:x.safetensors"
    assert (config.painted, config.blending) == (0, ("poisson",))
    assert (call["devices"], call["resume"], call["restart"], call["overwrite"]) == ("2", True, False, True)
    assert {example.product for example in call["examples"]} == {"bolt"}


def test_descriptions(run: Any, teachings: Calls, model: Path, priors: Path, defects: Path, tmp_path: Path) -> None:
    result = run("teach", model, "--priors", priors, "-o", tmp_path / "m", "--restart")
    assert result.exit_code == 0, result.output
    assert teachings[0]["examples"] == []
    assert teachings[0]["restart"] is True
    assert teachings[0]["priors"].for_product("nut")["burr"].prompts == ("a nut with a burr",)
    assert result.output.count("described only") == 2
    result = run("teach", model, defects, "--priors", priors, "-o", tmp_path / "m")
    assert result.exit_code == 0, result.output
    assert len(teachings[1]["examples"]) == 2
    rows = [line.split() for line in result.output.splitlines() if line.split()[:1] in (["nut"], ["bolt"])]
    assert [row[:2] for row in rows] == [["bolt", "burr"], ["nut", "burr"], ["nut", "spot"]]


def test_problems_are_told_but_not_all(run: Any, teachings: Calls, model: Path, defects: Path, tmp_path: Path) -> None:
    for number in range(8):
        problem = Problem(Path(f"{number}.png"), "info", f"The mask of {number}.png was guessed.", "Draw a mask.")
        sys.modules["blemish.training.teach"].problems.append(problem)
    output = run("teach", model, defects, "-o", tmp_path / "m").output
    assert "The mask of 0.png was guessed. Draw a mask." in output
    assert "7.png was guessed" not in output
    assert "… and 3 more." in output


def test_one_of_several_processes_speaks(
    run: Any, teachings: Calls, model: Path, defects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert run("teach", model, defects, "-o", tmp_path / "m").output == ""
    assert len(teachings) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{model}", "{defects}"], "not said where the new model goes"),
        (["{model}", "-o", "{new}"], "nothing to learn from"),
        (["{model}", "{missing}", "-o", "{new}"], "no file or folder"),
        (["{model}", "{model}", "-o", "{new}"], "line.blemish"),
        (["{missing}.blemish", "{defects}", "-o", "{new}"], "no model folder"),
        (["{model}", "{defects}", "-o", "{model}"], "exists already"),
        (["{model}", "{defects}", "-o", "{defects}", "--overwrite"], "holds no config.json"),
        (["{model}", "--priors", "{missing}", "-o", "{new}"], "missing"),
        (["{model}", "{defects}", "-o", "{new}", "--embeddings", "dino"], "embeddings"),
        (["{model}", "{defects}", "-o", "{new}", "--set", "members=0"], "members"),
        (["{model}", "{defects}", "-o", "{new}", "--set", "images=5"], "Say --images"),
    ],
)
def test_mistakes_are_refused_before_teaching(
    run: Any, teachings: Calls, model: Path, defects: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    names = {"model": model, "defects": defects, "new": tmp_path / "new", "missing": tmp_path / "missing"}
    result = run("teach", *(argument.format(**names) for argument in arguments))
    assert result.exit_code == 2, result.output
    assert message in result.output.replace("\n", " ")
    assert "Error: " in result.output
    assert "Traceback" not in result.output
    assert teachings == []
    assert not (tmp_path / "new").exists()


def test_an_error_of_the_teaching_is_a_sentence(
    run: Any, model: Path, defects: Path, tmp_path: Path, teachings: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise DataError("The model keeps no normal images of 'nut'.", "Train it again without kept=0.")

    monkeypatch.setattr(sys.modules["blemish.training.teach"], "teach", fails)
    result = run("teach", model, defects, "-o", tmp_path / "m")
    assert result.exit_code == 2
    assert "Error: The model keeps no normal images of 'nut'." in result.output
    assert "Traceback" not in result.output
