"""The mode `diffusion`: defects repainted by a latent diffusion model (UniADC §3.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import overload

import numpy as np

from blemish.backbones.backbone import load_backbone
from blemish.config import BackboneConfig
from blemish.data.priors import CategoryPrior
from blemish.errors import SynthesisError
from blemish.synthesis.diffusion.alpha_clip import AlphaCLIP
from blemish.synthesis.diffusion.config import DiffusionConfig
from blemish.synthesis.diffusion.feature_selector import FeatureSelector
from blemish.synthesis.diffusion.generate import Category, DiffusionSynthesis, Pasted
from blemish.synthesis.diffusion.inpainting import Guidance, Inpainter
from blemish.synthesis.diffusion.selection import Box, MeanSSIM, Selector, box_around
from blemish.synthesis.diffusion_weights import DiffusionWeights
from blemish.synthesis.donors import Donors
from blemish.synthesis.drawn_mask import drawn_mask
from blemish.synthesis.foreground import Mask, Pixels
from blemish.synthesis.normals import Normal, Normals
from blemish.synthesis.synthetic import Synthetic
from blemish.synthesis.task import Task
from blemish.synthesis.transplant import CONTEXT, one_region, transplant


class DiffusionMaker:
    """Repaints a category's defects: where there are examples a pasted defect guides, else the description.

    AlphaCLIP chooses among the candidates where it is given; else of pastes the one that kept most of the paste (SSIM),
    and of descriptions the one that changed below its mask and nowhere else, as the embedded backbone sees it.

    Args:
        weights: read here.
        normals: to paint on.
        donors: real defects; None: descriptions alone.
        categories: product → what is known of all its categories; the selection tells a category from the others.
        seed: what is made depends on (seed, product, category, number).
        blendings: names in `BLENDINGS` for the pastes, one of which is drawn; None: as in the paper, the defect's
            pixels as they are.

    Raises:
        BlemishError: a folder of weights is missing, incomplete or of another kind; the size is no multiple of 8.
    """

    def __init__(
        self,
        weights: DiffusionWeights,
        normals: Normals,
        donors: Donors | None,
        categories: Mapping[str, Sequence[CategoryPrior]],
        *,
        seed: int,
        blendings: Sequence[str] | None = None,
    ) -> None:
        self._normals, self._donors, self._categories = normals, donors, categories
        self._seed, self._blendings = seed, blendings or ("paste",)
        self.config = replace(weights.config or DiffusionConfig(), size=normals.size)
        self._inpainter = Inpainter.load(
            weights.stable_diffusion,
            weights.brushnet,
            weights.brushnet_random,
            weights.device,
            weights.half,
            weights.offload,
            self.config,
        )
        self._selectors: dict[Guidance, Selector] = _selectors(weights)

    def work(self, task: Task) -> int:
        """Denoising steps of a task."""
        return self.config.work(self._guidance(task), task.prior.negative_prompt or "")

    def __call__(self, task: Task, progress: Callable[[int], None] | None = None) -> Synthetic:
        """The image of one task: the best of its candidates.

        Args:
            progress: called with the denoising steps done of this task.

        Raises:
            SynthesisError: no normal image or no example is readable, or no mask or paste fits.
        """
        guidance = self._guidance(task)
        report = None if progress is None else lambda done, _: progress(done)
        synthesis = DiffusionSynthesis(self._inpainter, self._selectors[guidance], self._seed, report)
        category, number = self._category(task, guidance), task.number
        if guidance == "samples":
            pastes = _Pastes(task, self._normals, self._donors, self._blendings)
            return next(synthesis.from_samples(category, pastes, count=number + 1, start=number))
        images = _Images(task, self._normals)
        return next(synthesis.from_priors(category, images, images.mask, count=number + 1, start=number))

    def _guidance(self, task: Task) -> Guidance:
        shown = self._donors is not None and self._donors.has(task.product, task.prior.category)
        return "samples" if shown else "priors"

    def _category(self, task: Task, guidance: Guidance) -> Category:
        """A task's category, and the others in the same kind of words."""
        name = task.prior.category
        others = [prior for prior in self._categories.get(task.product, ()) if prior.category != name]
        if guidance == "samples":
            words = tuple(self.config.sample_prompt.format(category=prior.category) for prior in others)
        else:
            words = tuple(text for prior in others for text in prior.prompts_for(task.product))
        prompts = task.prior.prompts_for(task.product)
        return Category(task.product, name, prompts, task.prior.negative_prompt or "", words)


class _Images(Sequence[tuple[str, Pixels]]):
    """The normal images of a task's product, read when they are asked for."""

    def __init__(self, task: Task, normals: Normals) -> None:
        self._task, self._normals = task, normals
        self._last: Normal | None = None

    def __len__(self) -> int:
        return self._normals.count(self._task.product)

    @overload
    def __getitem__(self, index: int) -> tuple[str, Pixels]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[str, Pixels]]: ...

    def __getitem__(self, index: int | slice) -> tuple[str, Pixels] | Sequence[tuple[str, Pixels]]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        self._last = self._normals.at(self._task.product, index)
        return self._last.source, self._last.image

    def mask(self, image: Pixels, rng: np.random.Generator) -> tuple[Mask, str]:
        """A shape of the category on the image that was asked for last."""
        assert self._last is not None
        assert image is self._last.image
        return drawn_mask(self._task.prior, self._last.foreground, rng)


class _Pastes:
    """Pastes of one region of one example on random normal images of a task's product."""

    def __init__(self, task: Task, normals: Normals, donors: Donors | None, blendings: Sequence[str]) -> None:
        assert donors is not None
        self._task, self._normals, self._donors, self._blendings = task, normals, donors, blendings

    def __call__(self, rng: np.random.Generator, count: int) -> list[Pasted]:
        product, prior = self._task.product, self._task.prior
        scale = self._normals.intensity_range(product)
        whole = next(self._donors.in_order(product, prior, rng, scale), None)
        if whole is None:
            raise SynthesisError(f"No example of '{prior.category}' of {product} could be read.", "Replace them.")
        donor = one_region(whole, rng)

        def make(normal: Normal) -> tuple[Pixels, Mask, str]:
            return transplant(normal.image, donor, normal.foreground, rng, blendings=self._blendings)

        pastes = []
        for _ in range(count):
            normal, (image, mask, _) = self._normals.put_into(product, prior.category, rng, make)
            pastes.append(Pasted(image, mask, _with_context(mask), normal.source, donor.source))
        return pastes


def _selectors(weights: DiffusionWeights) -> dict[Guidance, Selector]:
    if weights.clip is not None and weights.alpha_clip is not None:
        alpha_clip = AlphaCLIP.load(weights.clip, weights.alpha_clip, weights.device)
        return {"priors": alpha_clip, "samples": alpha_clip}
    backbone = load_backbone(BackboneConfig(), 0).to(weights.device)
    return {"priors": FeatureSelector(backbone), "samples": MeanSSIM()}


def _with_context(mask: Mask) -> Box:
    """The box around a paste with what was cut around it."""
    left, top, right, bottom = box_around(mask)
    across, down = round(CONTEXT * (right - left)), round(CONTEXT * (bottom - top))
    height, width = mask.shape
    return max(0, left - across), max(0, top - down), min(width, right + across), min(height, bottom + down)
