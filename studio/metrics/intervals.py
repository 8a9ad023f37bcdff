"""Confidence intervals: percentile bootstrap over rows, with a fixed seed.

Rows are resampled with replacement. To compare two models, both use the same samples, so that variation between rows
cancels out. Percentiles of few rows are too narrow (variance n - 1 instead of n, normal instead of Student's t), so the
interval is widened accordingly: Hesterberg's expanded percentiles.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from studio.metrics.sample_size import share_interval

Observations = Mapping[str, Any]
Compute = Callable[[Observations], float]
RESAMPLES = 1000
SHARE = 0.95
"""Confidence level of an interval."""
FEWEST = 6
"""With fewer rows there is no interval. Of five rows, all are on one side by chance once in sixteen times."""


@dataclass(frozen=True)
class Interval:
    """The ends of a 95% confidence interval."""

    low: float
    high: float


def resampled(compute: Compute, observed: Observations, seed: int = 0, resamples: int = RESAMPLES) -> list[float]:
    """Return a metric of each sample. The samples depend on the number of rows and the seed alone.

    Empty for too few rows.
    """
    return [compute(_take(observed, rows)) for rows in _draws(observed, seed, resamples)]


def interval(compute: Compute, observed: Observations, seed: int = 0, resamples: int = RESAMPLES) -> Interval | None:
    """Return the interval of a metric over rows, or None for too few rows."""
    return interval_of(resampled(compute, observed, seed, resamples), observed)


def interval_of(values: list[float], observed: Observations, is_share: bool = True) -> Interval | None:
    """Return the interval of a metric that was resampled, or None for too few rows.

    Where every sample of a share is 0 or every sample 1, as when all rows are right, resampling shows no spread,
    although few rows leave much open. Then it is the interval of a share (Wilson). Other metrics are no share: the
    correlation of a constant answer is 0, and not up to 0.1.
    """
    rows = rows_in(observed)
    if is_share and values and values[0] in (0.0, 1.0) and min(values) == max(values):
        return Interval(*share_interval(values[0], rows))
    return _percentiles(values, rows)


def paired_difference(
    compute: Compute, base: Observations, tuned: Observations, seed: int = 0, resamples: int = RESAMPLES
) -> Interval | None:
    """Return the interval of the fine-tuned model's metric minus the base model's, on the same rows.

    None for too few rows. If both differ on fewer rows than an interval needs, it contains zero, because chance can put
    those on one side. Raise `ValueError` for different numbers of rows.
    """
    if rows_in(base) != rows_in(tuned):
        raise ValueError("both models must have the same rows")
    values = [resampled(compute, each, seed, resamples) for each in (base, tuned)]
    return difference_of(values[0], values[1], base, tuned)


def difference_of(
    base_values: list[float], tuned_values: list[float], base: Observations, tuned: Observations
) -> Interval | None:
    """Return the interval of the difference of a metric that was resampled for both models, on the same samples."""
    differences = [after - before for before, after in zip(base_values, tuned_values, strict=True)]
    difference = _percentiles(differences, rows_in(base))
    if difference is None or _differing_rows(base, tuned) >= FEWEST:
        return difference
    return Interval(min(difference.low, 0.0), max(difference.high, 0.0))


def _differing_rows(base: Observations, tuned: Observations) -> int:
    """Return the number of rows with different observations."""
    import numpy as np

    differs = np.zeros(rows_in(base), dtype=bool)
    for name in base.keys() & tuned.keys():
        differs |= (np.asarray(base[name]) != np.asarray(tuned[name])).reshape(len(differs), -1).any(1)
    return int(differs.sum())


def _draws(observed: Observations, seed: int, resamples: int) -> list[Any]:
    import numpy as np

    rows = rows_in(observed)
    if rows < FEWEST:
        return []
    random = np.random.default_rng(seed)
    return [random.integers(0, rows, rows) for _ in range(resamples)]


def _percentiles(numbers: list[float], rows: int) -> Interval | None:
    import numpy as np

    if not numbers:
        return None
    outside = _tail(rows)
    low, high = np.quantile(numbers, [outside, 1 - outside])
    return Interval(float(low), float(high))


@cache
def _tail(rows: int) -> float:
    """Return the fraction of resampled values outside the interval at each end."""
    from scipy.stats import norm, t

    return float(norm.cdf(math.sqrt(rows / (rows - 1)) * t.ppf((1 - SHARE) / 2, rows - 1)))


def _take(observed: Observations, rows: Any) -> Observations:
    return {name: values[rows] for name, values in observed.items()}


def rows_in(observed: Observations) -> int:
    """Return the number of rows."""
    return len(next(iter(observed.values())))
