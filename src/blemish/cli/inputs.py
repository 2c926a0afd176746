"""What users name on the command line, resolved: models, images, regions of interest."""

from __future__ import annotations

import glob
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blemish.cli.console import say
from blemish.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from blemish.cli.options import Engine
    from blemish.inspector import Inspector

STANDARD_INPUT = "-"
_MASKS = "ground_truth"


def load_inspector(model: str, engine: Engine, device: str, offline: bool, *, grows: bool = False) -> Inspector:
    """The model that MODEL names; one that `grows` may know no product yet.

    Raises:
        ConfigError: it knows none, as the shipped one.
    """
    from blemish.inspector import Inspector

    inspector = Inspector.load(model, engine=engine.value, device=device, offline=offline)
    if not grows:
        require_products(model, inspector.products)
    return inspector


def require_products(model: str, products: Sequence[str]) -> None:
    """Raises ConfigError for a model without any, as the shipped one."""
    if not products:
        raise ConfigError(
            f"The model {model} knows no product yet.",
            "Show it normal images: blemish inspect --prompt FILE, or blemish add-product.",
        )


def named_images(inputs: Sequence[str]) -> tuple[Iterator[Path], int | None]:
    """All images that the arguments name, in order, and how many they are (None: not known before the end).

    An argument is a file, a folder (read with its subfolders, except the masks in `ground_truth` of MVTec AD's layout
    and the pictures of earlier results, which are told of), a pattern such as `in/*.png`, or `-` for a list of these on
    standard input, one per line. A file that does not exist is passed on: whoever opens it says so.

    Raises:
        DataError: the arguments name no image at all.
    """
    if STANDARD_INPUT in inputs:
        return _streamed(inputs), None
    paths = [path for one in inputs for path in _resolved(one)]
    if not paths:
        raise DataError(f"There are no images in {', '.join(inputs)}.", "Check the path.")
    return iter(paths), len(paths)


def _streamed(inputs: Iterable[str]) -> Iterator[Path]:
    for one in inputs:
        if one != STANDARD_INPUT:
            yield from _resolved(one)
            continue
        for line in sys.stdin.buffer:
            if name := os.fsdecode(line.rstrip(b"\r\n")):
                yield from _resolved(name)


def _resolved(name: str) -> list[Path]:
    from blemish.data.files import image_files, is_image_name

    path = Path(name)
    if path.is_dir():
        return _without_results(path, _without_masks(path, image_files(path)))
    if not path.exists() and glob.has_magic(name):
        matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
        # a pattern may match anything; only who names a file wants it read whatever it is called
        return [match for match in matches if match.is_file() and is_image_name(match.name)]
    return [path]


def _without_masks(folder: Path, files: Sequence[Path]) -> list[Path]:
    kept = [file for file in files if _MASKS not in file.relative_to(folder).parts[:-1]]
    if left_out := len(files) - len(kept):
        say(f"Left out of {folder}, as masks in folders {_MASKS}: {left_out}.", stderr=True)
    return kept


def _without_results(folder: Path, files: Sequence[Path]) -> list[Path]:
    from blemish.cli.outputs import INSPECTIONS, MASKS, OVERLAYS

    parents = {file.parent for file in files} - {folder}
    results = {one for one in parents if one.name in (MASKS, OVERLAYS) and (one.parent / INSPECTIONS).is_file()}
    kept = [file for file in files if file.parent not in results]
    if left_out := len(files) - len(kept):
        say(f"Left out of {folder}, as pictures of earlier results: {left_out}.", stderr=True)
    return kept


def read_values(values: Sequence[str], options: Mapping[str, str]) -> dict[str, Any]:
    """The changes of `--set KEY=VALUE`, nested where a key has dots; `model.width=64` is {"model": {"width": 64}}.

    A value is JSON (a number, true, false, null, a list, a quoted text), or else the text that it is.

    Args:
        values: as they were typed.
        options: keys that have options of their own, and these.

    Raises:
        ConfigError: there is no key or no value, or the key has an option of its own.
    """
    from blemish.config.base import merged

    changes: dict[str, Any] = {}
    for one in values:
        key, equals, text = one.partition("=")
        if not (equals and all(part.isidentifier() for part in key.split("."))):
            raise ConfigError(f"--set {one} does not set a value.", "Write KEY=VALUE, such as model.width=64.")
        if key in options:
            raise ConfigError(f"--set {one}: {key} has an option of its own.", f"Say {options[key]}.")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if isinstance(value, dict):
            raise ConfigError(f"--set {one} sets several values.", f"Name each: {key}.NAME=VALUE.")
        for part in reversed(key.split(".")):
            value = {part: value}
        changes = merged(changes, value)
    return changes


def read_rois(
    values: Sequence[str], products: Sequence[str], product: str | None = None
) -> dict[str, NDArray[np.bool_]]:
    """The masks of `--roi PRODUCT=MASK`; the name may be left out where `product` or the only product is meant.

    Raises:
        ConfigError: it is not clear whose mask it is.
        ImageError: a mask cannot be read.
    """
    from blemish.data.masks import read_mask

    only = product or (products[0] if len(products) == 1 else None)
    masks: dict[str, NDArray[np.bool_]] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or name not in products:
            if only is None:
                known = ", ".join(products)
                raise ConfigError(
                    f"--roi {value} does not say which product it is for.", f"Write PRODUCT=MASK; products: {known}."
                )
            name, path = only, value
        masks[name] = read_mask(path)
    return masks
