"""What is known of one defect category before any was seen."""

from __future__ import annotations

from dataclasses import dataclass

from blemish.data.priors.names import resolve_shapes
from blemish.data.priors.words import DEFAULT, default_shapes, infer_appearance, likeness


@dataclass(frozen=True)
class CategoryPrior:
    """What is known of one defect category of a product.

    Attributes:
        category: its name.
        prompts: descriptions, such as "a hazelnut with a hole"; may be empty.
        negative_prompt: what must not be seen; for things that are missing.
        shapes: names of shapes, families or groups (`priors.names`); empty: inferred.
        sizes: keeps these sizes of the families in `shapes`; empty: all.
        position_bound: whether the defect occurs at its own place only; heeded where examples are transplanted.
        appearance: name of an appearance (`priors.names.APPEARANCES`); None: inferred.
    """

    category: str
    prompts: tuple[str, ...] = ()
    negative_prompt: str | None = None
    shapes: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    position_bound: bool = False
    appearance: str | None = None

    @property
    def words(self) -> str:
        """The category's name and its descriptions, from which what is left out is inferred."""
        return " ".join((self.category, *self.prompts))

    @property
    def shape_names(self) -> tuple[str, ...]:
        """The shapes to draw masks with, in full: those given, else those that go with the words."""
        if not self.shapes:
            return default_shapes(self.words)
        return resolve_shapes(self.shapes, self.sizes)

    @property
    def painted_as(self) -> str:
        """The appearance to paint: the one given, else the one that goes with the words."""
        return self.appearance or infer_appearance(self.words)

    @property
    def paintable(self) -> bool:
        """Whether it is known what to paint, and the place does not matter; examples then need not do alone."""
        known = self.appearance is not None or likeness(self.words) is not DEFAULT
        return known and not self.position_bound

    def prompts_for(self, product: str) -> tuple[str, ...]:
        """The descriptions, or where there are none one made of the names: "a hazelnut with a hole defect"."""
        thing, defect = (name.replace("_", " ").replace("-", " ").strip() for name in (product, self.category))
        return self.prompts or (f"{_article(thing)} {thing} with {_article(defect)} {defect} defect",)


def _article(noun: str) -> str:
    return "an" if noun[:1].lower() in "aeiou" and noun else "a"
