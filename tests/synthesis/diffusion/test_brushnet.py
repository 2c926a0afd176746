"""BrushNet answers as the authors' does, and leaves the UNet as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from blemish.errors import ModelError
from blemish.synthesis.diffusion import BrushNet, ControlledUNet, Residuals
from blemish.synthesis.diffusion.diffusers_import import import_diffusers

DEEP_UNET: dict[str, Any] = {
    "block_out_channels": (8, 12, 16),
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "cross_attention_dim": 6,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
    "sample_size": 16,
}
DEEP_BRUSHNET: dict[str, Any] = {
    "block_out_channels": [8, 12, 16],
    "layers_per_block": 2,
    "down_block_types": ["DownBlock2D"] * 3,
    "up_block_types": ["UpBlock2D"] * 3,
    "norm_num_groups": 4,
}


def tensors(arrays: Any, name: str) -> dict[str, Tensor]:
    start = f"w/{name}."
    return {key.removeprefix(start): torch.from_numpy(arrays[key]).float() for key in arrays if key.startswith(start)}


@torch.no_grad()
def test_residuals_and_noise_equal_the_reference(shared: Path) -> None:
    arrays = np.load(shared / "fixtures" / "brushnet_tiny.npz")
    unet = import_diffusers().UNet2DConditionModel.from_config(json.loads(str(arrays["unet_config"]))).eval()
    unet.load_state_dict(tensors(arrays, "unet"))
    brushnet = BrushNet.from_config(json.loads(str(arrays["brushnet_config"]))).eval()
    brushnet.load_state_dict(tensors(arrays, "brushnet"))
    latents, timesteps, condition, text = (
        torch.from_numpy(arrays[f"in/{name}"])
        for name in ("latents", "timesteps", "brushnet_cond", "encoder_hidden_states")
    )
    residuals = brushnet(latents, timesteps, condition, float(arrays["in/conditioning_scale"]))
    noise = ControlledUNet(unet)(latents, timesteps, text, residuals)
    plain = ControlledUNet(unet)(latents, timesteps, text, None)
    for name, side in (("down", residuals.down), ("up", residuals.up)):
        assert len(side) == sum(key.startswith(f"out/{name}_") for key in arrays)
        for index, one in enumerate(side):
            np.testing.assert_allclose(one.numpy(), arrays[f"out/{name}_{index:02}"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(residuals.mid.numpy(), arrays["out/mid"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(noise.numpy(), arrays["out/noise_pred"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(plain.numpy(), arrays["out/noise_pred_without_brushnet"], atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def deep() -> tuple[Any, BrushNet]:
    """Three levels of two layers, attention in several places; BrushNet's convolutions are not zero."""
    torch.manual_seed(0)
    unet = import_diffusers().UNet2DConditionModel(**DEEP_UNET).eval()
    brushnet = BrushNet.from_config(DEEP_BRUSHNET).eval()
    for name, parameter in brushnet.named_parameters():
        if name.startswith("brushnet_"):
            torch.nn.init.normal_(parameter, std=0.3)
    return unet, brushnet


def inputs(batch: int = 2, side: int = 16) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    latents, condition, text = (
        torch.randn(shape, generator=generator)
        for shape in ((batch, 4, side, side), (batch, 5, side, side), (batch, 7, 6))
    )
    return latents, torch.tensor([10, 700, 30][:batch]), condition, text


@torch.no_grad()
def walked(unet: Any, latents: Tensor, timesteps: Tensor, text: Tensor, residuals: Residuals) -> Tensor:
    """The UNet taken layer by layer, with a residual added at each place: what the hooks must come to."""
    down, up = list(residuals.down), list(residuals.up)
    embedding = unet.time_embedding(unet.time_proj(timesteps))

    def through(block: Any, layer: int, features: Tensor) -> Tensor:
        features = block.resnets[layer](features, embedding)
        attentions = getattr(block, "attentions", None)
        if attentions is None:
            return features
        return attentions[layer](features, encoder_hidden_states=text, return_dict=False)[0]

    features = unet.conv_in(latents)
    skips = [features]  # the one that is stored before its residual is added
    features = features + down.pop(0)
    for block in unet.down_blocks:
        for layer in range(len(block.resnets)):
            features = through(block, layer, features) + down.pop(0)
            skips.append(features)
        for sampler in block.downsamplers or ():
            features = sampler(features) + down.pop(0)
            skips.append(features)
    features = unet.mid_block(features, embedding, encoder_hidden_states=text) + residuals.mid
    for block in unet.up_blocks:
        for layer in range(len(block.resnets)):
            features = through(block, layer, torch.cat((features, skips.pop()), dim=1)) + up.pop(0)
        for sampler in block.upsamplers or ():
            features = sampler(features) + up.pop(0)
    assert (down, up, skips) == ([], [], [])
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(features)))


