"""Few-shot evaluation: which images a model may learn from, and which then may still test it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from blemish.data.dataset import Dataset
from blemish.data.problem import Problem
from blemish.data.sample import SEVERAL_DEFECTS, Sample
from blemish.data.split import SplitRule
from blemish.errors import DataError
from blemish.procedural.seeding import generator

FEW = 0.1  # a smaller share of the test images left is worth a warning


@dataclass(frozen=True)
class Shots:
    """The images drawn for one few-shot run.

    Attributes:
        seed: of the draw.
        dataset: the shots in split `train`, and in split `test` the test images that are left.
        normals: the normal shots, sorted by product and path.
        defects: the labelled defects, sorted by product, category and path; all in split `train`.
        excluded: test images left out because they show the same physical part as a shot, sorted by product and path.
        problems: products and categories of which less than a tenth of the test images is left, and categories that
            are not taught.
    """

    seed: int
    dataset: Dataset
    normals: tuple[Sample, ...]
    defects: tuple[Sample, ...]
    excluded: tuple[Sample, ...]
    problems: tuple[Problem, ...] = ()

    def lines(self) -> list[str]:
        """For people: every shot with its product and category, then how many test images were left out."""
        lines = [f"{sample.product}: normal: {sample.path}" for sample in self.normals]
        lines += [f"{sample.product}: {sample.defect}: {sample.path}" for sample in self.defects]
        if self.excluded:
            lines.append(
                f"Left out of the test, as they show the same parts as the shots: {len(self.excluded)} images."
            )
        return lines


def draw_shots(
    dataset: Dataset, normals: int | None, per_category: int, seed: int, *, rule: SplitRule = "group"
) -> Shots:
    """Draw K_n normal images of every product and K_a labelled defects of every category of it.

    Labelled defects come from split `train` of a product that has any there, else from its test images. Images of
    several kinds of defect (`combined`) and defects without a name are never drawn. Shots of one category come from as
    many groups as there are. Every draw depends on seed, product and category alone, not on the order of the samples
    and not on other products; the shots of a smaller K are among those of a larger one.

    Training images that were not drawn neither train nor test.

    Args:
        dataset: with normal training images.
        normals: K_n, per product; None: all.
        per_category: K_a; 0: none.
        seed: of all draws, ≥ 0.
        rule: `group` leaves every test image that shares a group with a shot out of the test. `image` does so for the
            defective shots alone: the papers' way, in which normal images of one part may stand on both sides.

    Raises:
        DataError: a product or category has fewer images than asked for.
        ValueError: a number is negative.
    """
    if per_category < 0 or seed < 0 or (normals is not None and normals < 0):
        raise ValueError(f"numbers of shots and seeds cannot be negative: {normals}, {per_category}, {seed}")
    drawn_normals: list[Sample] = []
    drawn_defects: list[Sample] = []
    problems: list[Problem] = []
    for product in dataset.products:
        members = dataset.select(product=product).samples
        clean = [sample for sample in members if sample.split == "train" and not sample.defective]
        drawn_normals += _draw(clean, len(clean) if normals is None else normals, seed, product, None)
        pools = _pools(members)
        if per_category:
            problems += _untaught(product, members, pools)
            for category, pool in sorted(pools.items()):
                drawn_defects += _draw(pool, per_category, seed, product, category)
    shots = {sample.path for sample in drawn_normals + drawn_defects}
    blocking = drawn_defects + (drawn_normals if rule == "group" else [])
    groups = {(sample.product, sample.group) for sample in blocking if sample.group is not None}
    rest = [sample for sample in dataset.test() if sample.path not in shots]
    excluded = tuple(sample for sample in rest if (sample.product, sample.group) in groups)
    tested = [sample for sample in rest if (sample.product, sample.group) not in groups]
    problems += _emptied(dataset, tested)
    defects = _sorted(replace(sample, split="train") for sample in drawn_defects)
    samples = sorted([*drawn_normals, *defects, *tested], key=lambda s: (s.product, s.path.as_posix()))
    done = replace(dataset, samples=tuple(samples), problems=(*dataset.problems, *problems))
    return Shots(seed, done, _sorted(drawn_normals), defects, _sorted(excluded), tuple(problems))


def _pools(members: Iterable[Sample]) -> dict[str, list[Sample]]:
    """Category → the samples from which its shots are drawn."""
    named = [s for s in members if s.defective and s.defect is not None and s.defect.lower() != SEVERAL_DEFECTS]
    training = [sample for sample in named if sample.split == "train"]
    pools: dict[str, list[Sample]] = {}
    for sample in training or named:
        pools.setdefault(str(sample.defect), []).append(sample)
    return pools


def _draw(pool: Iterable[Sample], count: int, seed: int, product: str, category: str | None) -> list[Sample]:
    """`count` samples, one of every group before a second of any.

    Raises:
        DataError: there are not so many.
    """
    groups: dict[str, list[Sample]] = {}
    for sample in _sorted(pool):
        groups.setdefault(f"image {sample.path}" if sample.group is None else f"group {sample.group}", []).append(
            sample
        )
    available = sum(map(len, groups.values()))
    if count > available:
        what = "normal training images" if category is None else f"labelled images of '{category}'"
        raise DataError(
            f"Product '{product}' has {available} {what}, and {count} shots were asked for.",
            "Ask for fewer shots, or add images.",
        )
    # in ASCII, so that a name that is not Unicode has a stream of its own too
    draws = generator(seed, f"shots {product!a} {category!a}")
    members = list(groups.values())
    order = [members[index] for index in draws.permutation(len(members))]
    order = [[group[index] for index in draws.permutation(len(group))] for group in order]
    rounds = max(map(len, order), default=0)
    return [group[turn] for turn in range(rounds) for group in order if turn < len(group)][:count]


def _untaught(product: str, members: Iterable[Sample], pools: dict[str, list[Sample]]) -> list[Problem]:
    """That categories stand among the test images only, while others have training images."""
    tested = {s.defect: s for s in members if s.defect is not None and s.defect.lower() != SEVERAL_DEFECTS}
    return [
        Problem(
            sample.path.parent,
            "info",
            f"Category '{name}' of '{product}' has no labelled training image: it is tested and not taught.",
            "Move some of its images to train/<category> to teach it.",
        )
        for name, sample in sorted(tested.items())
        if name not in pools
    ]


def _emptied(dataset: Dataset, tested: Iterable[Sample]) -> list[Problem]:
    """What had test images and has none left, or next to none."""
    before, after = _by_kind(dataset.test()), _by_kind(tested)
    problems = []
    for (product, kind), samples in sorted(before.items()):
        left = len(after.get((product, kind), ()))
        if left >= FEW * len(samples) and left > 0:
            continue
        message = (
            f"Product '{product}': {left} of {len(samples)} {kind} test images are left, as the others are shots or "
            "show the same parts."
        )
        remedy = "Split by group, or ask for fewer shots."
        problems.append(Problem(samples[0].path.parent, "warning", message, remedy))
    return problems


def _by_kind(samples: Iterable[Sample]) -> dict[tuple[str, str], list[Sample]]:
    """Product and kind, for people, → samples."""
    kinds: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        kind = "normal" if not sample.defective else f"'{sample.defect}'" if sample.defect else "unnamed defective"
        kinds.setdefault((sample.product, kind), []).append(sample)
    return kinds


def _sorted(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda s: (s.product, s.defect or "", s.path.as_posix())))
