"""A data set: the images of one or more products and what is known of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from blemish.data.layouts import recognise
from blemish.data.layouts.listing import Listing
from blemish.data.layouts.manifest import write_manifest
from blemish.data.problem import Problem
from blemish.data.sample import Label, Sample, Split
from blemish.data.split import SplitRule, assign_splits
from blemish.errors import DataError


@dataclass(frozen=True)
class Recognised:
    """One root and the layout it was recognised as.

    Attributes:
        root: the folder.
        layout: its name.
        products: what it holds.
        has_split: whether the layout itself says which images train and which test; otherwise the split was drawn.
    """

    root: Path
    layout: str
    products: tuple[str, ...]
    has_split: bool = True

    @property
    def sentence(self) -> str:
        """For people, such as "MVTec AD, 3 products"."""
        return f"{self.layout}, {len(self.products)} product{'s' * (len(self.products) != 1)}"


@dataclass(frozen=True)
class Dataset:
    """Images of one or more products.

    Attributes:
        samples: sorted by product, then path.
        layouts: where they came from, one entry per root and layout.
        problems: what was left out or looked wrong on the way; no image has been opened.
    """

    samples: tuple[Sample, ...]
    layouts: tuple[Recognised, ...] = ()
    problems: tuple[Problem, ...] = ()

    @classmethod
    def from_folder(cls, *roots: str | Path, split: SplitRule = "group", seed: int = 0) -> Dataset:
        """Recognise the layout of every root and merge all of them into one data set.

        Args:
            roots: folders in any known layout (`blemish.data.layouts.LAYOUTS`), or manifest files.
            split: how to split products whose layout has no split of its own, see `split.assign_splits`. A plain
                folder of normal images trains whole.
            seed: of that split.

        A product name that several roots use is prefixed with the name of its root, and `problems` says so.

        Raises:
            DataError: a root is missing or not recognised, or no root is given.
        """
        if not roots:
            raise DataError("No data set was named.", "Name at least one folder or manifest.")
        listings: list[Listing] = []
        for root in roots:
            listings += recognise(Path(os.path.abspath(root)))
        listings, problems = _without_repeats(listings)
        listings, renamed = _with_distinct_products(listings)
        problems += renamed
        samples: list[Sample] = []
        for listing in listings:
            problems += listing.problems
            if listing.has_split:
                own, leaks = _without_leaks(listing)
                problems += leaks
                samples += own
            else:
                samples += assign_splits(listing.samples, split, seed)
        layouts = tuple(
            Recognised(listing.root, listing.layout, listing.products, listing.has_split) for listing in listings
        )
        return cls(_sorted(samples), layouts, tuple(problems))

    @classmethod
    def from_manifest(cls, path: str | Path, *, split: SplitRule = "group", seed: int = 0) -> Dataset:
        """Read a CSV or JSON-lines manifest; see `layouts.manifest.read_manifest` for its columns."""
        return cls.from_folder(path, split=split, seed=seed)

    def write_manifest(self, path: str | Path) -> None:
        """Write all samples as a manifest; `from_manifest` reads it back equal, groups on both sides test wholly."""
        write_manifest(self.samples, Path(path))

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @property
    def products(self) -> tuple[str, ...]:
        """Names of all products, sorted."""
        return tuple(sorted({sample.product for sample in self.samples}))

    def train_normals(self, product: str | None = None) -> tuple[Sample, ...]:
        """Normal training images, of one product or of all."""
        return self.select(product=product, split="train", label="normal").samples

    def test(self, product: str | None = None) -> tuple[Sample, ...]:
        """Test images, normal and defective, of one product or of all."""
        return self.select(product=product, split="test").samples

    def select(
        self,
        *,
        product: str | Iterable[str] | None = None,
        split: Split | None = None,
        label: Label | None = None,
        defect: str | None = None,
    ) -> Dataset:
        """The samples that agree with every argument given; layouts and problems stay."""
        products = {product} if isinstance(product, str) else None if product is None else set(product)
        chosen = tuple(
            sample
            for sample in self.samples
            if (products is None or sample.product in products)
            and (split is None or sample.split == split)
            and (label is None or sample.label == label)
            and (defect is None or sample.defect == defect)
        )
        return replace(self, samples=chosen)

    def merge(self, *others: Dataset) -> Dataset:
        """This data set and others as one. Equal product names mean the same product.

        Raises:
            DataError: one image has different labels in two of them.
        """
        known: dict[Path, Sample] = {}
        for sample in (sample for data in (self, *others) for sample in data.samples):
            if known.setdefault(sample.path, sample) != sample:
                raise DataError(
                    f"{sample.path} has different labels in the data sets to merge.", "Keep it in one of them."
                )
        layouts = [layout for data in (self, *others) for layout in data.layouts]
        problems = [problem for data in (self, *others) for problem in data.problems]
        return Dataset(_sorted(known.values()), tuple(dict.fromkeys(layouts)), tuple(dict.fromkeys(problems)))


def _sorted(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: (sample.product, sample.path.as_posix())))


def _without_repeats(listings: list[Listing]) -> tuple[list[Listing], list[Problem]]:
    """Listings in which no image stands twice: the first root that names it keeps it."""
    seen: set[Path] = set()
    kept: list[Listing] = []
    problems: list[Problem] = []
    for listing in listings:
        fresh = tuple(sample for sample in listing.samples if sample.path not in seen)
        seen.update(sample.path for sample in fresh)
        if repeated := len(listing.samples) - len(fresh):
            message = f"{repeated} images of {listing.root} belong to a root named before and were not read twice."
            problems.append(Problem(listing.root, "warning", message, "Name every root once."))
        if fresh:
            kept.append(replace(listing, samples=fresh))
        else:
            problems += listing.problems
    return kept, problems


def _with_distinct_products(listings: list[Listing]) -> tuple[list[Listing], list[Problem]]:
    """Listings in which a product name stands for one root only."""
    roots: dict[str, set[Path]] = {}
    for listing in listings:
        for product in listing.products:
            roots.setdefault(product, set()).add(listing.root)
    taken = set(roots)
    names: dict[tuple[Path, str], str] = {}
    problems: list[Problem] = []
    for product in sorted(product for product, places in roots.items() if len(places) > 1):
        for root in sorted(roots[product]):
            prefix = root.parent.name if root.name == product else root.name
            name = _free_name(f"{prefix}-{product}", taken)
            taken.add(name)
            names[root, product] = name
            message = f"Several roots hold a product '{product}'; the one in {root} is called '{name}'."
            problems.append(Problem(root, "warning", message, "Rename the folders to choose other names."))
    return [
        replace(
            listing,
            samples=tuple(
                replace(sample, product=names.get((listing.root, sample.product), sample.product))
                for sample in listing.samples
            ),
        )
        for listing in listings
    ], problems


def _free_name(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free


def _without_leaks(listing: Listing) -> tuple[list[Sample], list[Problem]]:
    """A listing's own split, except that groups with images on both sides test wholly; a problem for each product."""
    sides: dict[tuple[str, str], set[Split]] = {}
    for sample in listing.samples:
        if sample.group is not None:
            sides.setdefault((sample.product, sample.group), set()).add(sample.split)
    leaking = {key for key, splits in sides.items() if len(splits) > 1}
    samples = [
        replace(sample, split="test") if (sample.product, sample.group) in leaking else sample
        for sample in listing.samples
    ]
    trained = {sample.product for sample in samples if sample.split == "train" and not sample.defective}
    problems = [
        Problem(
            listing.root,
            "warning" if product in trained else "fatal",
            f"Product '{product}': groups with images in train and in test: {count}. All their images test"
            + ("." if product in trained else ", and none is left to train on."),
            "Move each group to one side.",
        )
        for product, count in sorted(Counter(product for product, _ in leaking).items())
    ]
    return samples, problems
