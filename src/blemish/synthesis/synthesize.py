"""Synthetic defects for all products and categories that are described or shown.

Each mode is a maker, which turns one task into one synthetic image. What a maker draws depends on (seed, product,
category, number) alone, so that runs can be resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from blemish.data.dataset import Dataset
from blemish.data.priors import Priors
from blemish.errors import ConfigError, SynthesisError
from blemish.synthesis.diffusion_weights import DiffusionWeights
from blemish.synthesis.donors import Donors
from blemish.synthesis.foreground import Foreground
from blemish.synthesis.normals import Normals
from blemish.synthesis.paint_maker import PaintMaker
from blemish.synthesis.synthetic import Mode, Synthetic
from blemish.synthesis.task import AUTO, Key, Maker, Plan, Task, categories, plan
from blemish.synthesis.transplant_maker import MIX, TransplantMaker

if TYPE_CHECKING:
    from blemish.synthesis.diffusion_maker import DiffusionMaker

Progress = Callable[[int, int], None]
"""(done, total) of the work: an image that is painted or transplanted counts 1, another its denoising steps."""


class Synthesis:
    """Makes synthetic defects one after another; all that can be checked is checked at the start.

    Args:
        dataset: whose normal training images the defects are put into.
        priors: the categories and what is known of them; None: those of the examples.
        donors: examples at the size of the images; None: descriptions alone.
        count: images per product and category.
        size: side of the images in pixels, at least 32; for diffusion a multiple of 8, at least 64.
        seed: of all draws.
        foreground: name in `FOREGROUNDS`, or a function.
        mode: one of `MODES`.
        blending: of transplants and pastes, name in `BLENDINGS`; None: a mix.
        diffusion: weights; None: no diffusion.

    Attributes:
        plan: what is made.

    Raises:
        BlemishError: as `plan`; an unknown foreground or blending; weights that are missing or do not fit.
    """

    def __init__(
        self,
        dataset: Dataset,
        priors: Priors | None = None,
        *,
        donors: Donors | None = None,
        count: int = 16,
        size: int = 512,
        seed: int = 0,
        foreground: str | Foreground = "auto",
        mode: str = AUTO,
        blending: str | None = None,
        diffusion: DiffusionWeights | None = None,
    ) -> None:
        self.plan: Plan = plan(dataset, priors, count, donors=donors, mode=mode, diffusion=diffusion is not None)
        normals = Normals(dataset, size=size, seed=seed, foreground=foreground)
        modes = {task.mode for task in self.plan.tasks}
        chosen = None if blending is None else (blending,)
        self._makers: dict[Mode, Maker] = {"painter": PaintMaker(normals, seed)}
        if donors is not None:
            self._makers["transplant"] = TransplantMaker(normals, donors, seed, chosen or MIX)
        self._diffusion: DiffusionMaker | None = None
        if diffusion is not None and "diffusion" in modes:
            _check_negative_prompts(self.plan, donors, diffusion)
            from blemish.synthesis.diffusion_maker import DiffusionMaker

            known = {product: categories(product, priors, donors) for product in dataset.products}
            self._diffusion = DiffusionMaker(diffusion, normals, donors, known, seed=seed, blendings=chosen)

    def work(self, done: Container[Key] = frozenset()) -> int:
        """All of the work but that of the images done; see `Progress`."""
        return sum(self._work(task) for task in self._waiting(done))

    def images(
        self, done: Container[Key] = frozenset(), progress: Progress | None = None
    ) -> Iterator[tuple[Task, Synthetic]]:
        """Make the images one after another.

        Args:
            done: keys (product, category, number) that are not made again.
            progress: called as the work proceeds.

        Raises:
            SynthesisError: some images cannot be made; at the end, when all others have been.
        """
        tasks = self._waiting(done)
        total, before = sum(self._work(task) for task in tasks), 0
        failures: list[SynthesisError] = []
        for task in tasks:
            report = partial(_report, progress, before, total)
            try:
                made = self._make(task, report)
            except SynthesisError as error:
                failures.append(error)
            else:
                yield task, made
            before += self._work(task)
            report(self._work(task))
        if failures:
            raise _joined(failures)

    def _waiting(self, done: Container[Key]) -> Sequence[Task]:
        return [task for task in self.plan.tasks if task.key not in done]

    def _work(self, task: Task) -> int:
        return self._diffusion.work(task) if task.mode == "diffusion" and self._diffusion is not None else 1

    def _make(self, task: Task, report: Callable[[int], None]) -> Synthetic:
        if task.mode == "diffusion" and self._diffusion is not None:
            return self._diffusion(task, report)
        return self._makers[task.mode](task)


def _report(progress: Progress | None, before: int, total: int, done: int) -> None:
    if progress is not None:
        progress(before + done, total)


def _joined(failures: list[SynthesisError]) -> SynthesisError:
    """One error for all; the first speaks."""
    more = f" {len(failures) - 1} more images could not be made." if len(failures) > 1 else ""
    return SynthesisError(f"{failures[0].message}{more}", failures[0].remedy)


def _check_negative_prompts(plan: Plan, donors: Donors | None, weights: DiffusionWeights) -> None:
    """Something that is missing is repainted with BrushNet's other weights, unless an example shows it."""
    for task in plan.tasks:
        shown = donors is not None and donors.has(task.product, task.prior.category)
        needs = task.mode == "diffusion" and task.prior.negative_prompt and not shown
        if needs and weights.brushnet_random is None:
            raise ConfigError(
                f"'{task.prior.category}' of {task.product} has a negative prompt, which BrushNet's weights for random "
                "masks repaint; they are not given.",
                "Name their folder: --brushnet-random DIR.",
            )
