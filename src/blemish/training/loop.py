"""The optimisation loop, on Lightning Fabric: devices, precision, data-parallel processes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from blemish.errors import TrainingError
from blemish.procedural.seeding import generator
from blemish.training.checkpoint import RunFolder

if TYPE_CHECKING:
    from lightning_fabric import Fabric

WARM_UP = 50
LOG_EVERY = 10
_LOG_EVERY_ON_GPU = 50  # its queue runs dry each time
_FINAL_SHARE = 0.02
_EPOCH = 5
_MAX_TORCH_SEED = 2**63 - 1


@dataclass(frozen=True)
class TrainProgress:
    """Where a training is.

    Attributes:
        stage: `features`, `prompts`, `pseudo-anomalies`, `training` or `calibration`.
        done, total: images or steps.
        seconds_left: None while it cannot be told.
        losses: means over the last steps.
    """

    stage: str
    done: int
    total: int
    seconds_left: float | None = None
    losses: dict[str, float] = field(default_factory=dict)


class Source(Protocol):
    """Gives batches that depend on the step alone."""

    def prepare(self, step: int) -> None:
        """Get ready for batches from `step` on."""
        ...

    def batch(self, step: int) -> tuple[Any, np.random.Generator]:
        """The batch of a step, and the generator for all draws within it."""
        ...


class OptimiserConfig(Protocol):
    """What the loop needs to know, of `TrainConfig` and `TeachConfig` alike."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def clip(self) -> float: ...
    @property
    def schedule(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def checkpoint_minutes(self) -> float: ...


def learning_rate(config: OptimiserConfig, step: int, steps: int) -> float:
    """Of a step, counted from 0; see `TrainConfig.schedule`. `polynomial` is UniADC's: (1 − t)^0.9, by epochs of 5."""
    if config.schedule == "polynomial":
        return float(config.learning_rate * (1 - step // _EPOCH * _EPOCH / steps) ** 0.9)
    if config.schedule == "step":
        return config.learning_rate * (1.0 if step < 0.8 * steps else 0.1)
    warm = min(1.0, (step + 1) / WARM_UP)
    share = _FINAL_SHARE + (1 - _FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * step / steps))
    return config.learning_rate * warm * share


def optimise(
    fabric: Fabric,
    step_module: nn.Module,
    source: Source,
    config: OptimiserConfig,
    steps: int,
    run: RunFolder | None,
    report: Callable[[TrainProgress], None],
) -> None:
    """Train until `steps`, from the run's checkpoint if it has one.

    Args:
        fabric: launched.
        step_module: called with a batch and a generator, gives a dictionary of losses with `total`.
        source: of the batches.
        config: optimiser, schedule, seed.
        steps: in all.
        run: where checkpoints and the loss curve go; None keeps nothing.
        report: called every few steps.

    Raises:
        TrainingError: a loss or a gradient is not finite; the last checkpoint stays.
    """
    parameters = [parameter for parameter in step_module.parameters() if parameter.requires_grad]
    if not parameters:  # a bank of normal patches is all of the model
        return
    optimizer = torch.optim.AdamW(
        parameters,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=fabric.device.type == "cuda",
    )
    first = 0 if run is None else run.restore(step_module, optimizer)
    source.prepare(first)
    module, optimizer = fabric.setup(step_module, optimizer)
    module.train()
    recent = _Recent()
    every = _LOG_EVERY_ON_GPU if fabric.device.type == "cuda" else LOG_EVERY
    started = saved = time.monotonic()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step, steps)
        batch, rng = source.batch(step)
        torch.manual_seed(int(generator(config.seed, "dropout", step).integers(_MAX_TORCH_SEED)))
        losses: dict[str, Tensor] = module(batch, rng)
        fabric.backward(losses["total"])
        norm = fabric.clip_gradients(module, optimizer, max_norm=config.clip, error_if_nonfinite=False)
        assert norm is not None
        recent.add(step, losses, norm)
        optimizer.step()
        optimizer.zero_grad()

        done = step + 1
        due = time.monotonic() - saved > 60 * config.checkpoint_minutes
        if done % every == 0 or done == steps:
            means = recent.means()
            if run is not None and fabric.is_global_zero:
                run.log(done, means)
            left = (time.monotonic() - started) / (done - first) * (steps - done)
            report(TrainProgress("training", done, steps, left, means))
        if run is not None and fabric.is_global_zero and (due or done == steps):
            recent.check()
            run.save(done, step_module, optimizer)
            saved = time.monotonic()


class _Recent:
    """Losses and gradient norms since the last report. A GPU is waited for only when they are read."""

    def __init__(self) -> None:
        self._first = 0
        self._losses: dict[str, list[Tensor]] = {}
        self._norms: list[Tensor] = []

    def add(self, step: int, losses: dict[str, Tensor], norm: Tensor) -> None:
        """Remember a step; nothing is read yet."""
        if not self._norms:
            self._first = step
        for name, loss in losses.items():
            self._losses.setdefault(name, []).append(loss.detach())
        self._norms.append(norm)

    def check(self) -> None:
        """Raises TrainingError where a loss or a gradient was not finite; names the first such step."""
        if not self._norms:
            return
        both = torch.stack([torch.stack(self._losses["total"]), torch.stack(self._norms)], dim=1).tolist()
        for number, (loss, norm) in enumerate(both):
            for what, value in (("loss", loss), ("gradient", norm)):
                if not math.isfinite(value):
                    raise _not_finite(what, value, self._first + number)

    def means(self) -> dict[str, float]:
        """Means of the losses; the next step begins anew. Raises as `check`."""
        self.check()
        means = {name: float(torch.stack(values).mean()) for name, values in self._losses.items()}
        self._losses.clear()
        self._norms.clear()
        return means


def _not_finite(what: str, value: float, step: int) -> TrainingError:
    return TrainingError(
        f"The {what} is {value} at step {step}.",
        "The last checkpoint is intact. Lower the learning rate, or train with --precision 32-true.",
    )
