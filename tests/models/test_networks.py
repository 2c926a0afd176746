"""Shapes, masks and ablations of the networks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from blemish.backbones.layout import FeatureLayout
from blemish.config import ModelConfig
from blemish.errors import ConfigError
from blemish.models.onenip import OneNIP
from blemish.models.refiner import Refiner
from blemish.models.transformer import PositionEmbedding, neighbour_mask

SMALL = {"width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 2, "feedforward": 32, "neighbour_window": 3}


def test_the_paper_model_has_its_parameter_count() -> None:
    assert sum(parameter.numel() for parameter in OneNIP(272).parameters()) == pytest.approx(8.37e6, rel=0.002)


@pytest.mark.parametrize("decoder", ["dynamic", "static", "uniad"])
@pytest.mark.parametrize("refiner", [True, False])
def test_ablations_run_forwards_and_backwards(decoder: str, refiner: bool) -> None:
    torch.manual_seed(0)
    model = OneNIP(12, (6, 6), decoder=decoder, refiner=refiner, refiner_channels=8, **SMALL)  # type: ignore[arg-type]
    query, prompt = torch.randn(2, 3, 12, 6, 6)
    answer = model(query, prompt)
    assert answer.reconstruction.shape == (3, 12, 6, 6)
    assert answer.reconstruction_map.shape == (3, 1, 96, 96)
    assert (answer.refiner_map is not None) == refiner
    loss = answer.reconstruction.square().mean() + (answer.refiner_map.mean() if refiner else 0)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(("decoder", "matters"), [("dynamic", True), ("static", True), ("uniad", False)])
def test_the_prompt_matters_where_it_should(decoder: str, matters: bool) -> None:
    torch.manual_seed(0)
    model = OneNIP(12, (6, 6), decoder=decoder, refiner_channels=8, **SMALL).eval()  # type: ignore[arg-type]
    query, prompt, other = torch.randn(3, 1, 12, 6, 6)
    with torch.no_grad():
        difference = (model.reconstruct(query, prompt) - model.reconstruct(query, other)).abs().max()
    assert (difference > 1e-4) == matters


def test_the_neighbour_mask_hides_a_square_cut_at_the_borders() -> None:
    mask = neighbour_mask((5, 6), 3)
    hidden = torch.isinf(mask[0]).view(5, 6)
    assert hidden.nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    hidden = torch.isinf(mask[2 * 6 + 3]).view(5, 6)
    assert hidden[1:4, 2:5].all()
    assert hidden.sum() == 9
    assert not torch.isinf(neighbour_mask((4, 4), 0)).any()


def test_a_window_that_hides_everything_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to see"):
        neighbour_mask((7, 7), 7)


def test_position_is_column_then_row() -> None:
    position = PositionEmbedding((2, 3), 4)
    table = position().view(2, 3, 4)
    torch.testing.assert_close(table[1, 2], torch.cat([position.columns[2], position.rows[1]]))


@pytest.mark.parametrize("detail", [1, 2])
def test_folding_is_undone_by_unfolding(detail: int) -> None:
    layout = FeatureLayout(channels=(2, 3, 4), grid=4, detail=detail)
    levels = [torch.randn(2, 2, 16, 16), torch.randn(2, 3, 8, 8), torch.randn(2, 4, 4, 4)]
    tokens = layout.tokens(levels)
    assert tokens.shape == (2, layout.token_channels, 4, 4)
    cells = layout.unfold(tokens)
    assert cells.shape == (2, layout.cell_channels, 4 * detail, 4 * detail)
    torch.testing.assert_close(layout.fold(cells), tokens)
    if detail == 2:
        torch.testing.assert_close(cells[:, 2:5], levels[1])
        torch.testing.assert_close(cells[:, :2], torch.nn.functional.avg_pool2d(levels[0], 2))
    else:
        torch.testing.assert_close(cells[:, 5:], levels[2])
        corners = torch.nn.functional.interpolate(levels[1], size=(4, 4), mode="bilinear", align_corners=True)
        torch.testing.assert_close(cells[:, 2:5], corners)


def test_a_neighbourhood_is_averaged() -> None:
    layout = FeatureLayout(channels=(1,), grid=4, neighbourhood=3)
    tokens = layout.tokens([torch.arange(16.0).view(1, 1, 4, 4)])
    assert tokens[0, 0, 1, 1] == pytest.approx(5)
    assert tokens[0, 0, 0, 0] == pytest.approx((0 + 1 + 4 + 5) / 9)


def test_folded_cells_share_their_channels_statistics() -> None:
    layout = FeatureLayout(channels=(1, 1), grid=4, detail=2)
    shared = layout.shared(torch.tensor([1.0, 2.0, 3.0, 6.0, 10.0, 20.0, 10.0, 20.0]))
    assert shared.tolist() == [3, 3, 3, 3, 15, 15, 15, 15]


class _Levels:
    """Stands for a backbone: strides and channels are all that a layout asks for."""

    def __init__(self, strides: tuple[int, ...], channels: tuple[int, ...]) -> None:
        self.strides, self.channels = strides, channels


@pytest.mark.parametrize(
    ("changes", "weights"),
    [
        ({}, None),
        ({"distance_stride": 8}, (0.0, 1.0, 1.0)),
        ({"equal_levels": True}, (math.sqrt(9 / 4), math.sqrt(9 / 8), math.sqrt(9 / 15))),
        ({"equal_levels": True, "distance_stride": 8}, (0.0, math.sqrt(11.5 / 8), math.sqrt(11.5 / 15))),
    ],
)
def test_levels_count_in_distances_as_configured(changes: dict[str, Any], weights: tuple[float, ...] | None) -> None:
    layout = FeatureLayout.of(_Levels((4, 8, 16), (4, 8, 15)), ModelConfig(**changes))  # type: ignore[arg-type]
    assert layout.weights == (None if weights is None else pytest.approx(weights))
    assert len(layout.cell_weights()) == layout.cell_channels


def test_some_level_must_count_in_distances() -> None:
    with pytest.raises(ConfigError, match="strides below 32"):
        FeatureLayout.of(_Levels((4, 8), (2, 2)), ModelConfig(distance_stride=32))  # type: ignore[arg-type]


def test_the_reconstruction_map_weighs_the_levels() -> None:
    layout = FeatureLayout(channels=(2, 4), grid=6, weights=(0.0, 2.0))
    model = OneNIP(6, (6, 6), decoder="none", refiner=False, layout=layout, **SMALL)  # type: ignore[arg-type]
    query, prompt = torch.zeros(1, 6, 6, 6), torch.zeros(1, 6, 6, 6)
    query[:, :2] = 100
    assert model(query, prompt).reconstruction_map.max() == 0
    query[:, 2] = 3
    torch.testing.assert_close(model(query, prompt).reconstruction_map, torch.full((1, 1, 96, 96), 6.0))


def test_a_principal_start_passes_what_lies_in_the_first_components() -> None:
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(12, 12)).Q[:, :3]
    features = (torch.randn(8, 6, 6, 3) @ basis.T).permute(0, 3, 1, 2)
    model = OneNIP(12, (6, 6), refiner=False, **{**SMALL, "width": 8})  # type: ignore[arg-type]
    model.start_from_principal_components(features)
    tokens = features.flatten(2).transpose(1, 2)
    torch.testing.assert_close(model.output_proj(model.input_proj(tokens)), tokens, atol=1e-3, rtol=1e-3)


def test_the_refiner_sees_the_doubled_detail() -> None:
    layout = FeatureLayout(channels=(2, 4), grid=6, detail=2)
    model = OneNIP(layout.token_channels, (6, 6), refiner_channels=8, refiner_bottleneck=4,
                   refiner_sees_features=True, layout=layout, **SMALL)  # type: ignore[arg-type]  # fmt: skip
    query = torch.randn(2, layout.token_channels, 6, 6)
    assert model.refine(query, torch.zeros_like(query)).shape == (2, 1, 24, 24)
    assert model(query, query).refiner_map.shape == (2, 1, 96, 96)


@pytest.mark.parametrize(("detail", "inputs"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_the_bottleneck_is_a_convolution_of_unfolded_cells(detail: int, inputs: int) -> None:
    torch.manual_seed(0)
    refiner = Refiner(inputs * 5, hidden=8, bottleneck=6, detail=detail).train()
    tokens = [torch.randn(3, 5 * detail**2, 4, 4) for _ in range(inputs)]
    found = refiner(*tokens)
    found.square().sum().backward()
    gradients = {name: value.grad.clone() for name, value in refiner.named_parameters()}
    refiner.zero_grad()

    narrow = nn.Sequential(*refiner.bottleneck.children())
    cells = torch.cat([torch.pixel_shuffle(one, detail) for one in tokens], dim=1)
    plain = refiner.predictor(refiner.block2(refiner.block1(narrow(cells))))
    plain.square().sum().backward()
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)
    for name, value in refiner.named_parameters():
        torch.testing.assert_close(gradients[name], value.grad, atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize("decoder", ["dynamic", "none"])
def test_what_is_added_to_a_prompt_starts_at_zero(decoder: str) -> None:
    model = OneNIP(12, (6, 6), decoder=decoder, refiner=False, adds_to_prompt=True, **SMALL)  # type: ignore[arg-type]
    query, prompt = torch.randn(2, 2, 12, 6, 6)
    torch.testing.assert_close(model(query, prompt).reconstruction, prompt)
