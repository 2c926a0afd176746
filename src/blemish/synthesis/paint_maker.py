"""The mode `painter`: shapes of the library painted procedurally on normal images."""

from __future__ import annotations

from blemish.procedural.seeding import generator
from blemish.synthesis.drawn_mask import drawn_mask
from blemish.synthesis.foreground import Mask, Pixels
from blemish.synthesis.normals import Normal, Normals
from blemish.synthesis.painter import paint
from blemish.synthesis.synthetic import Provenance, Synthetic
from blemish.synthesis.task import Task


class PaintMaker:
    """Paints the shapes of a category on random normal images of its product.

    Args:
        normals: to paint on.
        seed: what is painted depends on (seed, product, category, number).
    """

    def __init__(self, normals: Normals, seed: int) -> None:
        self._normals, self._seed = normals, seed

    def __call__(self, task: Task) -> Synthetic:
        """The painted image of one task.

        Raises:
            SynthesisError: no normal image of the product is readable, or no shape fits any that was tried.
        """
        rng = generator(self._seed, f"paint {task.product}/{task.prior.category}", task.number)
        prompts = task.prior.prompts_for(task.product)
        prompt = prompts[int(rng.integers(len(prompts)))]
        appearance = task.prior.painted_as

        def make(normal: Normal) -> tuple[Pixels, Mask, str]:
            mask, shape = drawn_mask(task.prior, normal.foreground, rng)
            return paint(normal.image, mask, appearance, rng, product=normal.foreground), mask, shape

        normal, (image, mask, shape) = self._normals.put_into(task.product, task.prior.category, rng, make)
        provenance = Provenance(
            mode="painter", seed=self._seed, source=normal.source, prompt=prompt, method=appearance, shape=shape
        )
        return Synthetic(image, mask, task.product, task.prior.category, provenance)
