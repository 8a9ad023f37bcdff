"""How sure a number is: percentile bootstrap over rows, with a fixed seed.

Rows are drawn again with replacement; of two models the same rows are drawn for both, so that what the rows have in
common falls out of the difference. Resamples of few rows lie too near each other (they vary as n - 1 in n do, and by
the normal curve in place of Student's t), so the ends are taken as much further out: Hesterberg's expanded percentiles.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

Observations = Mapping[str, Any]
Compute = Callable[[Observations], float]
RESAMPLES = 1000
SHARE = 0.95
"""How often an interval should hold the true number."""
FEWEST = 6
"""Rows below which there is no interval: of five, all can lie on one side by chance once in sixteen times."""


@dataclass(frozen=True)
class Interval:
    """The ends within which the true number lies in 95 of 100 cases."""

    low: float
    high: float


def interval(compute: Compute, observed: Observations, seed: int = 0, resamples: int = RESAMPLES) -> Interval | None:
    """Of a number computed from rows; None for too few rows."""
    drawn = _draws(_rows(observed), seed, resamples)
    return _ends([compute(_take(observed, rows)) for rows in drawn], _rows(observed))


def paired_difference(
    compute: Compute, base: Observations, tuned: Observations, seed: int = 0, resamples: int = RESAMPLES
) -> Interval | None:
    """Of the tuned model's number less the base's, on the same rows; None for too few rows.

    Where both part on fewer rows than an interval needs, it holds zero: chance can put those on one side.
    """
    if _rows(base) != _rows(tuned):
        raise ValueError("both must have seen the same rows")
    drawn = _draws(_rows(base), seed, resamples)
    found = _ends([compute(_take(tuned, rows)) - compute(_take(base, rows)) for rows in drawn], _rows(base))
    if found is None or _parted(base, tuned) >= FEWEST:
        return found
    return Interval(min(found.low, 0.0), max(found.high, 0.0))


def _parted(base: Observations, tuned: Observations) -> int:
    """Rows of which both say different things."""
    import numpy as np

    apart = np.zeros(_rows(base), dtype=bool)
    for name in base.keys() & tuned.keys():
        apart |= (np.asarray(base[name]) != np.asarray(tuned[name])).reshape(len(apart), -1).any(1)
    return int(apart.sum())


def _draws(rows: int, seed: int, resamples: int) -> list[Any]:
    import numpy as np

    if rows < FEWEST:
        return []
    random = np.random.default_rng(seed)
    return [random.integers(0, rows, rows) for _ in range(resamples)]


def _ends(numbers: list[float], rows: int) -> Interval | None:
    import numpy as np

    if not numbers:
        return None
    outside = _outside(rows)
    low, high = np.quantile(numbers, [outside, 1 - outside])
    return Interval(float(low), float(high))


@cache
def _outside(rows: int) -> float:
    """The share of resampled numbers that is left out at each end."""
    from scipy.stats import norm, t

    return float(norm.cdf(math.sqrt(rows / (rows - 1)) * t.ppf((1 - SHARE) / 2, rows - 1)))


def _take(observed: Observations, rows: Any) -> Observations:
    return {name: values[rows] for name, values in observed.items()}


def _rows(observed: Observations) -> int:
    return len(next(iter(observed.values())))
