"""Protocols: how the images of a test set become inspections.

`honest`: every image on its own, as on the line. `paper`: the maps are fused as the release of OneNIP fuses them, with
a scale that is taken from the whole test set, so that an image's score depends on the other test images.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from blemish.calibration import FusionWeights
from blemish.errors import BlemishError
from blemish.inspection import Failure, Inspection
from blemish.inspector import Inspector, RawMaps

ProtocolName = Literal["honest", "paper"]
Results = Iterator[Inspection | Failure]
Tick = Callable[[], None]


def honest(inspector: Inspector, images: Sequence[Path], tick: Tick) -> Results:
    """One result for each image, in order; `tick` is called as soon as the network has seen it."""
    for result in inspector.inspect_many(images):
        tick()
        yield result


def paper(inspector: Inspector, images: Sequence[Path], tick: Tick) -> Results:
    """As `honest`, with the release's transductive fusion (OneNIP §3.4 and its release).

    Final map = 0.5 · S_rec + 0.5 · s · S_ref, where s = (max + min) / 2 of S_rec over the whole test set. Score and map
    are those of this fusion. The verdict, its p-value and its mask stay the model's own: the release has none, and
    the stored thresholds are of the stored fusion.

    Raises:
        BlemishError: there is no room for the maps, which lie in a temporary file meanwhile.
    """
    low, high = np.inf, -np.inf
    with _Spool() as spool:
        seen: list[RawMaps | Failure] = []
        for raw in inspector.raw_maps(images):
            tick()
            if isinstance(raw, RawMaps):
                low, high = min(low, float(raw.reconstruction.min())), max(high, float(raw.reconstruction.max()))
                seen.append(spool.put(raw))
            else:
                seen.append(raw)
        fusion = FusionWeights(reconstruction=0.5, refiner=0.5 * (high + low) / 2) if low <= high else FusionWeights()
        for raw in spool.each(seen):
            yield raw if isinstance(raw, Failure) else _transductive(inspector, raw, fusion)


PROTOCOLS: dict[str, Callable[[Inspector, Sequence[Path], Tick], Results]] = {"honest": honest, "paper": paper}


def _transductive(inspector: Inspector, raw: RawMaps, fusion: FusionWeights) -> Inspection:
    fused = inspector.judge(raw, fusion=fusion)
    return replace(inspector.judge(raw), score=fused.score, anomaly_map=fused.anomaly_map)


class _Spool:
    """Maps that wait in a temporary file, to be read back in the order in which they came."""

    def __enter__(self) -> _Spool:
        self._file = tempfile.TemporaryFile()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, raw: RawMaps) -> RawMaps:
        """Store the maps; what comes back is the same image with blank ones, which take no memory."""
        reconstruction = self._write(raw.reconstruction)
        refiner = None if raw.refiner is None else self._write(raw.refiner)
        return replace(raw, reconstruction=reconstruction, refiner=refiner)

    def each(self, seen: Sequence[RawMaps | Failure]) -> Iterator[RawMaps | Failure]:
        """The same images with their maps again."""
        self._file.seek(0)
        for raw in seen:
            if isinstance(raw, RawMaps):
                reconstruction = self._read(raw.reconstruction)
                refiner = None if raw.refiner is None else self._read(raw.refiner)
                yield replace(raw, reconstruction=reconstruction, refiner=refiner)
            else:
                yield raw

    def _write(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            self._file.write(np.ascontiguousarray(pixels, dtype=np.float32).data)
            self._file.flush()
        except OSError as error:
            raise BlemishError(
                f"The maps of the test set do not fit into {tempfile.gettempdir()}: {error.strerror or error}.",
                "Free some space there, or set TMPDIR to a larger place.",
            ) from error
        return np.broadcast_to(np.float32(0), pixels.shape)

    def _read(self, blank: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.frombuffer(self._file.read(4 * blank.size), dtype=np.float32).reshape(blank.shape)
