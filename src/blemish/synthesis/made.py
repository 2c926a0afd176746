"""What a folder of synthetic defects says of how they were made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from blemish.data.layouts.table import read_rows
from blemish.synthesis.folder import MANIFEST

_WORDS = {"transplant": "transplant", "painter": "painted", "diffusion": "diffusion"}
_GUIDANCE = {"priors": "by description", "samples": "by example"}


@dataclass
class Made:
    """The images of one product and category.

    Attributes:
        images: how many.
        methods: (mode, method) → how many.
        examples: the defective images that they come from.
    """

    images: int = 0
    methods: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: set[str] = field(default_factory=set)

    @property
    def modes(self) -> tuple[str, ...]:
        """Names of the modes, each once."""
        return tuple(dict.fromkeys(mode for mode, _ in self.methods))

    @property
    def word(self) -> str:
        """The modes in short, such as "transplant"."""
        return " + ".join(_WORDS.get(mode, mode) for mode in self.modes)

    @property
    def sentence(self) -> str:
        """How, in full, such as "transplant: feather 9, paste 7; of 5 examples"."""
        parts = []
        for mode in self.modes:
            methods = sorted((method, count) for (one, method), count in self.methods.items() if one == mode)
            listed = ", ".join(f"{_GUIDANCE.get(method, method)} {count}" for method, count in methods)
            parts.append(f"{_WORDS.get(mode, mode)}: {listed}")
        if self.examples:
            parts.append(f"of {len(self.examples)} example{'s' * (len(self.examples) != 1)}")
        return "; ".join(parts)


def made(folder: Path) -> dict[tuple[str, str], Made]:
    """(Product, category) → how the images of a folder were made, in the order of its manifest.

    Raises:
        DataError: the manifest cannot be read.
    """
    found: dict[tuple[str, str], Made] = {}
    if not (folder / MANIFEST).is_file():
        return found
    for row in read_rows(folder / MANIFEST):
        values = row.values
        one = found.setdefault((values.get("product", ""), values.get("defect", "")), Made())
        one.images += 1
        one.methods[values.get("mode", ""), values.get("method", "")] += 1
        if example := values.get("example"):
            one.examples.add(example)
    return found
