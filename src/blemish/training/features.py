"""Features that are computed once: of the clean training images, and of a pool of pseudo-anomalous ones.

Every batch that goes through the backbone is a fixed chunk of slots, so that a slot's features do not depend on when
they are computed: a resumed run finds the same numbers as an unbroken one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish.data.decode import IntensityRange
from blemish.errors import ImageError
from blemish.inspection import Failure
from blemish.models.prompted import PromptedNetwork
from blemish.tiling import Tiling
from blemish.training.anomalies import AnomalyMaker
from blemish.training.images import TrainingImage
from blemish.training.neighbours import Neighbours
from blemish.training.runtime import Report, counter
from blemish.training.store import Store

CHUNK = 16
_CHUNK_ON_GPU = 128
_BITS = 8
Advance = Callable[[int], None]


def load_pixels(
    images: Sequence[TrainingImage], tiling: Tiling, ranges: dict[str, IntensityRange | None], seed: int, store: Store
) -> tuple[NDArray[np.uint8], tuple[TrainingImage, ...], list[Failure]]:
    """Squash all images that can be read, and cut them into tiles.

    Returns:
        uint8 N×S×S×3, all tiles of one image after those of another; the image that each shows; and the files that
        were left out.
    """
    size = tiling.size
    pixels: NDArray[np.uint8] = store.array((len(images) * tiling.tiles, size, size, 3), np.uint8)
    kept: list[TrainingImage] = []
    failures: list[Failure] = []
    for image in images:
        try:
            tiles = tiling.cut(image.load(tiling.side, ranges[image.product], seed))
            pixels[len(kept) : len(kept) + len(tiles)] = tiles
            kept += [image] * len(tiles)
        except ImageError as error:
            failures.append(Failure(str(image.path), error))
    return pixels[: len(kept)], tuple(kept), failures


def chunks(count: int, device: torch.device) -> Iterator[slice]:
    """Fixed chunks of slots; larger ones on a GPU."""
    size = _CHUNK_ON_GPU if device.type == "cuda" else CHUNK
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def clean_features(network: PromptedNetwork, pixels: NDArray[np.uint8], store: Store, advance: Advance) -> Tensor:
    """Tokens of the images as the backbone gives them: float16 N×C×h×w."""
    grid, device = network.layout.grid, network.device
    features = store.tensor((len(pixels), network.layout.token_channels, grid, grid), torch.float16)
    for chunk in chunks(len(pixels), device):
        with torch.inference_mode():
            images = torch.from_numpy(np.ascontiguousarray(pixels[chunk])).to(device)
            features[chunk] = network.tokens(images).half()
        advance(chunk.stop - chunk.start)
    return features


class AnomalyPool:
    """`versions` pseudo-anomalous versions of every image, renewed chunk by chunk while training goes on.

    Slot v·N + i holds a version of image i. The content of a chunk depends on the seed and on how often the chunk has
    been renewed; before step t, ⌊t · chunks · refresh / steps⌋ renewals have happened, in turn.

    Args:
        network: for its backbone.
        maker: makes the pseudo-anomalies.
        versions: per image.
        refresh: how often the whole pool is renewed during the training.
        steps: of the training.
        store: where the features live.
        neighbours: finds the patches of which their prompts are composed; None without a prompt bank.
    """

    def __init__(
        self,
        network: PromptedNetwork,
        maker: AnomalyMaker,
        versions: int,
        refresh: float,
        steps: int,
        store: Store,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._network, self._maker, self._neighbours = network, maker, neighbours
        slots = versions * maker.images
        grid, size = network.layout.grid, maker.size
        self.features = store.tensor((slots, network.layout.token_channels, grid, grid), torch.float16)
        if neighbours is not None:
            self.neighbours = store.tensor((slots, network.layout.side**2), torch.int32)
        self._masks = store.tensor((slots, size, size // _BITS), torch.uint8)
        self._chunks = list(chunks(slots, network.device))
        self._rate = len(self._chunks) * refresh / steps
        self._renewals = 0

    def fill(self, step: int, report: Report) -> None:
        """Compute every chunk as it is before `step`."""
        advance = counter(len(self.features), report, "pseudo-anomalies")
        self._renewals = int(step * self._rate)
        for number, chunk in enumerate(self._chunks):
            self._make(number, self._round(number))
            advance(chunk.stop - chunk.start)

    def renew(self, step: int) -> None:
        """Do the renewals that are due before `step`."""
        while self._renewals < int(step * self._rate):
            number = self._renewals % len(self._chunks)
            self._renewals += 1
            self._make(number, self._round(number))

    def masks(self, slots: Tensor) -> Tensor:
        """uint8 B×S×S, 1 where defective."""
        bits = torch.arange(_BITS, dtype=torch.uint8, device=self._masks.device)
        return (self._masks[slots].unsqueeze(-1) >> bits & 1).flatten(2)

    def _round(self, number: int) -> int:
        return -(-(self._renewals - number) // len(self._chunks)) if self._renewals > number else 0

    @torch.inference_mode()
    def _make(self, number: int, renewal: int) -> None:
        chunk = self._chunks[number]
        slots = np.arange(chunk.start, chunk.stop)
        rows = slots % self._maker.images
        anomalous, masks = self._maker.make(rows, renewal * len(self.features) + slots)
        self.features[chunk] = self._network.tokens(anomalous).half()
        bits = 1 << torch.arange(_BITS, dtype=torch.uint8, device=masks.device)
        self._masks[chunk] = (masks.view(*masks.shape[:2], -1, _BITS) * bits).sum(dim=-1, dtype=torch.uint8)
        if self._neighbours is not None:
            tokens = standardised(self._network, self.features[chunk])
            self.neighbours[chunk] = self._neighbours.find(tokens, rows)


def standardised(network: PromptedNetwork, features: Tensor) -> Tensor:
    """Stored features B×C×h×w as the network takes them, on its device."""
    return network.standardised(features.to(network.device).float())
