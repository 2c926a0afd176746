"""Devices, seeds and progress of a training, whatever it trains."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from blemish.errors import ConfigError, MissingExtraError
from blemish.inspection import Failure
from blemish.training.loop import TrainProgress

_log = logging.getLogger(__name__)
Report = Callable[[TrainProgress], None]
LeftOut = Callable[[Failure], None]


def launch(precision: str, devices: str) -> Any:
    """Lightning Fabric on `devices`: `auto` (one, a GPU when there is one) or how many.

    Raises:
        ConfigError: no such devices.
        MissingExtraError: it is not installed.
    """
    try:
        from lightning_fabric import Fabric
    except ModuleNotFoundError:
        raise MissingExtraError("lightning-fabric", "train", "Training") from None
    if devices != "auto" and not (devices.isdecimal() and int(devices)):
        raise ConfigError(f"There are no '{devices}' devices.", "Say auto, or how many, such as 2.")
    count = 1 if devices == "auto" else int(devices)
    strategy = "ddp" if count > 1 else "auto"
    fabric = Fabric(accelerator="auto", devices=count, strategy=strategy, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    return fabric


@contextmanager
def one_seed(seed: int) -> Iterator[None]:
    """Weights are drawn from the seed, and the caller's random state comes back afterwards."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


def counter(total: int, report: Report, stage: str) -> Callable[[int], None]:
    """Reports images that a stage is ready with; call it with how many more."""
    started, done = time.monotonic(), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        left = (time.monotonic() - started) / done * (total - done)
        report(TrainProgress(stage, done, total, left))

    return advance


def silent(_: TrainProgress) -> None:
    """Reports nothing."""


def warn_left_out(failure: Failure) -> None:
    """Logs what could not be read."""
    _log.warning("left out of training and calibration: %s", failure.error)
