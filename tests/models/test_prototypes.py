"""Names from mean features: detection stays, other products do not count, one category is no choice."""

from __future__ import annotations

import torch
from torch import Tensor

from blemish.models.prototypes import DefectMean, Prototypes


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def learned() -> Prototypes:
    """Product 0 knows categories 0 and 1 along two axes around (5, 5, 0), product 1 only 2, product 2 nothing."""
    one = Prototypes(3, 3, 3)
    one.learn(
        [
            DefectMean(0, 0, True, vector(6, 4, 0)),
            DefectMean(0, 1, True, vector(4, 6, 0)),
            DefectMean(0, 1, False, vector(4, 6, 0)),
            DefectMean(1, 2, False, vector(0, 0, 9)),
        ]
    )
    return one


def inputs(*cells: Tensor) -> Tensor:
    return torch.stack(cells).T.reshape(1, 3, 1, len(cells))


def name(one: Prototypes, product: int, logits: Tensor, share: float, seen: Tensor) -> Tensor:
    return one.name(seen, torch.tensor([product]), logits, share)


def test_a_place_is_named_after_the_nearest_mean() -> None:
    seen = inputs(vector(7, 3, 0), vector(3, 7, 0))
    logits = torch.zeros(1, 3, 1, 2)
    named = name(learned(), 0, logits, 0.5, seen)
    assert named[0, :2, 0, 0].argmax() == 0
    assert named[0, :2, 0, 1].argmax() == 1


def test_probabilities_are_mixed_by_share() -> None:
    logits = torch.tensor([1.0, 3.0, 8.0]).view(1, 3, 1, 1)
    seen = inputs(vector(9, 1, 0))  # all likeness to category 0
    named = name(learned(), 0, logits, 0.25, seen)[0, :2, 0, 0].softmax(0)
    expected = 0.75 * torch.tensor([1.0, 3.0]).softmax(0) + 0.25 * torch.tensor([12.0, -12.0]).softmax(0)
    torch.testing.assert_close(named, expected)


def test_the_detection_stays_and_other_products_categories_too() -> None:
    torch.manual_seed(1)
    logits, seen = torch.randn(1, 3, 4, 4) * 5, torch.randn(1, 3, 4, 4)
    named = name(learned(), 0, logits, 0.5, seen)
    torch.testing.assert_close(named[:, :2].mean(dim=1), logits[:, :2].mean(dim=1))
    torch.testing.assert_close(named[:, 2], logits[:, 2])
    assert not torch.allclose(named[:, 0], logits[:, 0])


def test_one_category_or_none_is_no_choice() -> None:
    torch.manual_seed(1)
    logits, seen = torch.randn(1, 3, 4, 4) * 5, torch.randn(1, 3, 4, 4)
    for product in (1, 2):
        torch.testing.assert_close(name(learned(), product, logits, 0.5, seen), logits)


def test_examples_count_as_much_as_many_synthetic_defects() -> None:
    one = Prototypes(1, 2, 2)
    synthetic = [DefectMean(0, 0, False, vector(0, 1))] * 50
    one.learn([DefectMean(0, 0, True, vector(1, 0)), DefectMean(0, 1, True, vector(-1, 0)), *synthetic])
    torch.testing.assert_close(one.get_buffer("centres")[0], vector(0, 0))
    torch.testing.assert_close(one.get_buffer("directions")[0, 0], vector(0.5**0.5, 0.5**0.5))
