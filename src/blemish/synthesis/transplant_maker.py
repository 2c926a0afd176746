"""The mode `transplant`: real defects cut out and put into normal images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from blemish.errors import ConfigError, SynthesisError
from blemish.procedural.seeding import generator
from blemish.synthesis.blending import BLENDINGS
from blemish.synthesis.donors import Donors
from blemish.synthesis.foreground import Mask, Pixels
from blemish.synthesis.normals import Normal, Normals
from blemish.synthesis.synthetic import Provenance, Synthetic
from blemish.synthesis.task import Task
from blemish.synthesis.transplant import transplant

MIX = ("feather", "paste")
"""The blendings that are drawn from unless one is chosen."""

_VISIBLE = 8  # grey levels that a defect changes somewhere: a white hole on a white ground would be a false label


class TransplantMaker:
    """Puts a random defect of a category into a random normal image of its product.

    Args:
        normals: to put defects into.
        donors: to cut them from.
        seed: what is made depends on (seed, product, category, number).
        blendings: names in `BLENDINGS`, one of which is drawn.

    Raises:
        ConfigError: no such blending.
    """

    def __init__(self, normals: Normals, donors: Donors, seed: int, blendings: Sequence[str] = MIX) -> None:
        for name in blendings:
            if name not in BLENDINGS:
                raise ConfigError(f"There is no blending '{name}'.", f"Choose one of {', '.join(BLENDINGS)}.")
        self._normals, self._donors, self._seed, self._blendings = normals, donors, seed, blendings

    def __call__(self, task: Task) -> Synthetic:
        """The image of one task.

        Raises:
            SynthesisError: no normal image or no example is readable, or the defect fits none that was tried.
        """
        rng = generator(self._seed, f"transplant {task.product}/{task.prior.category}", task.number)
        scale = self._normals.intensity_range(task.product)
        donor = next(self._donors.in_order(task.product, task.prior, rng, scale), None)
        if donor is None:
            name = f"'{task.prior.category}' of {task.product}"
            raise SynthesisError(f"No example of {name} could be read.", "Replace them.")

        def make(normal: Normal) -> tuple[Pixels, Mask, str]:
            image, mask, blending = transplant(normal.image, donor, normal.foreground, rng, blendings=self._blendings)
            change = np.abs(image[mask].astype(np.int16) - normal.image[mask])
            if change.max() < _VISIBLE:
                raise SynthesisError(
                    f"The defect of {donor.source} cannot be seen in {normal.source}.", "Add examples."
                )
            return image, mask, blending

        normal, (image, mask, blending) = self._normals.put_into(task.product, task.prior.category, rng, make)
        provenance = Provenance(
            mode="transplant", seed=self._seed, source=normal.source, example=donor.source, method=blending
        )
        return Synthetic(image, mask, task.product, task.prior.category, provenance)
