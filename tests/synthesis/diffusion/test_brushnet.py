"""BrushNet answers as the authors' does, and leaves the UNet as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from blemish.errors import ModelError
from blemish.synthesis.diffusion.brushnet import BrushNet, Residuals
from blemish.synthesis.diffusion.controlled import ControlledUNet


def weights(arrays: Any, name: str) -> dict[str, torch.Tensor]:
    start = f"w/{name}."
    return {key.removeprefix(start): torch.from_numpy(arrays[key]).float() for key in arrays if key.startswith(start)}


def test_residuals_and_noise_equal_the_reference(shared: Path) -> None:
    from diffusers import UNet2DConditionModel

    arrays = np.load(shared / "fixtures" / "brushnet_tiny.npz")
    unet = UNet2DConditionModel.from_config(json.loads(str(arrays["unet_config"]))).eval()
    unet.load_state_dict(weights(arrays, "unet"))
    brushnet = BrushNet.from_config(json.loads(str(arrays["brushnet_config"]))).eval()
    brushnet.load_state_dict(weights(arrays, "brushnet"))
    latents, timesteps, condition, text = (
        torch.from_numpy(arrays[f"in/{name}"])
        for name in ("latents", "timesteps", "brushnet_cond", "encoder_hidden_states")
    )
    controlled = ControlledUNet(unet)
    with torch.no_grad():
        residuals = brushnet(latents, timesteps, condition, float(arrays["in/conditioning_scale"]))
        noise = controlled(latents, timesteps, text, residuals)
        plain = controlled(latents, timesteps, text, None)
    for name, side in (("down", residuals.down), ("up", residuals.up)):
        assert len(side) == sum(key.startswith(f"out/{name}_") for key in arrays)
        for index, one in enumerate(side):
            np.testing.assert_allclose(one.numpy(), arrays[f"out/{name}_{index:02}"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(residuals.mid.numpy(), arrays["out/mid"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(noise.numpy(), arrays["out/noise_pred"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(plain.numpy(), arrays["out/noise_pred_without_brushnet"], atol=1e-4, rtol=0)
