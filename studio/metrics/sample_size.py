"""What a share that was measured on few rows can show, and how many rows a useful answer needs."""

import math

Z = 1.959964
"""Quantile of the normal distribution for a 95% interval."""


def share_interval(share: float, rows: int) -> tuple[float, float]:
    """Return the 95% interval of a share that was measured on independent rows (Wilson, 1927)."""
    if rows <= 0:
        return 0.0, 1.0
    center = (share + Z * Z / (2 * rows)) / (1 + Z * Z / rows)
    half = Z * math.sqrt(share * (1 - share) / rows + Z * Z / (4 * rows * rows)) / (1 + Z * Z / rows)
    return max(0.0, center - half), min(1.0, center + half)


def rows_for_margin(share: float, margin: float) -> int:
    """Return the fewest rows with which half of the interval's width is at most `margin`."""
    rows = 1
    while True:
        low, high = share_interval(share, rows)
        if (high - low) / 2 <= margin:
            return rows
        rows += 1
