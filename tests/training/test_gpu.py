"""What a GPU does differently: fused steps, pseudo-anomalies made there, and models that a CPU reads again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from blemish.config import TrainConfig
from blemish.data.dataset import Dataset
from blemish.inspection import Inspection
from blemish.inspector import Inspector
from blemish.models.onenip import OneNIP
from blemish.procedural.seeding import generator
from blemish.synthesis.on_device import PseudoAnomaliesOnDevice
from blemish.synthesis.pseudo import PseudoAnomalies
from blemish.training.noise import NoiseTable
from blemish.training.step import Batch, TrainingStep
from blemish.training.train import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def test_a_cpu_finds_what_the_gpu_finds(tiny_taught: tuple[Inspector, Path], tiny_folder: Path) -> None:
    taught, folder = tiny_taught
    assert taught.engine.device.type == "cuda"  # type: ignore[attr-defined]
    paths = [sample.path for sample in Dataset.from_folder(tiny_folder)]
    there = list(taught.inspect_many(paths))
    here = list(Inspector.load(folder, device="cpu").inspect_many(paths))
    for one, other in zip(there, here, strict=True):
        assert isinstance(one, Inspection)
        assert isinstance(other, Inspection)
        # convolutions on a GPU may round to TF32
        np.testing.assert_allclose(one.anomaly_map, other.anomaly_map, atol=0.02)
        assert one.product == other.product


def test_our_attention_is_the_plain_one() -> None:
    from blemish.models.attention_kernel import attention

    heads = 4
    for queries, keys, masked in ((196, 196, True), (49, 100, False), (256, 256, True)):
        tensors = [
            torch.randn(3, count, 128, device="cuda", dtype=torch.bfloat16, requires_grad=True)
            for count in (queries, keys, keys)
        ]
        mask = torch.zeros(queries, keys, device="cuda")
        mask[:, 1:].masked_fill_(torch.rand(queries, keys - 1, device="cuda") > 0.7, float("-inf"))
        upstream = torch.randn(3, queries, 128, device="cuda")
        ours = attention(*tensors, mask if masked else None, 0.0, heads)
        wide = [one.detach().float().requires_grad_() for one in tensors]
        q, k, v = (one.view(3, -1, heads, 32).transpose(1, 2) for one in wide)
        weights = (q @ k.transpose(2, 3) / 32**0.5 + (mask if masked else 0)).softmax(-1)
        plain = (weights @ v).transpose(1, 2).flatten(2)
        torch.testing.assert_close(ours.float(), plain, rtol=0.02, atol=0.02)
        found = torch.autograd.grad(ours, tensors, upstream.bfloat16())
        for one, other in zip(found, torch.autograd.grad(plain, wide, upstream), strict=True):
            torch.testing.assert_close(one.float(), other, rtol=0.02, atol=0.03)


def test_our_attention_drops_what_its_gradient_drops() -> None:
    from blemish.models.attention_kernel import attention

    q, k = torch.randn(2, 2, 64, 32, device="cuda", dtype=torch.bfloat16)
    values = torch.eye(64, 32, device="cuda", dtype=torch.bfloat16).expand(2, 64, 32).clone().requires_grad_()
    share = 0.25
    torch.manual_seed(3)
    weights = attention(q, k, values, None, share, 1)  # those of the first 32 keys
    torch.manual_seed(3)
    again = attention(q, k, values, None, share, 1)
    assert torch.equal(weights, again)
    assert not torch.equal(weights, attention(q, k, values, None, share, 1))
    assert ((weights == 0).float().mean() - share).abs() < 0.04
    for column in (0, 17):
        (gradient,) = torch.autograd.grad(weights[..., column].sum(), values, retain_graph=True)
        torch.testing.assert_close(gradient[:, :32, column].sum(1), weights.sum((1, 2)), rtol=0.05, atol=0.05)
    mean = torch.stack([attention(q, k, values, None, share, 1) for _ in range(300)]).float().mean(0)
    torch.testing.assert_close(mean, attention(q, k, values, None, 0.0, 1).float(), rtol=0.2, atol=0.02)


# the compiler has warnings of its own
@pytest.mark.filterwarnings("ignore")
def test_a_fused_step_is_the_plain_one() -> None:
    device = torch.device("cuda")
    config = TrainConfig.of("paper", jitter=0, model={"size": 128, "width": 64, "dropout": 0.0})
    torch.manual_seed(0)
    model = OneNIP(24, (8, 8), width=64, heads=2, dropout=0.0, neighbour_window=3).to(device)
    clean, anomalous, prompts = torch.randn(3, 4, 24, 8, 8, device=device)
    mask = (torch.rand(4, 1, 128, 128, device=device) > 0.9).float()
    batch = Batch(clean, anomalous, (prompts,), mask)
    found = []
    for fused in (False, True):
        step = TrainingStep(model, config, NoiseTable(0, device))
        if fused:
            step.fuse()
        losses = step(batch, generator(0, "batch"))
        losses["total"].backward()
        gradient = model.output_proj.weight.grad
        assert gradient is not None
        found.append((losses["total"].item(), gradient.clone()))
        model.zero_grad()
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-2, atol=1e-5)


def test_recorded_kernels_answer_as_plain_ones(tiny_dataset: Dataset) -> None:
    model = {"size": 64, "width": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "feedforward": 64}
    config = TrainConfig.of("paper", backbone={"name": "embedded"}, model=model, batch=4, steps=3, pool=1, hold_out=0.4)
    engine = train(tiny_dataset, config).engine
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    first = {count: engine.run(images[:count]) for count in (1, 5)}
    for _ in range(5):  # the fourth call is recorded, the fifth replays
        for count, expected in first.items():
            found = engine.run(images[:count])
            np.testing.assert_allclose(found.reconstruction, expected.reconstruction, rtol=1e-5)
            np.testing.assert_array_equal(found.products, expected.products)
    told = engine.run(images, 1)  # the same graph, another product
    assert told.products.tolist() == [1] * 5
    other = engine.run(images[::-1].copy())
    np.testing.assert_allclose(other.reconstruction, first[5].reconstruction[::-1], rtol=1e-3, atol=1e-4)


def test_pseudo_anomalies_are_the_same_on_either_device() -> None:
    maker = PseudoAnomalies(64, 3)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (32, 64, 64, 3), dtype=np.uint8))
    found = []
    for name in ("cpu", "cuda"):
        there = PseudoAnomaliesOnDevice.of(maker, torch.device(name))
        assert there is not None
        anomalous, masks = there.make(images.to(name), range(32))
        found.append((anomalous.cpu(), masks.cpu()))
    assert (found[0][1] != found[1][1]).float().mean() < 1e-3  # a pixel at the very border may round otherwise
    both = (found[0][1] & found[1][1]).unsqueeze(3)
    difference = (found[0][0].int() - found[1][0].int()).abs() * both
    assert difference.sum() / both.sum() < 0.1


@pytest.mark.parametrize("pool", [0, 40])
def test_onenip_trains_with_pseudo_anomalies_made_there(tiny_dataset: Dataset, pool: int) -> None:
    config = TrainConfig.of(
        "paper",
        backbone={"name": "embedded"},
        model={"size": 64, "width": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "feedforward": 64},
        batch=4,
        steps=8,
        pool=pool,
        refresh=1,
        hold_out=0.4,
        precision="bf16-mixed",
    )
    inspector = train(tiny_dataset, config)
    (found,) = inspector.inspect_many([tiny_dataset.samples[0].path])
    assert isinstance(found, Inspection)
