"""Counted rates with their confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blemish.errors import MissingExtraError


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a binomial proportion (Clopper and Pearson, Biometrika 1934).

    Args:
        k: successes, 0 ≤ k ≤ n.
        n: trials, ≥ 1.
        confidence: coverage, in (0, 1).

    Returns:
        low and high ends, 0 ≤ low ≤ k/n ≤ high ≤ 1.

    Raises:
        ValueError: arguments outside these ranges.
        MissingExtraError: SciPy is not installed.
    """
    if not 0 <= k <= n or n < 1:
        raise ValueError(f"expected 0 ≤ k ≤ n and n ≥ 1, not k = {k}, n = {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    try:
        from scipy.stats import beta
    except ImportError as error:
        raise MissingExtraError("scipy", "train", "A confidence interval") from error

    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(1 - tail, k + 1, n - k))
    return low, high


@dataclass(frozen=True)
class Rate:
    """`count` out of `total` (≥ 1) with the ends of its 95 % Clopper-Pearson interval, in [0, 1]."""

    count: int
    total: int
    low: float
    high: float

    @classmethod
    def of(cls, outcomes: Sequence[bool]) -> Rate | None:
        """The rate of true outcomes with its interval; None when there are none."""
        count, total = sum(outcomes), len(outcomes)
        return cls(count, total, *clopper_pearson(count, total)) if total else None

    @property
    def value(self) -> float:
        return self.count / self.total

    @property
    def complement(self) -> int:
        """How many of the total were not counted."""
        return self.total - self.count
