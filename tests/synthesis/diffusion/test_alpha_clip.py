"""AlphaCLIP reads the published weights and sees what its authors' network sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from blemish.backbones.transformers_import import import_transformers, quiet
from blemish.errors import ModelError
from blemish.synthesis.diffusion.alpha_clip import AlphaCLIP
from blemish.synthesis.diffusion.selection import Candidates

WIDTH, HEADS, LAYERS, PATCH, SIDE, OUT = 16, 2, 2, 8, 32, 8
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def published(seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the names of the release."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * 0.3

    tensors = {
        "class_embedding": draw(WIDTH),
        "positional_embedding": draw((SIDE // PATCH) ** 2 + 1, WIDTH),
        "proj": draw(WIDTH, OUT),
        "conv1.weight": draw(WIDTH, 3, PATCH, PATCH),
        "conv1_alpha.weight": draw(WIDTH, 1, PATCH, PATCH),
    }
    norms = ["ln_pre", "ln_post"]
    linears = {}
    for layer in range(LAYERS):
        start = f"transformer.resblocks.{layer}."
        norms += [f"{start}ln_1", f"{start}ln_2"]
        linears |= {
            f"{start}attn.in_proj": (3 * WIDTH, WIDTH),
            f"{start}attn.out_proj": (WIDTH, WIDTH),
            f"{start}mlp.c_fc": (4 * WIDTH, WIDTH),
            f"{start}mlp.c_proj": (WIDTH, 4 * WIDTH),
        }
    for name in norms:
        tensors |= {f"{name}.weight": 1 + draw(WIDTH), f"{name}.bias": draw(WIDTH)}
    for name, shape in linears.items():
        tensors |= {f"{name}.weight": draw(*shape), f"{name}.bias": draw(shape[0])}
    return tensors


def seen(tensors: dict[str, Tensor], pixels: Tensor, alpha: Tensor) -> Tensor:
    """The image encoder of the release, step by step: unit vectors N×OUT."""

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, (WIDTH,), tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    x = F.conv2d(pixels, tensors["conv1.weight"], stride=PATCH)
    x = (x + F.conv2d(alpha, tensors["conv1_alpha.weight"], stride=PATCH)).flatten(2).transpose(1, 2)
    x = torch.cat((tensors["class_embedding"].expand(len(x), 1, -1), x), dim=1)
    x = norm("ln_pre", x + tensors["positional_embedding"])
    for layer in range(LAYERS):
        start = f"transformer.resblocks.{layer}."
        q, k, v = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in linear(f"{start}attn.in_proj", norm(f"{start}ln_1", x)).chunk(3, dim=-1)
        )
        weights = (q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5).softmax(dim=-1)
        x = x + linear(f"{start}attn.out_proj", (weights @ v).transpose(1, 2).flatten(2))
        wide = linear(f"{start}mlp.c_fc", norm(f"{start}ln_2", x))
        x = x + linear(f"{start}mlp.c_proj", wide * torch.sigmoid(1.702 * wide))
    return F.normalize(norm("ln_post", x[:, 0]) @ tensors["proj"], dim=-1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, clip_text: Any, tokenizer_in: Callable[[Path], None]) -> Path:
    transformers = import_transformers()
    vision = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": LAYERS, "patch_size": PATCH}
    vision |= {"num_attention_heads": HEADS, "image_size": SIDE, "projection_dim": OUT}
    folder = tmp_path_factory.mktemp("clip") / "clip"
    tokenizer_in(folder)
    torch.manual_seed(0)
    with quiet():
        config = transformers.CLIPConfig(text_config=clip_text.to_dict(), vision_config=vision, projection_dim=OUT)
        transformers.CLIPModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def masks() -> np.ndarray:
    masks = np.zeros((3, SIDE, SIDE), bool)
    masks[0, 4:20, 4:20] = masks[1, 20:, 20:] = True
    return masks


@pytest.mark.parametrize("named", ["", "visual."])
@pytest.mark.parametrize("joint", [".", "_"])
def test_regions_are_seen_as_in_the_release(
    clip: Path, tmp_path: Path, images: np.ndarray, masks: np.ndarray, named: str, joint: str
) -> None:
    tensors = published()
    torch.save(
        {f"{named}{key.replace('in_proj.', f'in_proj{joint}')}": t.half() for key, t in tensors.items()},
        tmp_path / "a.pth",
    )
    network = AlphaCLIP.load(clip, tmp_path / "a.pth")
    pixels = (torch.from_numpy(images) / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    alpha = (torch.from_numpy(masks).float()[:, None] - 0.5) / 0.26
    halved = {key: tensor.half().float() for key, tensor in tensors.items()}
    expected = seen(halved, pixels.permute(0, 3, 1, 2), alpha)
    torch.testing.assert_close(network.region_embeddings(images, masks), expected, atol=1e-5, rtol=0)
    assert not network.vision.vision_model.embeddings.patch_embedding._forward_hooks


def test_scores_are_softmax_over_plain_cosines(
    clip: Path, tmp_path: Path, images: np.ndarray, masks: np.ndarray
) -> None:
    torch.save(published(), tmp_path / "a.pth")
    network = AlphaCLIP.load(clip, tmp_path / "a.pth")
    boxes = ((0, 0, SIDE, SIDE),) * 3
    scores = network.scores(Candidates(images, masks, images, boxes, "hole", ("scratch", "dent")))
    regions, texts = network.region_embeddings(images, masks), network.text_embeddings(["hole", "scratch", "dent"])
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(3))
    cosines = (regions @ texts.T).double().numpy()
    np.testing.assert_allclose(scores, np.exp(cosines[:, 0]) / np.exp(cosines).sum(axis=1), atol=1e-6)
    np.testing.assert_allclose(network.scores(Candidates(images, masks, images, boxes, "hole")), 1)
    moved = network.scores(Candidates(images, masks[[1, 0, 2]], images, boxes, "hole", ("scratch", "dent")))
    assert abs(scores - moved)[:2].min() > 1e-5
    assert moved[2] == pytest.approx(scores[2])


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('code of a weight file was run')",))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "There is no file"),
        (Trap(), "not a file of tensors"),
        ([1, 2], "no plain table"),
        ({"conv1.weight": torch.zeros(1)}, "conv1_alpha"),
        ({"conv1_alpha.weight": torch.zeros(WIDTH, 1, PATCH, PATCH)}, "does not fit"),
        ({**published(), "conv1_alpha.weight": torch.zeros(WIDTH, 1, 4, 4)}, "does not fit"),
        ({**published(), "proj": torch.zeros(WIDTH, 5)}, "does not fit"),
    ],
)
def test_other_files_are_refused_and_never_run(clip: Path, tmp_path: Path, content: Any, reason: str) -> None:
    if content is not None:
        torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=reason) as caught:
        AlphaCLIP.load(clip, tmp_path / "a.pth")
    assert str(tmp_path / "a.pth") in caught.value.message
    assert "clip_l14_336_grit_20m_4xe.pth" in caught.value.remedy


def test_an_incomplete_clip_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    with pytest.raises(ModelError, match=r"lacks config\.json, model\.safetensors, vocab\.json, merges\.txt"):
        AlphaCLIP.load(tmp_path / "clip", tmp_path / "a.pth")
