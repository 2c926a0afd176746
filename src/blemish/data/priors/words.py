"""From words to shape and appearance: what a defect called "crack" probably looks like."""

from __future__ import annotations

import re
from typing import NamedTuple


class Likeness(NamedTuple):
    """What a defect probably looks like: the name of an appearance and those of shapes."""

    appearance: str
    shapes: tuple[str, ...]


DEFAULT = Likeness("stain", ("polygon-small", "brush-small", "ellipse-circular-small", "ellipse-circular-medium"))
"""For words that say nothing: a small or middling blot, the least particular of all appearances."""

# The first row with a match decides: what is certain stands before what is vague. Words are matched by their beginning,
# which covers plurals and most inflections.
_ROWS: tuple[tuple[str, Likeness], ...] = (
    (
        "scratch|scrap(e|ing)|scuff|abras|graz(e|ing)|gouge",
        Likeness("bright-stroke", ("line-small", "long-line", "brush-tiny", "brush-small")),
    ),
    (
        "crack|fissur|fractur|split|craz|hairline|slit|cut|rip|tear|torn|ruptur|incis",
        Likeness("dark-stroke", ("line-small", "line-medium", "brush-tiny", "brush-small")),
    ),
    (
        "blowhole|pinhole|hole|pit|pore|porosity|porous|punctur|perforat|void|cavit|dent|crater|bubble|pierc|poke",
        Likeness("hole", ("polygon-small", "ellipse-circular-small", "ellipse-eccentric-small")),
    ),
    (
        "missing|miss|absent|absence|lack|without|lost|broken|break|chip|bite|mousebite|mouse|open|damage|nick|crumb",
        Likeness("missing", ("rectangle-small", "polygon-large", "polygon-medium", "ellipse-circular-medium")),
    ),
    (
        "bent|bend|misplac|misalign|shift|displac|dislocat|twist|deform|warp|squeez|fold|wrinkl|creas|crook|manipulat|"
        "tilt|rotat|swap|flip|loose",
        Likeness("displacement", ("rectangle-medium", "rectangle-small", "polygon-large", "ellipse-circular-medium")),
    ),
    (
        "misprint|print|ink|stamp|marking|letter|label|logo|short|spur|copper|bridge|extra|excess|solder",
        Likeness("misprint", ("line-medium", "polygon-small", "brush-small", "brush-medium", "hollow-circular-small")),
    ),
    (
        "fray|rough|fuzz|grind|grinding|texture|worn|wear|fabric|grain|knot",
        Likeness("texture", ("polygon-large", "ellipse-circular-large", "ellipse-eccentric-large", "perlin-large")),
    ),
    (
        "stain|dirt|oil|contaminat|spot|smudg|smear|discolo|colou?r|rust|corro|liquid|glue|greas|dust|mould|mold|burn|"
        "residu|water|foreign|metal|soil|spill|blot",
        Likeness("stain", ("perlin-large", "polygon-large", "polygon-medium", "ellipse-circular-medium")),
    ),
    (
        "uneven|shad(e|ing)|bright|dark|tone|illuminat|faded|fading|fade|pale|over-?expos|under-?expos",
        Likeness("tone", ("rectangle-large", "perlin-large", "ellipse-circular-large")),
    ),
)
LIKENESSES = tuple(dict.fromkeys(likeness for _, likeness in _ROWS))
"""Everything that words can mean, each once."""

_PATTERNS = [(re.compile(rf"\b(?:{words})", re.IGNORECASE), likeness) for words, likeness in _ROWS]


def likeness(words: str) -> Likeness:
    """What a defect of this name or description probably looks like.

    Args:
        words: such as "crack", or "a tile with a crack"; underscores and hyphens separate words.

    Returns: `DEFAULT` where no word is known.
    """
    plain = re.sub(r"[_\-]+", " ", words)
    return next((found for pattern, found in _PATTERNS if pattern.search(plain)), DEFAULT)


def infer_appearance(words: str) -> str:
    """The appearance that goes with a name or description: "a tile with a crack" is a `dark-stroke`."""
    return likeness(words).appearance


def default_shapes(words: str) -> tuple[str, ...]:
    """The shapes that go with a name or description: "a blowhole" is a small polygon or ellipse."""
    return likeness(words).shapes
