"""Synthetic defects for all products and categories of a priors file.

Each mode is a maker, which turns one task into one synthetic image; a new one is one more case in `_maker`. What a
maker draws depends on (seed, product, category, number) alone, so that runs can be resumed.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from blemish.data.dataset import Dataset
from blemish.data.priors import Priors
from blemish.errors import ConfigError
from blemish.synthesis.paint_maker import PaintMaker
from blemish.synthesis.synthetic import Mode, Synthetic
from blemish.synthesis.task import Key, Maker, Task, plan

MODES: tuple[Mode, ...] = ("painter",)
"""The modes that need descriptions only."""


def synthesize(
    dataset: Dataset,
    priors: Priors,
    *,
    count: int = 16,
    size: int = 512,
    seed: int = 0,
    foreground: str = "auto",
    mode: Mode = "painter",
    done: Container[Key] = frozenset(),
) -> Iterator[tuple[Task, Synthetic]]:
    """Make synthetic defects from descriptions, one after another.

    Args:
        dataset: whose normal training images are painted on.
        priors: the categories and what is known of them.
        count: images per product and category.
        size: side of the images in pixels, at least 32.
        seed: of all draws.
        foreground: name in `FOREGROUNDS`.
        mode: one of `MODES`.
        done: keys (product, category, number) that are not made again.

    Raises:
        BlemishError: as `plan`; an unknown mode or foreground; a category none of whose shapes fits.
    """
    tasks = [task for task in plan(dataset, priors, count) if task.key not in done]
    make = _maker(dataset, size, seed, foreground, mode)
    for task in tasks:
        yield task, make(task)


def _maker(dataset: Dataset, size: int, seed: int, foreground: str, mode: str) -> Maker:
    if mode == "painter":
        return PaintMaker(dataset, size=size, seed=seed, foreground=foreground)
    raise ConfigError(f"There is no mode '{mode}'.", f"Choose one of {', '.join(MODES)}.")
