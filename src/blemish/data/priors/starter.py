"""The first priors file of a data set: its products and categories, with comments that say what may be added."""

from __future__ import annotations

import json
from collections.abc import Iterable

from blemish.data.dataset import Dataset
from blemish.data.layouts.listing import DEFECTIVE_NAMES
from blemish.data.priors.names import APPEARANCES, FAMILIES, GROUPS, SIZES
from blemish.data.priors.prior import CategoryPrior

_WIDTH = 118
_EXAMPLES = ("scratch", "stain")
_HEAD = """\
What is known of the defects, before any of them was seen: product → category → description.

A category may be as short as one description:

  crack: a tile with a crack

or have any of these keys; what is left out is inferred from its name and descriptions:

  crack:
    prompts: [a tile with a crack, a tile with a hairline crack]  # one description or several
    negative_prompt: intact surface  # what must not be seen; for things that are missing
    shapes: [line, brush-tiny]       # what its masks look like
    sizes: [small, medium]           # sizes of these shapes; all of them unless given
    position_bound: false            # true: it occurs at its own place only, such as a bent lead
    appearance: dark-stroke          # how it is painted where there is no example and no diffusion model

Lines behind a # in the categories below are what is inferred: change them and take the # away.
"""


def starter(dataset: Dataset) -> str:
    """The text of a priors file for the products of a data set and the names of the defects found in it.

    A product without named defects gets two common ones as examples. `Priors.load` reads the text as it is.
    """
    lines = [_comment(line) for line in _HEAD.splitlines()]
    lines += _listing("Shapes", (*FAMILIES, *(f"{name} (both kinds)" for name in GROUPS)))
    lines += _listing("Sizes", SIZES)
    lines += ["#", "# Appearances:"]
    lines += [f"#   {name}: {text}" for name, text in APPEARANCES.items()]
    lines += ["#", '# The product "*" stands for every product.']
    for product in dataset.products:
        found = {sample.defect for sample in dataset.select(product=product) if sample.defect}
        defects = sorted(name for name in found if name.lower() not in DEFECTIVE_NAMES)
        lines += ["", f"{_quoted(product)}:"]
        if not defects:
            lines.append("  # No defect has a name in this data set; these two are examples. Replace them by yours.")
        for defect in defects or _EXAMPLES:
            prior = CategoryPrior(defect)
            lines += [
                f"  {_quoted(defect)}:",
                f"    prompts: {_quoted(prior.prompts_for(product)[0])}",
                f"    # shapes: [{', '.join(prior.shape_names)}]",
                f"    # appearance: {prior.painted_as}",
            ]
    return "\n".join(lines) + "\n"


def _comment(line: str) -> str:
    return f"# {line}".rstrip()


def _listing(head: str, names: Iterable[str]) -> list[str]:
    """Names in comment lines of a bearable width."""
    lines, line = [], f"# {head}:"
    for name in names:
        if len(line) + len(name) > _WIDTH:
            lines.append(line)
            line = "#  "
        line += f" {name},"
    return ["#", *lines, line.rstrip(",")]


def _quoted(name: str) -> str:
    """A text as YAML understands it: plain where that is safe, else in double quotes."""
    plain = name.replace(" ", "").replace("_", "").replace("-", "")
    words = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
    safe = plain.isalpha() and plain.isascii() and name == name.strip(" -") and name.lower() not in words
    return name if safe else json.dumps(name, ensure_ascii=True)
