"""The one source of randomness: a generator that depends on (seed, stream, step) and on nothing else."""

from __future__ import annotations

from zlib import crc32

import numpy as np


def generator(seed: int, stream: str, step: int = 0) -> np.random.Generator:
    """Independent generator for one draw.

    Args:
        seed: the run's seed, ≥ 0.
        stream: name of what is drawn; different names give independent numbers.
        step: number of the draw within the stream, ≥ 0.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, crc32(stream.encode()), step])))
