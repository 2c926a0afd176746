"""Repainting through the real loading code, with tiny random networks."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from blemish.errors import BlemishError, ConfigError, MissingExtraError, ModelError
from blemish.synthesis.diffusion.config import DiffusionConfig
from blemish.synthesis.diffusion.diffusers_import import import_diffusers
from blemish.synthesis.diffusion.inpainting import Inpainter
from blemish.synthesis.diffusion.latents import LatentCoder, hidden, kept
from blemish.synthesis.diffusion.schedule import Schedule

SCHEDULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    masks = np.zeros((4, 64, 64), bool)
    masks[:, 8:40, 16:48] = True
    return masks


def close(one: np.ndarray, two: np.ndarray) -> bool:
    """Equal up to the rounding that another batch brings."""
    return bool(np.abs(one.astype(int) - two.astype(int)).max() <= 1)


@pytest.mark.parametrize(
    ("noise_factor", "steps", "of", "first"),
    [(0.4, 10, 25, 361), (0.5, 10, 20, 451), (0.6, 10, 16, 559), (1, 20, 20, 951)],
)
def test_the_last_steps_of_the_schedule_are_kept(noise_factor: float, steps: int, of: int, first: int) -> None:
    schedule = Schedule(SCHEDULER, noise_factor, steps)
    assert len(schedule.timesteps) == steps
    assert schedule.timesteps[0] == first
    assert schedule.timesteps[-1] == 1
    assert schedule.timesteps[0] - schedule.timesteps[1] == 1000 // of


def test_more_steps_than_the_schedule_has_are_refused() -> None:
    with pytest.raises(ConfigError, match="1000"):
        Schedule(SCHEDULER, 0.02, 50)


def test_the_true_noise_leads_back_to_the_start() -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 2, 4, 8, 8, generator=generator) * 3  # beyond ±1: latents must not be clipped
    schedule = Schedule({**SCHEDULER, "set_alpha_to_one": True}, 0.5, 10)
    latents = schedule.noised(clean, noise)
    assert (latents - clean).abs().mean() > 0.5
    for step in range(10):
        latents = schedule.stepped(latents, noise, step)
    torch.testing.assert_close(latents, clean, atol=1e-4, rtol=0)


def test_one_answer_per_noise_factor_and_one_where_something_is_missing(
    inpainter: Inpainter, images: np.ndarray, masks: np.ndarray
) -> None:
    seen: list[tuple[int, int]] = []
    negative = ["", "hole", "", "hole"]
    answers = inpainter.repaint(
        images, masks, ["a hole"] * 4, negative, [1, 2, 3, 4], progress=lambda *step: seen.append(step)
    )
    assert [answer.shape for answer in answers] == [(3, 64, 64, 3), (1, 64, 64, 3)] * 2
    assert all(answer.dtype == np.uint8 and answer.std() > 1 for answer in answers)
    assert seen == [(done, 18) for done in (4, 8, 10, 12, 14, 16, 18)]


@pytest.mark.parametrize("change", ["seed", "prompt", "mask", "image"])
def test_an_answer_depends_on_its_own_inputs_only(
    inpainter: Inpainter, images: np.ndarray, masks: np.ndarray, change: str
) -> None:
    prompts, seeds = ["hole", "scratch"], [1, 2]
    together = inpainter.repaint(images[:2], masks[:2], prompts, ["", ""], seeds)
    alone = inpainter.repaint(images[1:2], masks[1:2], prompts[1:], [""], seeds[1:])
    assert close(together[1], alone[0])
    pictures, places = images[:2].copy(), masks[:2].copy()
    if change == "image":
        pictures[1] = 255 - pictures[1]
    elif change == "mask":
        places[1] = ~places[1]
    prompts[1] = "dent" if change == "prompt" else prompts[1]
    seeds[1] = 7 if change == "seed" else seeds[1]
    changed = inpainter.repaint(pictures, places, prompts, ["", ""], seeds)
    assert close(together[0], changed[0])
    assert not np.array_equal(together[1], changed[1])


def test_guidance_by_samples_shows_the_image_and_by_priors_hides_it(
    inpainter: Inpainter, images: np.ndarray, masks: np.ndarray
) -> None:
    one = {"prompts": ["hole"], "negative_prompts": [""], "seeds": [1]}
    priors = inpainter.repaint(images[:1], masks[:1], **one, guidance="priors")
    samples = inpainter.repaint(images[:1], masks[:1], **one, guidance="samples")
    assert not np.array_equal(priors[0], samples[0])


def test_what_brushnet_sees(images: np.ndarray, masks: np.ndarray) -> None:
    seen = hidden(images, masks)
    assert (seen[masks] == 0).all()
    assert (seen[~masks] == images[~masks]).all()
    channel = kept(masks, (8, 8))
    assert channel.shape == (4, 1, 8, 8)
    expected = np.ones((8, 8))
    expected[1:5, 2:6] = 0
    np.testing.assert_array_equal(channel[0, 0].numpy(), expected)


@pytest.mark.parametrize("options", [{"half": True}, {"offload": True}])
def test_half_precision_and_offloading_change_little(
    weights: Path, inpainter: Inpainter, images: np.ndarray, masks: np.ndarray, options: dict[str, bool]
) -> None:
    other = Inpainter.load(weights / "sd", weights / "brushnet", config=inpainter.config, **options)
    asked: Any = (images[:1], masks[:1], ["hole"], [""], [1])
    difference = np.abs(inpainter.repaint(*asked)[0].astype(int) - other.repaint(*asked)[0]).mean()
    assert difference == 0 if "offload" in options else 0 < difference < 10


def test_offloaded_networks_come_and_go(
    weights: Path, images: np.ndarray, masks: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[tuple[str, str]] = []
    move = torch.nn.Module.to

    def noted(self: torch.nn.Module, *args: Any, **options: Any) -> torch.nn.Module:
        moves.append((type(self).__name__, str(args[0])))
        return move(self, *args, **options)

    inpainter = Inpainter.load(weights / "sd", weights / "brushnet", offload=True, config=DiffusionConfig(steps=1))
    monkeypatch.setattr(torch.nn.Module, "to", noted)
    inpainter._device = torch.device("cpu", 0)
    inpainter.repaint(images[:1], masks[:1], ["hole"], [""], [1])
    names = ["CLIPTextModel", "AutoencoderKL", "UNet2DConditionModel", "BrushNet", "AutoencoderKL"]
    assert [name for name, place in moves if place == "cpu:0"] == names
    assert sorted(name for name, place in moves if place == "cpu") == sorted(names)


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("sd", "There is no folder"),
        ("sd/unet/config.json", "lacks unet/config.json"),
        ("sd/unet/diffusion_pytorch_model.safetensors", "lacks unet/diffusion_pytorch_model.safetensors"),
        ("sd/vae/diffusion_pytorch_model.safetensors", "lacks vae/diffusion_pytorch_model.safetensors"),
        ("sd/text_encoder/model.safetensors", "lacks text_encoder/model.safetensors"),
        ("sd/tokenizer", "lacks tokenizer/vocab.json, tokenizer/merges.txt"),
        ("sd/scheduler/scheduler_config.json", "lacks scheduler/scheduler_config.json"),
        ("brushnet", "There is no folder"),
        ("brushnet/config.json", "lacks config.json"),
        ("brushnet/diffusion_pytorch_model.safetensors", "lacks diffusion_pytorch_model.safetensors"),
    ],
)
def test_what_is_missing_is_named_with_what_belongs_there(weights: Path, tmp_path: Path, gone: str, named: str) -> None:
    shutil.copytree(weights, tmp_path / "w")
    path = tmp_path / "w" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ModelError) as caught:
        Inpainter.load(tmp_path / "w" / "sd", tmp_path / "w" / "brushnet")
    assert named in caught.value.message
    assert str(tmp_path / "w" / gone.partition("/")[0]) in caught.value.message
    assert "folder holds" in caught.value.remedy


@pytest.mark.parametrize(
    "broken", ["sd/unet/diffusion_pytorch_model.safetensors", "sd/text_encoder/config.json", "brushnet/config.json"]
)
def test_a_broken_file_is_an_error_that_names_its_folder(weights: Path, tmp_path: Path, broken: str) -> None:
    shutil.copytree(weights, tmp_path / "w")
    (tmp_path / "w" / broken).write_text("not what it says")
    with pytest.raises(ModelError, match=str((tmp_path / "w" / broken).parent)):
        Inpainter.load(tmp_path / "w" / "sd", tmp_path / "w" / "brushnet")


def test_half_weights_in_files_of_their_own_are_found(weights: Path, tmp_path: Path) -> None:
    shutil.copytree(weights, tmp_path / "w")
    for name in ("unet", "vae", "text_encoder"):
        for file in (tmp_path / "w" / "sd" / name).glob("*.safetensors"):
            file.rename(file.with_suffix(".fp16.safetensors"))
    assert isinstance(Inpainter.load(tmp_path / "w" / "sd", tmp_path / "w" / "brushnet"), Inpainter)


@pytest.mark.parametrize("package", ["diffusers", "transformers"])
def test_a_missing_package_says_what_to_install(weights: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*pip install 'blemish\[diffusion\]'"):
        Inpainter.load(weights / "sd", weights / "brushnet")


def test_a_brushnet_of_another_unet_is_refused(weights: Path, tmp_path: Path) -> None:
    from blemish.synthesis.diffusion.brushnet import BrushNet

    published = json.loads((weights / "brushnet" / "config.json").read_text())
    BrushNet.from_config({**published, "layers_per_block": 2}).save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match="made for this UNet") as caught:
        Inpainter.load(weights / "sd", tmp_path / "other")
    assert str(tmp_path / "other") in caught.value.message


def test_a_negative_prompt_needs_the_weights_for_random_masks(
    weights: Path, images: np.ndarray, masks: np.ndarray
) -> None:
    inpainter = Inpainter.load(weights / "sd", weights / "brushnet")
    with pytest.raises(ModelError, match="random masks"):
        inpainter.repaint(images[:1], masks[:1], ["a"], ["b"], [1])


def test_what_does_not_fit_is_refused(inpainter: Inpainter, images: np.ndarray, masks: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="differ in number"):
        inpainter.repaint(images, masks, ["a"], [""], [1])
    with pytest.raises(ConfigError, match="multiple of 8"):
        inpainter.repaint(images[:1, :60, :60], masks[:1, :60, :60], ["a"], [""], [1])
    assert inpainter.repaint(images[:0], masks[:0], [], [], []) == []


@pytest.mark.parametrize(
    "changes", [{"noise_factors": (0.0,)}, {"noise_factors": ()}, {"steps": 0}, {"size": 100}, {"size": 32}]
)
def test_constants_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DiffusionConfig(**changes)


def test_numbers_that_are_not_finite_are_an_error(weights: Path) -> None:
    diffusers = import_diffusers()
    vae = diffusers.AutoencoderKL.from_pretrained(weights / "sd" / "vae", low_cpu_mem_usage=False)
    coder = LatentCoder(vae, torch.device("cpu"), 2)
    with pytest.raises(BlemishError, match="not finite"):
        coder.decoded(torch.full((1, 4, 8, 8), torch.nan))
    mean, deviation = coder.encoded(np.zeros((3, 64, 64, 3), np.uint8))
    assert mean.shape == deviation.shape == (3, 4, 8, 8)
    assert coder.decoded(mean).shape == (3, 64, 64, 3)


class PlainVAE:
    """Latents that are the pixels themselves, halved."""

    dtype = torch.float32
    config = SimpleNamespace(block_out_channels=(1,), scaling_factor=0.5)

    def encode(self, inputs: torch.Tensor) -> SimpleNamespace:
        assert inputs.min() >= -1
        assert inputs.max() <= 1
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=inputs, std=torch.ones_like(inputs)))

    def decode(self, latents: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        assert not return_dict
        return (latents,)


def test_pixels_survive_the_way_there_and_back(images: np.ndarray) -> None:
    coder = LatentCoder(PlainVAE(), torch.device("cpu"), 3)
    mean, deviation = coder.encoded(images)
    assert mean.shape == (4, 3, 64, 64)
    assert (mean.min(), mean.max(), deviation.max()) == (-0.5, 0.5, 0.5)
    np.testing.assert_array_equal(coder.decoded(mean), images)
