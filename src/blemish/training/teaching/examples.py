"""Labelled examples at model size, with masks guessed from the anomaly map where none was drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.data.decode import image_size, load_square
from blemish.data.defects import DefectExample
from blemish.data.defects.raster import rasterise
from blemish.data.duplicates import content_hash
from blemish.data.problem import Problem
from blemish.errors import ConfigError, DataError, ImageError
from blemish.inspection import Failure
from blemish.inspector import Inspector
from blemish.kept.examples import KeptExamples
from blemish.naming import RESERVED_NAMES

Mask = NDArray[np.bool_]
_PEAK_SHARE = 0.5  # where nothing passes the threshold, a box's defect reaches to half of its highest value


@dataclass(frozen=True)
class Lesson:
    """What a model is to learn.

    Attributes:
        categories: product → names, those known before first.
        examples: product → all its examples, those known before first.
        problems: what was left out, and which masks were guessed.
    """

    categories: dict[str, tuple[str, ...]]
    examples: dict[str, KeptExamples]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Marked:
    """Defects of one image: category → mask, and whether one was guessed."""

    masks: dict[str, Mask]
    guessed: bool

    def with_more(self, masks: dict[str, Mask], guessed: bool) -> _Marked:
        """The same with what another source says of the image."""
        joined = {name: self.masks[name] | mask if name in self.masks else mask for name, mask in masks.items()}
        return _Marked({**self.masks, **joined}, self.guessed or guessed)


def load_lesson(
    inspector: Inspector, examples: Iterable[DefectExample], described: Mapping[str, Sequence[str]]
) -> Lesson:
    """Bring examples to model size, after what the model has learned before.

    Args:
        inspector: the model; it finds the product of examples that do not name theirs.
        examples: labelled defects.
        described: product → names of categories that have a description.

    Raises:
        ConfigError: an example or description is of a product that the model does not know, or has a reserved name.
        DataError: there is nothing to learn.
    """
    found: dict[str, dict[Path, _Marked]] = {}
    problems: list[Problem] = []
    for example in examples:
        _check_names(example.categories)
        product = example.product
        if product is not None and product not in inspector.products:
            known = ", ".join(inspector.products)
            raise ConfigError(
                f"{example.path} shows '{product}', which the model does not know. It knows {known}.",
                "Say which product the examples show: --product NAME.",
            )
        try:
            product, masks, guessed = _masks(inspector, example)
        except ImageError as error:
            problems.append(Problem(example.path, "warning", error.message, error.remedy))
            continue
        if not masks:
            message = f"No defect of {example.path} was found, neither in its masks nor in its anomaly map."
            problems.append(Problem(example.path, "warning", message, "Draw a mask."))
            continue
        if guessed:
            message = f"The mask of {example.path} was guessed from the anomaly map."
            problems.append(Problem(example.path, "info", message, "Draw a mask for better names."))
        own = found.setdefault(product, {})
        own[example.path] = (
            own[example.path].with_more(masks, guessed) if example.path in own else _Marked(masks, guessed)
        )
    categories = dict(inspector.categories)
    for product, names in described.items():
        if product not in inspector.products:
            raise ConfigError(f"The model knows no product '{product}'.", f"It knows {', '.join(inspector.products)}.")
        _check_names(names)
        categories[product] = tuple(dict.fromkeys([*categories.get(product, ()), *names]))
    for product, own in found.items():
        names = sorted({name for one in own.values() for name in one.masks})
        categories[product] = tuple(dict.fromkeys([*categories.get(product, ()), *names]))
    categories = {product: categories[product] for product in inspector.products if categories.get(product)}
    if not categories:
        raise DataError("There is nothing to learn: no example with a defect, and no description.", "Add examples.")
    joined = {
        product: _joined(inspector, product, names, found.get(product, {})) for product, names in categories.items()
    }
    return Lesson(categories, {product: one for product, one in joined.items() if len(one.images)}, tuple(problems))


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if name.strip().lower() in RESERVED_NAMES or not name.strip():
            raise ConfigError(f"A category cannot be called '{name}'.", "Choose another name.")


def _masks(inspector: Inspector, example: DefectExample) -> tuple[str, dict[str, Mask], bool]:
    """Product of an example, mask per category, and whether one was guessed. Raises ImageError."""
    size = image_size(example.path)
    product = example.product
    fused: NDArray[np.float32] | None = None
    masks: dict[str, Mask] = {}
    guessed = False
    if product is None or not all(marking.exact for marking in example.markings):
        raw = next(iter(inspector.raw_maps([example.path], product=product)))
        if isinstance(raw, Failure):
            raise raw.error
        product, fused = raw.product, inspector.fused(raw)
    for marking in example.markings:
        mask = rasterise(marking, size, inspector.size)
        if not marking.exact:
            assert fused is not None
            mask = _guess(inspector, product, fused, mask)
            guessed = True
        if mask is not None and mask.any():
            masks[marking.category] = masks.get(marking.category, np.zeros_like(mask)) | mask
    return product, masks, guessed


def _guess(inspector: Inspector, product: str, fused: NDArray[np.float32], box: Mask | None) -> Mask:
    """Where the anomaly map is high, inside a box or anywhere."""
    calibration = inspector.calibration[product]
    if box is None:
        return calibration.mask(fused, defective=True)
    inside = box & (fused > calibration.pixel_threshold) if calibration.n else np.zeros_like(box)
    if inside.any() or not box.any():
        return inside
    return np.asarray(box & (fused >= _PEAK_SHARE * fused[box].max()))


def _joined(
    inspector: Inspector,
    product: str,
    names: tuple[str, ...],
    new: Mapping[Path, _Marked],
) -> KeptExamples:
    """Examples from before and new ones; an image that is taught again, wherever it lies, replaces its former self."""
    size = inspector.size
    before = inspector.examples.get(product)
    added = [load_square(path, size, inspector.calibration[product].intensity_range) for path in new]
    again = {content_hash(image) for image in added}
    images, labels, sources, guessed = [], [], [], []
    if before is not None:
        for row, source in enumerate(before.sources):
            if content_hash(before.images[row]) not in again:
                images.append(before.images[row])
                labels.append(before.labels[row])
                sources.append(source)
                guessed.append(before.guessed[row])
    images += added
    for path, one in new.items():
        labels.append(_labels(one.masks, names, size))
        sources.append(str(path))
        guessed.append(one.guessed)
    empty = np.zeros((0, size, size, 3), np.uint8), np.zeros((0, size, size), np.int16)
    return KeptExamples(
        np.stack(images) if images else empty[0],
        np.stack(labels) if labels else empty[1],
        tuple(sources),
        tuple(guessed),
    )


def _labels(masks: Mapping[str, Mask], names: tuple[str, ...], size: int) -> NDArray[np.int16]:
    """Number of the category of each pixel; where two overlap, the smaller defect wins."""
    labels = np.full((size, size), -1, dtype=np.int16)
    for name in sorted(masks, key=lambda one: -int(masks[one].sum())):
        labels[masks[name]] = names.index(name)
    return labels
