"""Dropout whose masks are read from a table: as many zeros as PyTorch's, repeatable, and kept for the gradient."""

from __future__ import annotations

import pytest
import torch

from blemish.models.dropout import Dropout, _hashed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("share", "shape"), [(0.1, (3, 1000, 70)), (0.5, (7, 9)), (0.1, (2, 2200, 1000))])
def test_a_share_of_the_values_is_dropped(share: float, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(shape, dtype=dtype, requires_grad=True)
    out = Dropout(share).train()(x)
    assert out.dtype == dtype
    kept = out[out != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - share)))
    spread = (share * (1 - share) / x.numel()) ** 0.5
    assert (out == 0).float().mean().item() == pytest.approx(share, abs=5 * spread)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())


def test_masks_follow_the_seed_and_differ_from_call_to_call() -> None:
    drop, x = Dropout(0.3).train(), torch.ones(50, 60)
    torch.manual_seed(1)
    first, second = drop(x), drop(x)
    torch.manual_seed(1)
    assert torch.equal(first, drop(x))
    assert not torch.equal(first, second)
    agree = ((first == 0) == (second == 0)).float().mean().item()
    assert agree == pytest.approx(0.3**2 + 0.7**2, abs=0.05)


def test_nothing_is_dropped_in_evaluation_or_at_a_share_of_nothing() -> None:
    x = torch.randn(4, 5)
    assert Dropout(0.3).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_what_a_compiled_step_drops_is_as_good_as_drawn(share: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(60, 196, 64)
    first, second = _hashed(x, share), _hashed(x, share)
    spread = (share * (1 - share) / x.numel()) ** 0.5
    kept = first[first != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - share)))
    mean = (first == 0).float().mean().item()
    assert mean == pytest.approx(share, abs=5 * spread)
    dropped = [((one == 0).float() - share) / (share * (1 - share)) ** 0.5 for one in (first, second)]
    neighbours = [(dropped[0][1:], dropped[0][:-1]), (dropped[0][:, 1:], dropped[0][:, :-1]), tuple(dropped)]
    neighbours.append((dropped[0][..., 1:], dropped[0][..., :-1]))
    for one, other in neighbours:  # neither a neighbour nor the next call tells anything
        assert (one * other).mean().abs() * one.numel() ** 0.5 < 5
    torch.manual_seed(0)
    assert torch.equal(first, _hashed(x, share))
