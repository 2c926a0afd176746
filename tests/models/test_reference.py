"""The networks answer as the authors' do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from blemish.errors import ModelError
from blemish.models.onenip import OneNIP
from blemish.models.uniad import UniAD

OUTPUTS = {"rec_feat": "reconstruction", "rec_map": "reconstruction_map", "refiner_map": "refiner_map"}


@pytest.mark.parametrize(("name", "network"), [("onenip", OneNIP), ("uniad", UniAD)])
def test_outputs_equal_the_reference(shared: Path, name: str, network: type[OneNIP] | type[UniAD]) -> None:
    arrays = np.load(shared / "fixtures" / f"{name}_1enc_1dec.npz")
    model = network.from_reference_state_dict(
        {key[2:]: torch.from_numpy(arrays[key]) for key in arrays if key.startswith("w/")}
    )
    inputs = [torch.from_numpy(arrays[key]).float() for key in ("in/query_feat", "in/prompt_feat") if key in arrays]
    with torch.no_grad():
        answer = model(*inputs)
    for theirs, ours in OUTPUTS.items():
        if f"out/{theirs}" in arrays:
            np.testing.assert_allclose(getattr(answer, ours).numpy(), arrays[f"out/{theirs}"], atol=1e-4, rtol=0)
    assert (answer.refiner_map is None) == (name == "uniad")


def reference_names(model: OneNIP) -> dict[str, torch.Tensor]:
    """Our state dict of a one-layer OneNIP under the release's names."""
    table = [
        ("position.rows", "pos_embed.row_embed.weight"),
        ("position.columns", "pos_embed.col_embed.weight"),
        ("encoder.layers.0.attention", "transformer.encoder.layers.0.self_attn"),
        ("encoder.layers.0.mlp.linear", "transformer.encoder.layers.0.linear"),
        ("encoder.layers.0.norm", "transformer.encoder.layers.0.norm"),
        ("decoder.layers.0.prompt_to_target", "transformer.decoder.layers.0.cross_attn_prompt_to_image"),
        ("decoder.layers.0.target_to_prompt", "transformer.decoder.layers.0.cross_attn_image_to_prompt"),
        ("decoder.layers.0.mlp.linear", "transformer.decoder.layers.0.mlp.lin"),
        ("decoder.layers.0.norm", "transformer.decoder.layers.0.norm"),
        ("decoder.norm", "transformer.decoder.norm"),
        ("decoder.final_attention", "transformer.decoder.final_attn_token_to_image"),
        ("refiner.block", "seghead.upconv"),
        ("refiner.predictor", "seghead.predictor"),
    ]
    names = {}
    for key, value in model.state_dict().items():
        ours, theirs = next(((o, t) for o, t in table if key.startswith(o)), ("", ""))
        names[theirs + key.removeprefix(ours)] = value
    return names


@pytest.mark.parametrize("prefix", ["", "module.", "module.reconstruction.", "reconstruction."])
def test_sizes_come_from_the_shapes(prefix: str) -> None:
    torch.manual_seed(0)
    model = OneNIP(12, (6, 8), width=16, heads=2, encoder_layers=1, decoder_layers=1, feedforward=32,
                   neighbour_window=3, refiner_channels=8).eval()  # fmt: skip
    state = {prefix + key: value for key, value in reference_names(model).items()}
    loaded = OneNIP.from_reference_state_dict(state, heads=2, neighbour_window=3)
    query, prompt = torch.randn(2, 2, 12, 6, 8)
    with torch.no_grad():
        torch.testing.assert_close(loaded(query, prompt).refiner_map, model(query, prompt).refiner_map)
    assert loaded.grid == (6, 8)


def test_a_foreign_key_is_named() -> None:
    with pytest.raises(ModelError, match=r"head\.weight"):
        OneNIP.from_reference_state_dict({"head.weight": torch.zeros(1)})


def test_missing_weights_are_named() -> None:
    with pytest.raises(ModelError, match=r"input_proj\.weight"):
        UniAD.from_reference_state_dict({})
