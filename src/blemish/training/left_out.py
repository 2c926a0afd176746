"""What a model sees in images that its prompts show: the patches of the part in an image are left out.

With few normal images none can be spared to set thresholds with. Each is then compared with the others alone, as the
jackknife does. If finding nearer patches can only lower a score, the score of one more part exceeds the highest of n
such scores at most once in n + 1: an image of n has n − 1 others to be compared with, the new one has all n.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.config import BackboneConfig
from blemish.engines.engine import EngineMaps
from blemish.engines.torch_engine import TorchEngine
from blemish.inspection import Failure
from blemish.inspector import Inspector, RawMaps
from blemish.training.calibrate import calibrate


def maps_without(
    inspector: Inspector,
    images: Sequence[Path | NDArray[np.uint8]],
    product: str,
    own: Sequence[NDArray[np.bool_]],
) -> Iterator[RawMaps | Failure]:
    """As `Inspector.raw_maps`, none of the images being compared with itself.

    Args:
        inspector: a model that composes its prompts, unless `own` is empty.
        images: of `product`.
        product: what they show.
        own: for each image the patches of the product's prompts that show the same part; empty where none shows any.
    """
    engine = inspector.engine
    if not own:
        yield from inspector.raw_maps(images, product=product)
        return
    assert isinstance(engine, TorchEngine)
    for image, patches in zip(images, own, strict=True):
        yield from replace(inspector, engine=_Without(engine, patches)).raw_maps([image], product=product)


def calibrate_kept(inspector: Inspector, product: str) -> Inspector:
    """Set the thresholds of a product anew from the images that stay with the model, which must be some."""
    kept, model, former = inspector.kept[product], inspector.config.model, inspector.calibration[product]
    fresh = {group for group, part in zip(kept.groups, kept.shown, strict=False) if part < 0}
    images = list(kept.held)
    own = kept.held_patches(model.prompt_patches, model.tiling.tiles)
    return calibrate(
        inspector,
        images,
        product=product,
        groups=kept.groups,
        copied=former.copied,
        compared=kept.compared,
        fresh=fresh if len(fresh) == len(former.fresh) else (),  # all of them stayed, or they are too few
        raws=maps_without(inspector, images, product, own),
    )[0]


@dataclass(frozen=True)
class _Without:
    """An engine that may not find some patches."""

    engine: TorchEngine
    excluded: NDArray[np.bool_]

    def run(self, images: NDArray[np.uint8], product: int | None = None) -> EngineMaps:
        """See `Engine.run`."""
        return self.engine.run(images, product, self.excluded)

    def save(self, folder: Path, backbone: BackboneConfig) -> None:
        """See `Engine.save`."""
        self.engine.save(folder, backbone)
