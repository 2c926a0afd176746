"""The parts of a training: losses, schedule, noise, arrays beyond memory, division of the images."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from blemish.config import TrainConfig
from blemish.data.dataset import Dataset
from blemish.data.sample import Sample
from blemish.models.onenip import OneNIP
from blemish.procedural.seeding import generator
from blemish.training.images import TrainingSet, choose_prompts, draw_weights, random_prompts
from blemish.training.loop import WARM_UP, learning_rate
from blemish.training.losses import dice, focal
from blemish.training.noise import NoiseTable
from blemish.training.step import Batch, TrainingStep
from blemish.training.store import Store, free_megabytes


@pytest.mark.parametrize(
    ("probability", "target", "form", "loss"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], "standard", 0.0),
        ([1, 1, 0, 0], [1, 1, 0, 0], "paper", 1 - 3 / 5),
        ([0, 0, 0, 0], [0, 0, 0, 0], "standard", 0.0),
        ([1, 0, 0, 0], [0, 1, 0, 0], "standard", 1 - 1 / 3),
        ([0.5, 0.5, 0, 0], [1, 0, 0, 0], "standard", 1 - 2 / 2.5),
    ],
)
def test_dice(probability: list[float], target: list[float], form: str, loss: float) -> None:
    found = dice(torch.tensor(probability).view(1, 1, 2, 2), torch.tensor(target).view(1, 1, 2, 2).float(), form)  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx([loss])


def test_dice_is_per_image() -> None:
    probability = torch.rand(3, 1, 4, 4)
    target = (torch.rand(3, 1, 4, 4) > 0.5).float()
    singly = [dice(probability[row : row + 1], target[row : row + 1], "paper").item() for row in range(3)]
    assert dice(probability, target, "paper").tolist() == pytest.approx(singly)


@pytest.mark.parametrize(
    ("logit", "target", "loss"),
    [
        (0.0, 1.0, 0.25 * math.log(2)),
        (0.0, 0.0, 0.25 * math.log(2)),
        (math.log(3), 1.0, 0.25**2 * math.log(4 / 3)),
        (math.log(3), 0.0, 0.75**2 * math.log(4)),
    ],
)
def test_focal(logit: float, target: float, loss: float) -> None:
    found = focal(torch.full((2, 1, 3, 3), logit), torch.full((2, 1, 3, 3), target))
    assert found.tolist() == pytest.approx([loss, loss])


def test_schedules() -> None:
    steps = TrainConfig.of("paper", learning_rate=1e-4)
    assert [learning_rate(steps, step, 100) for step in (0, 79, 80, 99)] == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])
    cosine = TrainConfig.of("fast", learning_rate=1e-3)
    rates = [learning_rate(cosine, step, 400) for step in range(400)]
    assert rates[0] == pytest.approx(1e-3 / WARM_UP)
    assert max(rates) < 1e-3
    assert rates[WARM_UP:] == sorted(rates[WARM_UP:], reverse=True)
    assert rates[-1] == pytest.approx(2e-5, rel=0.05)


def test_a_step_that_cannot_be_compiled_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses(*_: object) -> None:
        raise torch._dynamo.exc.TorchDynamoException("the backend raised:\nthere is no compiler\nand more")

    monkeypatch.setattr(torch, "compile", lambda function, **_: refuses)
    config = TrainConfig.of("paper", jitter=0)
    step = TrainingStep(
        OneNIP(8, (4, 4), width=16, heads=2, neighbour_window=0), config, NoiseTable(0, torch.device("cpu"))
    )
    clean, anomalous, prompts = torch.randn(3, 2, 8, 4, 4)
    batch = Batch(clean, anomalous, (prompts,), torch.zeros(2, 1, 64, 64))
    step.eval()
    expected = step(batch, generator(0, "batch"))
    step.fuse()
    for _ in range(2):
        assert step(batch, generator(0, "batch"))["total"] == expected["total"]
    assert [record.message for record in caplog.records] == [
        "the training step cannot be compiled and takes longer: the backend raised: there is no compiler"
    ]


def test_noise_is_normal_and_follows_the_generator() -> None:
    table = NoiseTable(0, torch.device("cpu"))
    shape = torch.Size([3, 1 << 20])
    noise = table.draw(shape, generator(0, "noise", 1))
    assert noise.shape == shape
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(noise, table.draw(shape, generator(0, "noise", 1)))
    assert not torch.equal(noise, table.draw(shape, generator(0, "noise", 2)))


@pytest.mark.parametrize(("limit", "free"), [("max", 2500), ("1000000000", 1000), ("9000000000", 2500), (None, 2500)])
def test_free_memory_is_what_system_and_container_leave(tmp_path: Path, limit: str | None, free: float) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  9000000 kB\nMemFree:  1000 kB\nMemAvailable:  2500000 kB\n")
    if limit is not None:
        (tmp_path / "memory.max").write_text(f"{limit}\n")
    assert free_megabytes(tmp_path / "meminfo", tmp_path / "memory.max") == free
    assert free_megabytes(tmp_path / "missing", tmp_path / "missing") == 8000


def test_arrays_beyond_the_budget_are_mapped_and_removed() -> None:
    with Store(megabytes=1) as store:
        small = store.array((100, 1000), np.float32)
        large = store.array((1000, 1000), np.float16)
        assert not isinstance(small, np.memmap)
        assert isinstance(large, np.memmap)
        large[:] = 1
        assert large.sum(dtype=np.float64) == 1e6
        file = Path(str(large.filename))
        assert file.is_file()
        del large
    assert not file.exists()


def samples(groups: list[str | None], product: str = "nut") -> tuple[Sample, ...]:
    return tuple(
        Sample(Path(f"/{product}/{number:03}.png"), product, "train", "normal", group=group)
        for number, group in enumerate(groups)
    )


def test_no_group_stands_on_both_sides() -> None:
    dataset = Dataset(samples([f"tile {number // 4}" for number in range(40)]) + samples([None] * 20, "bolt"))
    training = TrainingSet.of(dataset, 0.2, seed=1)
    assert training.products == ("bolt", "nut")
    assert not {image.group for image in training.train} & {image.group for image in training.held}
    assert len(training.train) + len(training.held) == 60
    assert training == TrainingSet.of(replace(dataset, samples=dataset.samples[::-1]), 0.2, seed=1)


def test_prompts_and_weights() -> None:
    dataset = Dataset(samples([None] * 30) + samples([None] * 5, "bolt"))
    training = TrainingSet.of(dataset, 0.2, seed=1)
    means = np.zeros((len(training.train), 2), np.float32)
    bolts, nuts = training.indices("bolt"), training.indices("nut")
    means[nuts, 0] = np.arange(len(nuts))
    means[bolts, 1] = np.arange(len(bolts))
    central = choose_prompts(training, means)
    assert central[1] == nuts[int(np.abs(np.arange(len(nuts)) - (len(nuts) - 1) / 2).argmin())]
    drawn = random_prompts(training, 3)
    assert drawn[0] in bolts
    assert drawn[1] in nuts
    assert drawn.tolist() == random_prompts(training, 3).tolist()
    even = draw_weights(training, 1.0)
    assert even[bolts].sum() == pytest.approx(0.5)
    assert draw_weights(training, 0.0)[bolts].sum() == pytest.approx(len(bolts) / len(training.train))
