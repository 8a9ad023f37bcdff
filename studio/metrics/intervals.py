"""How sure a number is: percentile bootstrap over rows, with a fixed seed.

Rows are drawn again with replacement; of two models the same rows are drawn for both, so that what the rows have in
common falls out of the difference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Observations = Mapping[str, Any]
Compute = Callable[[Observations], float]
RESAMPLES = 1000
SHARE = 0.95
"""Of the resampled numbers lie within the interval."""
FEWEST = 6
"""Rows below which there is no interval: of five, all can lie on one side by chance once in sixteen times."""


@dataclass(frozen=True)
class Interval:
    """The ends within which 95 of 100 resampled numbers lie."""

    low: float
    high: float


def interval(compute: Compute, observed: Observations, seed: int = 0, resamples: int = RESAMPLES) -> Interval | None:
    """Of a number computed from rows; None for too few rows."""
    drawn = _draws(_rows(observed), seed, resamples)
    return _ends([compute(_take(observed, rows)) for rows in drawn])


def paired_difference(
    compute: Compute, base: Observations, tuned: Observations, seed: int = 0, resamples: int = RESAMPLES
) -> Interval | None:
    """Of the tuned model's number less the base's, on the same rows; None for too few rows."""
    if _rows(base) != _rows(tuned):
        raise ValueError("both must have seen the same rows")
    drawn = _draws(_rows(base), seed, resamples)
    return _ends([compute(_take(tuned, rows)) - compute(_take(base, rows)) for rows in drawn])


def _draws(rows: int, seed: int, resamples: int) -> list[Any]:
    import numpy as np

    if rows < FEWEST:
        return []
    random = np.random.default_rng(seed)
    return [random.integers(0, rows, rows) for _ in range(resamples)]


def _ends(numbers: list[float]) -> Interval | None:
    import numpy as np

    if not numbers:
        return None
    low, high = np.quantile(numbers, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return Interval(float(low), float(high))


def _take(observed: Observations, rows: Any) -> Observations:
    return {name: values[rows] for name, values in observed.items()}


def _rows(observed: Observations) -> int:
    return len(next(iter(observed.values())))
