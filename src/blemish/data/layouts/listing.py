"""What a recogniser read from one folder or manifest."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from blemish.data.files import images_in
from blemish.data.problem import Problem
from blemish.data.sample import Sample

NORMAL_NAMES = frozenset({"good", "ok", "normal", "mt_free"})
DEFECTIVE_NAMES = frozenset({"bad", "ko", "ng", "nok", "defect", "defects", "defective", "abnormal", "anomaly"})
MASK_NAMES = frozenset({"mask", "masks", "ground_truth"})
_MASK_SUFFIX = re.compile(r"_mask$", re.IGNORECASE)


@dataclass(frozen=True)
class Listing:
    """Samples of one root in one layout.

    Attributes:
        root: the folder in which the layout was recognised.
        layout: its name.
        samples: what it lists; `split` is provisional unless `has_split`.
        has_split: whether the layout itself says which images train and which test.
        problems: what was left out or looked wrong.
    """

    root: Path
    layout: str
    samples: tuple[Sample, ...]
    has_split: bool
    problems: tuple[Problem, ...] = ()

    @property
    def products(self) -> tuple[str, ...]:
        return tuple(sorted({sample.product for sample in self.samples}))


def product_name(root: Path) -> str:
    """The name of the product whose images lie in `root`."""
    return root.name or "product"


@dataclass
class MaskFolder:
    """Masks of the images of one category: `<stem>.*` or `<stem>_mask.*` in one folder."""

    folder: Path
    masks: dict[str, Path] = field(init=False)
    used: dict[str, Path] = field(init=False, default_factory=dict)
    problems: list[Problem] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        files = images_in(self.folder) if self.folder.is_dir() else []
        self.masks = {_MASK_SUFFIX.sub("", file.stem): file for file in files}

    def find(self, image: Path) -> Path | None:
        """The mask of `image`; None where there is none, or where it already belongs to another image."""
        stem = image.stem
        mask = self.masks.get(stem)
        if mask is None:
            return None
        if stem in self.used:
            self.problems.append(
                Problem(
                    mask,
                    "warning",
                    f"The mask {mask} fits two images, {self.used[stem]} and {image}; the first keeps it.",
                    "Give images of one category different names.",
                )
            )
            return None
        self.used[stem] = image
        return mask

    def orphans(self) -> list[Problem]:
        """One warning for every mask that no image asked for."""
        return [mask_without_image(mask) for stem, mask in self.masks.items() if stem not in self.used]


def mask_without_image(mask: Path) -> Problem:
    return Problem(mask, "warning", f"The mask {mask} has no image.", "Add the image or remove the mask.")


def ignored_folders(folders: Iterable[Path], reason: str) -> list[Problem]:
    """One warning for every folder that holds images which the layout does not use."""
    return [
        Problem(folder, "warning", f"The folder {folder} was left out: {reason}.", "Move or rename it.")
        for folder in folders
        if images_in(folder)
    ]
