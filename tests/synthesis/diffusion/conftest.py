"""A tiny random diffusion model, saved in the layout in which real ones come."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

collect_ignore_glob = [] if find_spec("torch") and find_spec("diffusers") and find_spec("transformers") else ["test_*"]

WIDTHS = (8, 16)
# as the configurations that are published: keys nobody needs, and None for what is not used
BRUSHNET: dict[str, Any] = {
    "_class_name": "BrushNetModel",
    "_diffusers_version": "0.27.0.dev0",
    "in_channels": 4,
    "conditioning_channels": 5,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "mid_block_type": "MidBlock2D",
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
    "block_out_channels": list(WIDTHS),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 16,
    "encoder_hid_dim": None,
    "class_embed_type": None,
    "conditioning_embedding_out_channels": [16, 32, 96, 256],
}


def save_tokenizer(folder: Path) -> None:
    """A tokenizer that knows single letters and the pair 'ho'."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "ho", "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\nh o\n")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    settings = {**special, "unk_token": "<|endoftext|>", "model_max_length": 12, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def text_config() -> Any:
    from blemish.backbones.transformers_import import import_transformers

    return import_transformers().CLIPTextConfig(
        vocab_size=55,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=12,
        projection_dim=8,
        bos_token_id=53,
        eos_token_id=54,
        pad_token_id=54,
    )


def save_stable_diffusion(folder: Path) -> None:
    import torch

    from blemish.backbones.transformers_import import import_transformers, quiet
    from blemish.synthesis.diffusion.diffusers_import import import_diffusers

    diffusers = import_diffusers()
    torch.manual_seed(0)
    with quiet():
        diffusers.UNet2DConditionModel(
            block_out_channels=WIDTHS,
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=2,
            norm_num_groups=4,
            sample_size=8,
        ).save_pretrained(folder / "unet")
        diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(4, 4, 4, 4),
            norm_num_groups=2,
            latent_channels=4,
        ).save_pretrained(folder / "vae")
        import_transformers().CLIPTextModel(text_config()).save_pretrained(folder / "text_encoder")
        diffusers.PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            skip_prk_steps=True,
            set_alpha_to_one=False,
            steps_offset=1,
        ).save_pretrained(folder / "scheduler")
    save_tokenizer(folder / "tokenizer")


def save_brushnet(folder: Path, seed: int) -> None:
    """Its convolutions start at zero; here they are random, so that it has something to say."""
    import torch

    from blemish.synthesis.diffusion.brushnet import BrushNet

    torch.manual_seed(seed)
    network = BrushNet.from_config(BRUSHNET)
    for name, parameter in network.named_parameters():
        if name.startswith("brushnet_"):
            torch.nn.init.normal_(parameter, std=0.3)
    network.save_pretrained(folder)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `sd`, `brushnet` and `brushnet_random`. Copy what a test changes."""
    folder = tmp_path_factory.mktemp("weights")
    save_stable_diffusion(folder / "sd")
    save_brushnet(folder / "brushnet", seed=1)
    save_brushnet(folder / "brushnet_random", seed=2)
    return folder


@pytest.fixture
def inpainter(weights: Path) -> Any:
    from blemish.synthesis.diffusion.config import DiffusionConfig
    from blemish.synthesis.diffusion.inpainting import Inpainter

    config = DiffusionConfig(size=64, steps=2, absent_steps=3, rounds=2, masks=2, pastes=3, batch=4)
    return Inpainter.load(weights / "sd", weights / "brushnet", weights / "brushnet_random", config=config)


@pytest.fixture(scope="session")
def clip_text() -> Any:
    """Configuration of the tiny text encoder."""
    return text_config()


@pytest.fixture(scope="session")
def tokenizer_in() -> Callable[[Path], None]:
    """Writes the tiny tokenizer's files into a folder."""
    return save_tokenizer
