"""Seeded splitting that never separates images of one group.

What is drawn depends on the samples' names and the seed, never on the order in which they come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from blemish.data.sample import Sample

SplitRule = Literal["group", "image"]
TRAIN_SHARE = 0.8  # the magnetic tile papers train on 80 % of the normal images
_HOLD_OUT, _ASSIGN = 1, 2  # streams of random numbers


def hold_out(
    samples: Iterable[Sample], size: float | int, seed: int = 0
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Hold out a part of every product, for calibration.

    Groups stay together, so the part held out is as near to `size` as whole groups allow. At least one group of every
    product stays in the rest; a product of one group is not held out at all.

    Args:
        size: a float is a share in (0, 1) of each product's images; an int is a number of images per product.
        seed: of the draw.

    Returns:
        The rest and the part held out, each sorted by path.

    Raises:
        ValueError: a share outside (0, 1) or a negative number.
    """
    if isinstance(size, float) and not 0 < size < 1:
        raise ValueError(f"a share must lie between 0 and 1, not {size}")
    if size < 0:
        raise ValueError(f"a number of images cannot be negative, as {size} is")
    rest: list[Sample] = []
    held: list[Sample] = []
    for product, members in sorted(_by_product(samples).items()):
        target = max(1, round(size * len(members))) if isinstance(size, float) else size
        drawn = _draw(_groups(members), target, _generator(seed, _HOLD_OUT, product))
        for sample in members:
            (held if sample in drawn else rest).append(sample)
    return _sorted(rest), _sorted(held)


def assign_splits(samples: Iterable[Sample], rule: SplitRule, seed: int = 0) -> tuple[Sample, ...]:
    """Give a split to samples of a layout that has none: all defective images test, most normal ones train.

    Args:
        rule: `group` never splits a group: one with a defective image tests wholly, and of the other groups about
            80 % of the normal images train. `image` is the papers' way: 80 % of all normal images train, and images
            of one part may stand on both sides.
        seed: of the draw.

    Returns:
        The samples with their splits, sorted by path.
    """
    done: list[Sample] = []
    for product, members in sorted(_by_product(samples).items()):
        normal = [sample for sample in members if not sample.defective]
        if rule == "group":
            tainted = {_key(sample) for sample in members if sample.defective}
            normal = [sample for sample in normal if _key(sample) not in tainted]
            groups = _groups(normal)
        else:
            groups = [[sample] for sample in normal]
        # the test part is the one that is drawn, so that training is never left empty
        tested = _draw(groups, round((1 - TRAIN_SHARE) * len(normal)), _generator(seed, _ASSIGN, product))
        trained = set(normal) - tested
        done += [replace(sample, split="train" if sample in trained else "test") for sample in members]
    return _sorted(done)


def _draw(groups: Sequence[Sequence[Sample]], target: int, generator: np.random.Generator) -> set[Sample]:
    """Whole groups with about `target` images in sum, at least one group left; empty for one group or target 0."""
    drawn: set[Sample] = set()
    if target == 0 or len(groups) < 2:
        return drawn
    order = generator.permutation(len(groups))
    for index in order[:-1]:
        group = groups[index]
        if abs(len(drawn) + len(group) - target) < abs(len(drawn) - target):
            drawn.update(group)
    if not drawn:  # every group is more than twice the target: better the smallest than none
        drawn.update(groups[min(order, key=lambda index: len(groups[index]))])
    return drawn


def _groups(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Samples by group in an order of their own: by the first path of each group."""
    groups: dict[str, list[Sample]] = {}
    for sample in _sorted(samples):
        groups.setdefault(_key(sample), []).append(sample)
    return list(groups.values())


def _key(sample: Sample) -> str:
    return f"image {sample.path.as_posix()}" if sample.group is None else f"group {sample.group}"


def _by_product(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    products: dict[str, list[Sample]] = {}
    for sample in samples:
        products.setdefault(sample.product, []).append(sample)
    return products


def _sorted(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: sample.path.as_posix()))


def _generator(seed: int, stream: int, product: str) -> np.random.Generator:
    """Random numbers that adding or removing another product does not change."""
    digest = hashlib.sha256(product.encode("utf-8", "surrogatepass")).digest()
    entropy = [seed, stream, int.from_bytes(digest[:8], "big")]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))
