"""Pseudo-anomalous versions of the training images, made where the network computes if they can be."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish.synthesis.on_device import PseudoAnomaliesOnDevice
from blemish.synthesis.pseudo import PseudoAnomalies
from blemish.training.store import Store
from blemish.transfer import sent


class AnomalyMaker:
    """Makes pseudo-anomalies of given images.

    Args:
        pixels: uint8 N×S×S×3, the training images.
        synthesis: what to make; on a GPU the same kinds are made there unless some of them can only be made here.
        device: where the results belong.
        store: where the images live.
    """

    def __init__(
        self, pixels: NDArray[np.uint8], synthesis: PseudoAnomalies, device: torch.device, store: Store
    ) -> None:
        self._pixels, self._synthesis, self._device = pixels, synthesis, device
        self._there = PseudoAnomaliesOnDevice.of(synthesis, device) if device.type == "cuda" else None
        if self._there is not None:
            self._images = store.tensor(pixels.shape, torch.uint8)
            self._images.copy_(torch.from_numpy(np.ascontiguousarray(pixels)))
            # what is made is looked at on the way; in a queue of its own that waits for no training step
            self._queue = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._queue.wait_stream(torch.cuda.current_stream(device))

    @property
    def images(self) -> int:
        """N."""
        return len(self._pixels)

    @property
    def size(self) -> int:
        """S."""
        return self._synthesis.size

    def make(self, rows: NDArray[np.int64], keys: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """One pseudo-anomaly in each image `rows`; the same key and image give the same one in any batch.

        Returns:
            uint8 B×S×S×3 and uint8 B×S×S, 1 where defective, on the device.
        """
        if self._there is not None:
            following = torch.cuda.current_stream(self._device)
            with torch.cuda.stream(self._queue):
                images = self._images[sent(rows, self._images.device)].to(self._device)
                anomalous, found = self._there.make(images, keys.tolist())
                masks = found.to(torch.uint8)
            following.wait_stream(self._queue)
            for made in (anomalous, masks):
                made.record_stream(following)
            return anomalous, masks
        here, where = self._synthesis.make(self._pixels[rows], keys.tolist())
        return torch.from_numpy(here).to(self._device), torch.from_numpy(where.astype(np.uint8)).to(self._device)
