"""What several evaluations of one kind agree on: mean and standard deviation of every metric over their seeds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from blemish.errors import DataError
from blemish.evaluation.scorecard import METRICS, ProductScore, Scorecard
from blemish.files import write_json

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Estimate:
    """One metric over several runs.

    Attributes:
        values: one for each run, in order; None where it is undefined.
    """

    values: tuple[float | None, ...]

    @property
    def known(self) -> list[float]:
        return [value for value in self.values if value is not None]

    @property
    def mean(self) -> float | None:
        """Of the runs that have it; None when none has."""
        return fmean(self.known) if self.known else None

    @property
    def sd(self) -> float | None:
        """The sample standard deviation (n − 1); None for fewer than two runs."""
        return stdev(self.known) if len(self.known) > 1 else None

    def __str__(self) -> str:
        """In percent, such as "86.8 ± 2.1"; a dash when it is undefined."""
        if self.mean is None:
            return "–"
        spread = f" ± {100 * self.sd:.1f}" if self.sd is not None else ""
        return f"{100 * self.mean:.1f}{spread}"


@dataclass(frozen=True)
class Spread:
    """Every metric of `METRICS` over several scorecards.

    Attributes:
        runs: how many scorecards.
        protocol: that of all of them.
        products: product → metric → its values.
        mean: metric → its means over the products, one for each run: the spread of what a scorecard calls its mean.
        meta: what is needed to repeat it, JSON values.
    """

    runs: int
    protocol: str
    products: dict[str, dict[str, Estimate]]
    mean: dict[str, Estimate]
    meta: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, cards: Sequence[Scorecard], meta: Mapping[str, Any] | None = None) -> Spread:
        """Join scorecards that differ in their seed alone.

        A product that some of them lack has no value in those runs.

        Raises:
            DataError: there are none, or they are of several protocols.
        """
        protocols = sorted({card.protocol for card in cards})
        if len(protocols) != 1:
            found = f"of the protocols {', '.join(protocols)}" if protocols else "none"
            raise DataError(f"There is no spread of these scorecards: {found}.", "Evaluate each seed the same way.")
        by_run = [{score.product: score for score in card.products} for card in cards]
        names = sorted({name for scores in by_run for name in scores})
        products = {
            name: {metric: Estimate(tuple(_value(scores.get(name), metric) for scores in by_run)) for metric in METRICS}
            for name in names
        }
        mean = {metric: Estimate(tuple(card.mean(metric) for card in cards)) for metric in METRICS}
        return cls(len(cards), protocols[0], products, mean, dict(meta or {}))

    def shown(self, metrics: Iterable[str] = METRICS) -> list[str]:
        """Those of the metrics that have a value at all."""
        estimates = [self.mean, *self.products.values()]
        return [metric for metric in metrics if any(of[metric].known for of in estimates)]

    def rows(self, metrics: Sequence[str]) -> list[tuple[str, list[Estimate]]]:
        """Product and estimates; with several products the last row is their mean."""
        rows = [(name, [of[metric] for metric in metrics]) for name, of in self.products.items()]
        return [*rows, ("mean", [self.mean[metric] for metric in metrics])] if len(rows) > 1 else rows

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; mean and standard deviation are written for other readers."""
        return {
            "schema_version": SCHEMA_VERSION,
            "runs": self.runs,
            "protocol": self.protocol,
            "meta": self.meta,
            "mean": _dict(self.mean),
            "products": {name: _dict(of) for name, of in self.products.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Spread:
        """The inverse of `to_dict`.

        Raises:
            DataError: written by a later version of Blemish, or not a spread.
        """
        try:
            if data["schema_version"] > SCHEMA_VERSION:
                raise DataError("The spread was written by a later version of Blemish.", "Upgrade Blemish.")
            products = {name: _estimates(of) for name, of in data["products"].items()}
            return cls(data["runs"], data["protocol"], products, _estimates(data["mean"]), dict(data["meta"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"This is not a spread of scorecards ({error!r}).") from error

    def save(self, path: str | Path) -> None:
        """Write JSON, atomically. Raises BlemishError when the file cannot be written."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Spread:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, not JSON, or as for `from_dict`.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, DataError) as error:
            raise DataError(f"Cannot read the spread '{path}': {error}", "Check the path.") from error


def _value(score: ProductScore | None, metric: str) -> float | None:
    value = None if score is None else getattr(score, metric)
    return value if value is None or math.isfinite(value) else None


def _dict(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {metric: {"mean": one.mean, "sd": one.sd, "values": list(one.values)} for metric, one in estimates.items()}


def _estimates(data: Mapping[str, Any]) -> dict[str, Estimate]:
    return {metric: Estimate(tuple(one["values"])) for metric, one in data.items()}
