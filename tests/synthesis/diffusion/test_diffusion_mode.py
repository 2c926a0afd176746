"""The mode diffusion with tiny random networks: guidance, selection, progress, and the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from blemish.cli.app import app
from blemish.data import Dataset
from blemish.data.defects import read_defects
from blemish.data.layouts.table import read_rows
from blemish.data.priors import CategoryPrior, Priors
from blemish.errors import ConfigError, ModelError
from blemish.synthesis import diffusion_maker
from blemish.synthesis.diffusion.config import DiffusionConfig
from blemish.synthesis.diffusion.selection import Candidates
from blemish.synthesis.diffusion_weights import DiffusionWeights
from blemish.synthesis.donors import Donors
from blemish.synthesis.synthesize import Synthesis

CONFIG = DiffusionConfig(steps=2, absent_steps=3, rounds=2, masks=2, pastes=2, noise_factors=(0.5,), batch=4)
PRIORS = Priors(
    {
        "nut": {
            "scratch": CategoryPrior("scratch", prompts=("a nut with a scratch",)),
            "gap": CategoryPrior("gap", prompts=("a nut with a gap",), negative_prompt="whole"),
        }
    }
)
SPOTS = ["--product", "nut"]


@pytest.fixture
def spots(draw: Callable[..., Path], tmp_path: Path) -> Path:
    """One labelled nut with a spot."""
    draw("spots/spot/one.png", "nut", defect=True)
    draw("spots/spot/one_mask.png", mask=True, defect=True)
    return tmp_path / "spots"


@pytest.fixture
def tiny(weights: Path) -> DiffusionWeights:
    return DiffusionWeights(weights / "sd", weights / "brushnet", weights / "brushnet_random", config=CONFIG)


def test_examples_and_descriptions_guide(parts: Path, spots: Path, tiny: DiffusionWeights) -> None:
    dataset = Dataset.from_folder(parts)
    donors = Donors(read_defects(spots, product="nut").examples, dataset.products, size=64)
    synthesis = Synthesis(dataset, PRIORS, donors=donors, count=2, size=64, mode="diffusion", diffusion=tiny)
    # of an image: rounds × masks × steps; without noise factors for what is missing; pastes × steps
    assert synthesis.work() == 2 * (2 * 2 * 2 + 2 * 2 * 3 + 2 * 2)
    seen: list[tuple[int, int]] = []

    made = {task.key: one for task, one in synthesis.images(progress=lambda done, total: seen.append((done, total)))}

    guided = {category: one.provenance for (_, category, _), one in made.items()}
    assert {name: one.method for name, one in guided.items()} == {
        "scratch": "priors",
        "gap": "priors",
        "spot": "samples",
    }
    assert (guided["spot"].prompt, guided["scratch"].prompt) == ("spot defect", "a nut with a scratch")
    assert guided["spot"].example == (spots / "spot" / "one.png").as_posix()
    assert all(one.provenance.score is not None and one.image.shape == (64, 64, 3) for one in made.values())
    steps = [done for done, _ in seen]
    assert steps == sorted(steps)
    assert seen[-1] == (synthesis.work(), synthesis.work())
    assert len(set(steps)) > 2 * 6  # more often than once an image

    done = set(made) - {("nut", "scratch", 1), ("nut", "spot", 1)}
    rest = {task.key: one for task, one in synthesis.images(done)}
    assert rest.keys() == set(made) - done
    assert all((rest[key].image == made[key].image).all() for key in rest)


def test_alpha_clip_chooses_where_it_is_given(
    parts: Path, spots: Path, tiny: DiffusionWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Candidates] = []

    class First:
        def scores(self, candidates: Candidates) -> Any:
            asked.append(candidates)
            return -candidates.masks.sum(axis=(1, 2)).astype(float)

    monkeypatch.setattr(diffusion_maker.AlphaCLIP, "load", lambda *_: First())
    chosen = replace(tiny, clip=Path("clip"), alpha_clip=Path("alpha.pth"))
    dataset = Dataset.from_folder(parts)
    donors = Donors(read_defects(spots, product="nut").examples, dataset.products, size=64)
    made = list(
        Synthesis(dataset, PRIORS, donors=donors, count=1, size=64, mode="diffusion", diffusion=chosen).images()
    )
    assert len(made) == 3
    told = {one.prompt: one.others for one in asked}
    assert told["a nut with a scratch"] == ("a nut with a gap", "a nut with a spot defect")
    assert told["spot defect"] == ("scratch defect", "gap defect")


def test_what_diffusion_lacks_is_said_at_once(parts: Path, tiny: DiffusionWeights, tmp_path: Path) -> None:
    dataset = Dataset.from_folder(parts)
    with pytest.raises(ConfigError, match="'gap' of nut has a negative prompt"):
        Synthesis(dataset, PRIORS, size=64, diffusion=replace(tiny, brushnet_random=None))
    with pytest.raises(ConfigError, match="size is 60"):
        Synthesis(dataset, PRIORS, size=60, diffusion=tiny)
    with pytest.raises(ModelError, match="no folder"):
        Synthesis(dataset, PRIORS, size=64, diffusion=replace(tiny, stable_diffusion=tmp_path / "none"))
    with pytest.raises(ConfigError, match="weights of its own"):
        replace(tiny, clip=tmp_path)


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "120"})


def test_the_command_line(
    parts: Path, spots: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diffusion_maker, "DiffusionConfig", lambda: CONFIG)
    priors, output = tmp_path / "d.yaml", tmp_path / "out"
    PRIORS.save(priors)
    folders = ["--stable-diffusion", weights / "sd", "--brushnet", weights / "brushnet", "--device", "cpu"]
    folders += ["--brushnet-random", weights / "brushnet_random"]
    shared = ["synthesize", parts, "--priors", priors, "-o", output, "--size", "64", *folders]

    result = run(*shared, "--defects", spots, *SPOTS, "--count", "1")

    assert result.exit_code == 0, result.output
    assert "diffusion: by description 1" in result.output
    assert "transplant:" in result.output
    assert "painted" not in result.output
    rows = [row.values for row in read_rows(output / "manifest.jsonl")]
    assert [(row["defect"], row["mode"]) for row in rows] == [
        ("scratch", "diffusion"),
        ("gap", "diffusion"),
        ("spot", "transplant"),
    ]
    before = (output / "images" / "nut" / "gap" / "0000.png").read_bytes()
    again = run(*shared, "--defects", spots, *SPOTS, "--count", "2", "--resume", "--offload")
    assert (again.exit_code, "3 images in" in again.output) == (0, True), again.output
    assert (output / "images" / "nut" / "gap" / "0000.png").read_bytes() == before

    other = run(*shared, "--defects", spots, *SPOTS, "--resume", "--half")
    assert (other.exit_code, "other settings: diffusion" in other.output) == (2, True)

    (tmp_path / "empty").mkdir()
    broken = run(*shared, "--brushnet", tmp_path / "empty", "--overwrite")
    assert (broken.exit_code, "lacks config.json" in broken.output) == (2, True), broken.output
    assert len(Dataset.from_folder(output)) == 6  # nothing was lost
