"""Defect images of one category: candidates are repainted, and the best of them is kept (UniADC §3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from blemish.errors import ConfigError
from blemish.procedural.seeding import generator
from blemish.synthesis.diffusion.inpainting import Guidance, Inpainter, Progress
from blemish.synthesis.diffusion.selection import Box, Candidates, Mask, Pixels, Selector, box_around
from blemish.synthesis.synthetic import Provenance, Synthetic

Normals = Sequence[tuple[str, Pixels]]


@dataclass(frozen=True)
class Category:
    """What is to be made.

    Attributes:
        product, category: names.
        prompts: descriptions; one of them is drawn for each image.
        negative_prompt: for what is missing; empty: nothing is.
        others: descriptions of all other categories of the product; the selection tells it from them.
    """

    product: str
    category: str
    prompts: tuple[str, ...] = ()
    negative_prompt: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pasted:
    """A normal image with a real defect pasted into it.

    Attributes:
        image: S×S×3.
        mask: S×S, true on the pasted defect.
        box: left, top, right, bottom of the paste with its context; right and bottom are exclusive.
        source: the normal image.
        example: the defective image.
    """

    image: Pixels
    mask: Mask
    box: Box
    source: str
    example: str


@dataclass(frozen=True)
class _Scene:
    """What is repainted to candidates."""

    image: Pixels
    mask: Mask
    box: Box
    source: str
    example: str | None
    shape: str | None


class _Meter:
    """Adds up the steps of several calls."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._before = progress, total, 0

    def report(self, done: int, of: int) -> None:
        """So many steps of one call are done."""
        if self._progress is not None:
            self._progress(self._before + done, self._total)
        self._before += of if done == of else 0


DrawMask = Callable[[Pixels, np.random.Generator], tuple[Mask, str]]
"""A mask S×S that is not empty, and the name of its shape, for a normal image S×S×3."""
DrawPastes = Callable[[np.random.Generator, int], Sequence[Pasted]]
"""So many pastes of one defect region that it chooses, at different places or on different images."""


class DiffusionSynthesis:
    """Makes the images of a category one by one.

    Image k depends on (seed, product, category, k) and on what is given here and there only: who has the first k asks
    for the rest with `start=k`.

    Args:
        inpainter: makes the candidates; its configuration says how many.
        selector: chooses among them.
        seed: of the run, ≥ 0.
        progress: called with the denoising steps done and their number, over all images of a call.
    """

    def __init__(self, inpainter: Inpainter, selector: Selector, seed: int, progress: Progress | None = None) -> None:
        self._inpainter, self._selector, self._seed, self._progress = inpainter, selector, seed, progress
        self._config = inpainter.config

    def from_priors(
        self, category: Category, normals: Normals, draw_mask: DrawMask, *, count: int | None = None, start: int = 0
    ) -> Iterator[Synthetic]:
        """Images `start` … `count` − 1 from a description: each the best of rounds × masks × noise factors.

        Args:
            normals: names and images S×S×3, S of the configuration; a round takes one of them.
            draw_mask: draws the place of a defect.
            count: how many images there shall be in the end; None: 16, as in the paper.

        Raises:
            ConfigError: no normal images, no description, or an empty mask.
        """
        if not len(normals) or not category.prompts:
            lacking = "description" if len(normals) else "normal image"
            raise ConfigError(f"{category.product}/{category.category} has no {lacking}.", "Give at least one.")

        def rounds(rng: np.random.Generator) -> Iterator[list[_Scene]]:
            for _ in range(self._config.rounds):
                source, image = normals[int(rng.integers(len(normals)))]
                drawn = [draw_mask(image, rng) for _ in range(self._config.masks)]
                yield [_Scene(image, mask, _box(mask, shape), source, None, shape) for mask, shape in drawn]

        work = self._config.work("priors", category.negative_prompt)
        return self._images(category, "priors", rounds, work, start, self._wanted(count))

    def from_samples(
        self, category: Category, draw_pastes: DrawPastes, *, count: int | None = None, start: int = 0
    ) -> Iterator[Synthetic]:
        """Images `start` … `count` − 1 from real defects: each the best of pastes × noise factors of one region.

        The prompt is `config.sample_prompt`, and there is no negative one, whatever descriptions the category has.

        Args:
            draw_pastes: chooses a defect region and pastes it so often.
            count: how many images there shall be in the end; None: 16, as in the paper.

        Raises:
            ConfigError: no pastes, or an empty mask.
        """
        prompt = self._config.sample_prompt.format(category=category.category)
        category = replace(category, prompts=(prompt,), negative_prompt="")

        def rounds(rng: np.random.Generator) -> Iterator[list[_Scene]]:
            pastes = draw_pastes(rng, self._config.pastes)
            if not pastes or not all(one.mask.any() for one in pastes):
                raise ConfigError(
                    f"{category.product}/{category.category} has no paste, or one with an empty mask.",
                    "Give a defect region and a place for it.",
                )
            yield [_Scene(one.image, one.mask, one.box, one.source, one.example, None) for one in pastes]

        work = self._config.work("samples")
        return self._images(category, "samples", rounds, work, start, self._wanted(count))

    def _images(
        self,
        category: Category,
        guidance: Guidance,
        rounds: Callable[[np.random.Generator], Iterator[list[_Scene]]],
        work: int,
        start: int,
        count: int,
    ) -> Iterator[Synthetic]:
        meter = _Meter(self._progress, (count - start) * work)
        for index in range(start, count):
            rng = generator(self._seed, f"diffusion {category.product!r} {category.category!r}", index)
            prompt = category.prompts[int(rng.integers(len(category.prompts)))]
            best: tuple[float, Pixels, _Scene] | None = None
            for scenes in rounds(rng):
                found = self._best(category, guidance, prompt, scenes, rng, meter)
                best = found if best is None or found[0] > best[0] else best
            assert best is not None  # there is at least one round
            score, image, scene = best
            provenance = Provenance(
                mode="diffusion",
                seed=self._seed,
                source=scene.source,
                example=scene.example,
                prompt=prompt,
                method=guidance,
                shape=scene.shape,
                score=score,
            )
            yield Synthetic(image, scene.mask, category.product, category.category, provenance)

    def _best(
        self,
        category: Category,
        guidance: Guidance,
        prompt: str,
        scenes: list[_Scene],
        rng: np.random.Generator,
        meter: _Meter,
    ) -> tuple[float, Pixels, _Scene]:
        """The candidate of the highest score, among all scenes and noise factors; the first of equals."""
        number = len(scenes)
        images, masks = np.stack([one.image for one in scenes]), np.stack([one.mask for one in scenes])
        seeds = [int(seed) for seed in rng.integers(2**31, size=number)]
        answers = self._inpainter.repaint(
            images,
            masks,
            [prompt] * number,
            [category.negative_prompt] * number,
            seeds,
            guidance=guidance,
            progress=meter.report,
        )
        owners = [row for row, answer in enumerate(answers) for _ in answer]
        candidates = Candidates(
            images=np.concatenate(answers),
            masks=masks[owners],
            references=images[owners],
            boxes=tuple(scenes[row].box for row in owners),
            prompt=prompt,
            others=category.others,
        )
        scores = self._selector.scores(candidates)
        winner = int(np.argmax(scores))
        return float(scores[winner]), candidates.images[winner], scenes[owners[winner]]

    def _wanted(self, count: int | None) -> int:
        return self._config.images if count is None else count


def _box(mask: Mask, shape: str) -> Box:
    if not mask.any():
        raise ConfigError(f"A mask of shape '{shape}' is empty.", "Draw masks that cover something.")
    return box_around(mask)
