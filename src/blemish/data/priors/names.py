"""Names that a priors file may use: of shapes, of their sizes and of appearances."""

from __future__ import annotations

from collections.abc import Iterable

SIZES = ("large", "medium", "small", "tiny")
_THREE = SIZES[:3]

FAMILIES: dict[str, tuple[str, ...]] = {
    "rectangle": _THREE,
    "line": _THREE,
    "long-line": (),
    "polygon": _THREE,
    "perlin": _THREE,
    "brush": SIZES,
    "ellipse-circular": _THREE,
    "ellipse-eccentric": _THREE,
    "hollow-circular": _THREE,
    "hollow-eccentric": _THREE,
    "whole": (),
}
"""Family of shapes → its sizes; a family without sizes is one shape."""

GROUPS = {
    "ellipse": ("ellipse-circular", "ellipse-eccentric"),
    "hollow": ("hollow-circular", "hollow-eccentric"),
}
"""Short name → the families that it means."""

SHAPE_NAMES = tuple(
    name for family, sizes in FAMILIES.items() for name in ([f"{family}-{size}" for size in sizes] or [family])
)
"""Every shape, such as `rectangle-large`, `long-line` or `whole`."""

APPEARANCES: dict[str, str] = {
    "dark-stroke": "a dark, jagged line: cracks, cuts",
    "bright-stroke": "a bright furrow with a dark edge: scratches",
    "hole": "a dark pit with a lit wall: holes, pores, dents",
    "stain": "a translucent blot, strongest at its rim: dirt, oil, rust",
    "missing": "a part that is not there, filled from its surroundings: breaks, chips",
    "displacement": "texture that is out of its place: bent or shifted parts, folds",
    "misprint": "ink, or print from nearby, in a wrong place or colour",
    "texture": "a rough, streaky surface: fray, grinding marks",
    "tone": "a broad step of brightness: uneven or faded areas",
}
"""Appearance → what it looks like."""


def resolve_shapes(names: Iterable[str], sizes: Iterable[str] = ()) -> tuple[str, ...]:
    """The shapes that names of shapes, families or groups mean, each once, in the order of `SHAPE_NAMES`.

    Args:
        names: such as `line-small` (itself), `line` (the family) or `ellipse` (both families).
        sizes: keeps these sizes of the families; all of them unless given. A shape named in full is always kept.

    Raises:
        KeyError: a name that is none of these.
        ValueError: a family has none of the sizes.
    """
    wanted = set(sizes)
    chosen: set[str] = set()
    for name in names:
        if name in SHAPE_NAMES:
            chosen.add(name)
            continue
        found = [
            f"{family}-{size}"
            for family in GROUPS.get(name, (name,))
            for size in FAMILIES[family]
            if not wanted or size in wanted
        ]
        if not found:
            raise ValueError(f"{name} has no size {', '.join(sorted(wanted, key=SIZES.index))}")
        chosen.update(found)
    return tuple(name for name in SHAPE_NAMES if name in chosen)
