"""UniADC's discriminator: the authors' numbers from the authors' checkpoint, however it is nested."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from blemish.errors import ModelError
from blemish.models.uniadc import Discriminator

Fixture = Mapping[str, Tensor]


@pytest.fixture(scope="module")
def fixture(shared: Path) -> Fixture:
    with np.load(shared / "fixtures" / "uniadc_discriminator_small.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture
def flat() -> dict[str, Tensor]:
    """A checkpoint of two taps in the authors' flat names."""
    torch.manual_seed(0)
    state = Discriminator([6, 5], 8).state_dict()
    names = {name: name.replace(".project.", ".project.0.") for name in state}
    unused = {
        f"fusionnets.0.resConfUnit1.{name.split('.', 3)[3]}": value
        for name, value in state.items()
        if name.startswith("fusionnets.0.resConfUnit2.")
    }
    return {names[name]: value for name, value in state.items()} | unused


def taken(flat: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in flat.items() if name.startswith(prefix)}


def in_modules(flat: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "necks": taken(flat, "necks."),
        "fusionnets": taken(flat, "fusionnets."),
        "epsilon": flat["epsilon"],
    }


def in_lists(flat: Mapping[str, Tensor]) -> dict[str, Any]:
    taps = range(1 + max(int(name.split(".")[1]) for name in flat if name.startswith("necks.")))
    return {
        "necks": [taken(flat, f"necks.{tap}.") for tap in taps],
        "fusionnets": tuple(taken(flat, f"fusionnets.{tap}.") for tap in taps),
        "epsilon": flat["epsilon"].numpy(),
    }


NESTINGS = {"flat": dict, "modules": in_modules, "lists": in_lists}


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("form", ["tokens", "maps"])
def test_the_authors_numbers(fixture: Fixture, nesting: str, form: str) -> None:
    checkpoint = NESTINGS[nesting](taken(fixture, "w/"))
    layers = [fixture[f"in/layer{tap}"].float() for tap in range(4)]
    if form == "maps":
        layers = [layer.transpose(1, 2).unflatten(2, (8, 8)) for layer in layers]
    network = Discriminator.from_reference_checkpoint(checkpoint)
    with torch.no_grad():
        detection, classes = network.decode(layers, fixture["in/category_embeddings"], 64)
    torch.testing.assert_close(detection, fixture["out/detection_logits"], atol=1e-4, rtol=0)
    torch.testing.assert_close(classes, fixture["out/classification_logits"], atol=1e-4, rtol=0)


def test_the_block_that_is_never_used_does_not_exist(flat: dict[str, Tensor]) -> None:
    network = Discriminator.from_reference_checkpoint(flat)
    assert not hasattr(network.fusionnets[0], "resConfUnit1")
    assert not [name for name, _ in network.named_parameters() if name.startswith("fusionnets.0.resConfUnit1")]
    detection, _ = network.decode([torch.rand(1, 6, 4, 4), torch.rand(1, 5, 4, 4)], torch.eye(3, 8), 8)
    detection.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_epsilon_of_any_form(flat: dict[str, Tensor], shape: tuple[int, ...]) -> None:
    network = Discriminator.from_reference_checkpoint({**flat, "epsilon": torch.full(shape, 0.25)})
    assert network.epsilon.shape == ()
    assert network.epsilon.item() == 0.25


def test_a_loaded_checkpoint_keeps_its_statistics(flat: dict[str, Tensor]) -> None:
    """Its answer to one image does not depend on the others of the batch."""
    network = Discriminator.from_reference_checkpoint(flat)
    taps = [torch.rand(3, 6, 4, 4), torch.rand(3, 5, 4, 4)]
    together = network.decode(taps, torch.eye(2, 8), 8)[1]
    alone = network.decode([tap[:1] for tap in taps], torch.eye(2, 8), 8)[1]
    torch.testing.assert_close(together[:1], alone)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda state: state.pop("necks.0.project.0.weight"), id="no first neck"),
        pytest.param(lambda state: state.update({"necks.1.project.0.weight": torch.zeros(9, 5)}), id="another width"),
        pytest.param(lambda state: state.update({"necks.1.project.0.weight": torch.zeros(8)}), id="a neck of one row"),
        pytest.param(lambda state: state.pop("necks.1.project.0.weight"), id="no second neck"),
        pytest.param(lambda state: state.update({"necks.1.colour": torch.zeros(1)}), id="an unknown key of a neck"),
        pytest.param(lambda state: state.update({"necks.a.project.0.weight": torch.zeros(8, 5)}), id="a letter"),
        pytest.param(lambda state: state.update({"necks.": torch.zeros(8, 5)}), id="a neck without a number"),
        pytest.param(lambda state: state.pop("epsilon"), id="no epsilon"),
        pytest.param(lambda state: state.update({"epsilon": torch.ones(2)}), id="two epsilons"),
        pytest.param(lambda state: state.update({"epsilon": "one"}), id="a word"),
        pytest.param(lambda state: state.update({"epsilon": None}), id="nothing"),
        pytest.param(lambda state: state.update({"epsilon": [torch.ones(3), torch.ones(2)]}), id="a ragged list"),
        pytest.param(lambda state: state.pop("fusionnets.1.out_conv.bias"), id="no bias"),
        pytest.param(lambda state: state.clear(), id="empty"),
    ],
)
def test_a_checkpoint_that_does_not_fit(flat: dict[str, Tensor], change: Any) -> None:
    change(flat)
    with pytest.raises(ModelError) as caught:
        Discriminator.from_reference_checkpoint(flat)
    assert caught.value.remedy


def test_detection_is_the_mean_over_the_categories() -> None:
    torch.manual_seed(1)
    network = Discriminator([4, 4], 8).eval()
    taps = [torch.rand(2, 9, 4), torch.rand(2, 9, 4)]
    detection, classes = network.decode(taps, torch.rand(3, 8), (10, 14))
    assert detection.shape == (2, 1, 10, 14)
    assert classes.shape == (2, 3, 10, 14)
    torch.testing.assert_close(detection[:, 0], classes.mean(dim=1))
    scaled = network.decode(taps, 7 * torch.rand(3, 8).sign(), 10)[1]
    assert scaled.abs().max() <= 1 + 1e-5  # cosines, whatever the length of the embeddings


def test_a_smaller_epsilon_makes_the_logits_steeper() -> None:
    torch.manual_seed(1)
    network = Discriminator([4], 8).eval()
    tap, embeddings = [torch.rand(1, 4, 3, 3)], torch.rand(2, 8)
    before = network.logits(tap, embeddings)
    torch.nn.init.constant_(network.epsilon, 0.1)
    torch.testing.assert_close(network.logits(tap, embeddings), 10 * before)
