"""BiRefNet's foreground, with a network of its own code in a local folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from blemish.backbones.transformers_import import import_transformers, quiet
from blemish.errors import ModelError
from blemish.synthesis.birefnet import BiRefNet

CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel


class BrightConfig(PretrainedConfig):
    model_type = "bright"


class Bright(PreTrainedModel):
    config_class = BrightConfig

    def __init__(self, config):
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.post_init()

    def forward(self, x):
        assert x.shape == (1, 3, 512, 512)
        logits = x.mean(dim=1, keepdim=True) * 100 * self.weight
        return [-logits[:, :, ::4, ::4], logits]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network that takes what is brighter than ImageNet's mean for the foreground."""
    from safetensors.torch import save_file

    with quiet():
        import_transformers()
        import torch
        import transformers.dynamic_module_utils as dynamic

    monkeypatch.setattr(dynamic, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "birefnet"
    folder.mkdir()
    (folder / "code.py").write_text(CODE)
    named = {"AutoConfig": "code.BrightConfig", "AutoModelForImageSegmentation": "code.Bright"}
    (folder / "config.json").write_text(json.dumps({"model_type": "bright", "auto_map": named}))
    save_file({"weight": torch.full((1,), 2.0)}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def part(side: int) -> np.ndarray:
    image = np.zeros((64, 64, 3), np.uint8)
    image[8 : 8 + side, 16 : 16 + side] = 255
    return image


def test_the_foreground_is_found_at_the_size_of_the_image(folder: Path) -> None:
    found = BiRefNet(str(folder), allow_code=True, offline=True)(part(24))
    assert found.dtype == bool
    expected = part(24)[..., 0] > 0
    assert (found ^ expected).mean() < 0.03
    assert found[12:28, 20:36].all()


def test_below_a_twentieth_the_whole_image_counts(folder: Path) -> None:
    network = BiRefNet(str(folder), allow_code=True)
    assert network(part(8)).all()
    assert not network(part(16)).all()


def test_its_code_runs_only_when_allowed(folder: Path) -> None:
    with pytest.raises(ModelError, match="not run unasked") as caught:
        BiRefNet(str(folder))
    assert "--allow-remote-code" in caught.value.remedy
    assert str(folder) in caught.value.message


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        BiRefNet(str(folder), allow_code=True)
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"lacks config\.json"):
        BiRefNet(str(folder))
    with pytest.raises(ModelError, match="offline no hub is asked"):
        BiRefNet("nobody/of-this-name", offline=True)