@torch.no_grad()
def test_each_residual_reaches_its_place(deep: tuple[Any, BrushNet]) -> None:
    unet, brushnet = deep
    latents, timesteps, condition, text = inputs()
    residuals = brushnet(latents, timesteps, condition, 0.75)
    assert (len(residuals.down), len(residuals.up)) == (9, 11)
    noise = ControlledUNet(unet)(latents, timesteps, text, residuals)
    torch.testing.assert_close(noise, walked(unet, latents, timesteps, text, residuals), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("index", range(21))
def test_no_residual_is_lost(deep: tuple[Any, BrushNet], index: int) -> None:
    unet, brushnet = deep
    latents, timesteps, condition, text = inputs()
    residuals = brushnet(latents, timesteps, condition, 1.0)
    every = [*residuals.down, residuals.mid, *residuals.up]
    alone = [one if place == index else torch.zeros_like(one) for place, one in enumerate(every)]
    one = Residuals(tuple(alone[:9]), alone[9], tuple(alone[10:]))
    noise = ControlledUNet(unet)(latents, timesteps, text, one)
    torch.testing.assert_close(noise, walked(unet, latents, timesteps, text, one), atol=1e-5, rtol=0)
    assert (noise - ControlledUNet(unet)(latents, timesteps, text)).abs().max() > 1e-4


@torch.no_grad()
def test_residuals_scale_and_repeat(deep: tuple[Any, BrushNet]) -> None:
    _, brushnet = deep
    latents, timesteps, condition, _ = inputs()
    whole, part = (brushnet(latents, timesteps, condition, scale) for scale in (1.0, 0.75))
    pairs = zip((*whole.down, whole.mid, *whole.up), (*part.down, part.mid, *part.up), strict=True)
    for one, two in pairs:
        torch.testing.assert_close(one * 0.75, two)
    twice = whole.repeated(2)
    assert twice.mid.shape[0] == 4
    torch.testing.assert_close(twice.up[-1][2:], whole.up[-1])


@torch.no_grad()
def test_nothing_stays_in_the_unet(deep: tuple[Any, BrushNet]) -> None:
    unet, brushnet = deep
    latents, timesteps, condition, text = inputs()
    controlled = ControlledUNet(unet)
    before = unet(latents, timesteps, encoder_hidden_states=text).sample
    residuals = brushnet(latents, timesteps, condition, 1.0)
    controlled(latents, timesteps, text, residuals)
    with pytest.raises(ModelError, match="does not fit"):
        controlled(latents, timesteps, text, Residuals(residuals.down, residuals.up[-1], residuals.up))
    with pytest.raises(ModelError, match=r"9 \+ 10 residuals, but the UNet has 9 \+ 11"):
        controlled(latents, timesteps, text, Residuals(residuals.down, residuals.mid, residuals.up[1:]))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in unet.modules())
    torch.testing.assert_close(unet(latents, timesteps, encoder_hidden_states=text).sample, before, atol=0, rtol=0)
    torch.testing.assert_close(controlled(latents, timesteps, text), before, atol=0, rtol=0)


@torch.no_grad()
def test_sizes_that_do_not_halve_evenly_and_one_timestep_for_all(deep: tuple[Any, BrushNet]) -> None:
    unet, brushnet = deep
    latents, _, condition, text = inputs(side=18)
    step = torch.tensor(500)
    residuals = brushnet(latents, step, condition, 1.0)
    assert ControlledUNet(unet)(latents, step, text, residuals).shape == latents.shape
    each = brushnet(latents, torch.tensor([500, 500]), condition, 1.0)
    torch.testing.assert_close(residuals.mid, each.mid)


def test_an_untrained_brushnet_changes_nothing() -> None:
    brushnet = BrushNet.from_config({**DEEP_BRUSHNET, "encoder_hid_dim": None, "of_no_known_use": 3})
    latents, timesteps, condition, _ = inputs()
    residuals = brushnet(latents, timesteps, condition, 1.0)
    assert all(not one.any() for one in (*residuals.down, residuals.mid, *residuals.up))


def test_the_defaults_are_the_published_network() -> None:
    with torch.device("meta"):
        network = BrushNet.from_config({})
    assert len(network.brushnet_down_blocks) == 12
    assert len(network.brushnet_up_blocks) == 15
    assert tuple(network.conv_in_condition.weight.shape) == (320, 9, 3, 3)
    assert not [name for name in network.state_dict() if "attentions" in name]


@torch.no_grad()
def test_every_residual_has_its_place_in_stable_diffusion() -> None:
    with torch.device("meta"):  # shapes without numbers: the real networks are large
        unet = import_diffusers().UNet2DConditionModel(cross_attention_dim=768)
        brushnet = BrushNet.from_config({})
        latents, condition, text = (torch.zeros(1, *shape) for shape in ((4, 64, 64), (5, 64, 64), (77, 768)))
        step = torch.zeros(1)
    noise = ControlledUNet(unet)(latents, step, text, brushnet(latents, step, condition, 1.0))
    assert noise.shape == latents.shape


def test_a_folder_is_read_as_it_was_written(deep: tuple[Any, BrushNet], tmp_path: Path) -> None:
    _, brushnet = deep
    brushnet.save_pretrained(tmp_path / "b")
    assert sorted(file.name for file in (tmp_path / "b").iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]
    again = BrushNet.from_pretrained(tmp_path / "b")
    assert not again.training
    assert again.config == BrushNet.from_pretrained(str(tmp_path / "b")).config
    for name, tensor in brushnet.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D"]}, "no attention"),
        ({"mid_block_type": "UNetMidBlock2DCrossAttn"}, "mid_block_type is UNetMidBlock2DCrossAttn"),
        ({"addition_embed_type": "text_time"}, "addition_embed_type"),
        ({"layers_per_block": [1, 2]}, "differ in number"),
        ({"block_out_channels": [8, 16]}, "differ in number"),
    ],
)
def test_other_networks_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        BrushNet.from_config({**DEEP_BRUSHNET, **changes})


def test_weights_of_another_shape_are_refused(deep: tuple[Any, BrushNet], tmp_path: Path) -> None:
    deep[1].save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "layers_per_block": 1}))
    with pytest.raises(ModelError, match="does not fit config") as caught:
        BrushNet.from_pretrained(tmp_path)
    assert str(tmp_path) in caught.value.message
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ModelError, match=r"config\.json holds no object"):
        BrushNet.from_pretrained(tmp_path)
