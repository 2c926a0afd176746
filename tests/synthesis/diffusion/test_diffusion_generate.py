"""A category's images: the right number of candidates, the best of them, and the same ones after a stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from blemish.errors import ConfigError
from blemish.synthesis.diffusion.config import DiffusionConfig
from blemish.synthesis.diffusion.generate import Category, DiffusionSynthesis, Pasted
from blemish.synthesis.diffusion.inpainting import Inpainter
from blemish.synthesis.diffusion.selection import Candidates, MeanSSIM
from blemish.synthesis.synthetic import Synthetic

NORMALS = [(f"{n}.png", np.random.default_rng(n).integers(0, 256, (64, 64, 3), dtype=np.uint8)) for n in range(3)]
HOLE = Category("nut", "hole", ("a hole", "a deep hole"), others=("a scratch",))


def square(_: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    mask = np.zeros((64, 64), bool)
    top, left = rng.integers(0, 40, size=2)
    mask[top : top + 16, left : left + 16] = True
    return mask, "square"


def pastes(rng: np.random.Generator, count: int) -> Sequence[Pasted]:
    made = []
    for _ in range(count):
        source, normal = NORMALS[int(rng.integers(len(NORMALS)))]
        image, (mask, _) = normal.copy(), square(normal, rng)
        image[mask] = 255
        made.append(Pasted(image, mask, (0, 0, 64, 64), source, "real.png"))
    return made


class Noted:
    """Prefers bright regions, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[Candidates] = []

    def scores(self, candidates: Candidates) -> np.ndarray:
        self.seen.append(candidates)
        pairs = zip(candidates.images, candidates.masks, strict=True)
        return np.array([image[mask].mean() for image, mask in pairs])


def alike(one: Synthetic, two: Synthetic) -> bool:
    scores = one.provenance.score, two.provenance.score
    same = replace(one.provenance, score=None) == replace(two.provenance, score=None)
    return bool(np.array_equal(one.mask, two.mask) and same and scores[0] == pytest.approx(scores[1], abs=0.1))


def test_the_papers_numbers_of_candidates() -> None:
    config = DiffusionConfig()
    assert config.rounds * config.masks * len(config.plan("")[0]) == 96
    assert config.rounds * config.masks * len(config.plan("a nut")[0]) == 32
    assert (config.plan("")[1], config.plan("a nut")) == (10, ((1.0,), 20))


@pytest.mark.parametrize(("negative", "per_round"), [("", 6), ("a nut", 2)])
def test_from_priors(inpainter: Inpainter, negative: str, per_round: int) -> None:
    selector, steps = Noted(), []
    synthesis = DiffusionSynthesis(inpainter, selector, 5, progress=lambda *step: steps.append(step))
    made = list(synthesis.from_priors(replace(HOLE, negative_prompt=negative), NORMALS, square, count=2))
    assert [len(one.images) for one in selector.seen] == [per_round] * 4
    assert all(one.prompt in HOLE.prompts and one.others == ("a scratch",) for one in selector.seen)
    for image, rounds in zip(made, (selector.seen[:2], selector.seen[2:]), strict=True):
        provenance = image.provenance
        best = [one for one in rounds for row in [Noted().scores(one)] if row.max() == provenance.score]
        assert provenance.score == max(Noted().scores(one).max() for one in rounds)
        assert any(np.array_equal(image.image, candidate) for candidate in best[0].images)
        assert (image.product, image.category, provenance.mode, provenance.method) == (
            "nut",
            "hole",
            "diffusion",
            "priors",
        )
        assert (provenance.seed, provenance.shape, provenance.example) == (5, "square", None)
        assert provenance.source in dict(NORMALS)
        assert image.mask.sum() == 256
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1][0] == steps[-1][1] == 2 * 2 * per_round * (3 if negative else 2)


def test_from_samples(inpainter: Inpainter) -> None:
    steps: list[tuple[int, int]] = []
    synthesis = DiffusionSynthesis(inpainter, MeanSSIM(), 5, progress=lambda *step: steps.append(step))
    (made,) = synthesis.from_samples(replace(HOLE, negative_prompt="a nut"), pastes, count=1)
    assert made.provenance.prompt == "hole defect"
    assert (made.provenance.method, made.provenance.example, made.provenance.shape) == ("samples", "real.png", None)
    assert steps[-1] == (18, 18)


def test_who_has_the_first_images_gets_the_rest(inpainter: Inpainter) -> None:
    def synthesis(seed: int = 5) -> DiffusionSynthesis:
        return DiffusionSynthesis(inpainter, Noted(), seed)

    whole = list(synthesis().from_priors(HOLE, NORMALS, square, count=3))
    rest = list(synthesis().from_priors(HOLE, NORMALS, square, count=3, start=2))
    assert len(rest) == 1
    assert alike(rest[0], whole[2])
    assert not alike(whole[0], whole[1])
    assert list(synthesis().from_priors(HOLE, NORMALS, square, count=3, start=3)) == []
    for other, seed in ((HOLE, 6), (replace(HOLE, category="gap"), 5), (replace(HOLE, product="bolt"), 5)):
        (first,) = synthesis(seed).from_priors(other, NORMALS, square, count=1)
        assert not np.array_equal(first.mask, whole[0].mask)


def test_what_cannot_be_made_is_an_error(inpainter: Inpainter) -> None:
    synthesis = DiffusionSynthesis(inpainter, Noted(), 0)
    with pytest.raises(ConfigError, match="nut/hole has no normal image"):
        synthesis.from_priors(HOLE, [], square)
    with pytest.raises(ConfigError, match="no description"):
        synthesis.from_priors(Category("nut", "hole"), NORMALS, square)
    with pytest.raises(ConfigError, match="no paste"):
        list(synthesis.from_samples(HOLE, lambda rng, count: []))
    with pytest.raises(ConfigError, match="'nothing' is empty"):
        list(synthesis.from_priors(HOLE, NORMALS, lambda image, rng: (np.zeros((64, 64), bool), "nothing")))
