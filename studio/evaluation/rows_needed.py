"""How many more test rows would settle an open comparison."""

import math
from typing import Protocol

from studio.metrics.intervals import FEWEST

DIFFERENCE = 0.05
"""The smallest difference between two shares that matters."""
MOST_NEEDED = 20_000
"""More rows than this are not proposed."""


class Gain(Protocol):
    """What has an interval of a gain."""

    @property
    def gain_low(self) -> float | None: ...
    @property
    def gain_high(self) -> float | None: ...


def rows_to_settle(gain: float, ends: Gain, rows: int, smallest: float | None) -> int | None:
    """Return about how many more rows would show whether a gain is real. 0: its interval has no gain that matters.

    The half-width h of an interval shrinks with the root of the number of rows n. So for a half-width d, n (h / d)²
    rows are needed: Cochran (1977), Sampling Techniques, 3rd edition, section 4.4. d is the gain that was measured, or
    the `smallest` one that matters. h is the distance from the gain to the end of its interval beyond zero. An interval
    that is narrow enough for that can still end beyond `smallest`. Then d is the distance from the gain to `smallest`
    or to zero, whichever is larger: the interval leaves out the one or the other, if the gain stays the same.
    Six rows (`FEWEST`) on which both differ are needed too: fewer are on one side by chance. None: no interval, or more
    rows than anybody would label.
    """
    if ends.gain_low is None or ends.gain_high is None:
        return None
    difference = max(abs(gain), smallest or 0)
    if not difference:
        return None
    widths = (gain - ends.gain_low, ends.gain_high - gain)
    width = max(widths) if abs(gain) < (smallest or 0) else widths[0] if gain > 0 else widths[1]
    needed = rows * (width / difference) ** 2
    if smallest:
        needed = max(needed, FEWEST / difference)
    more = needed - rows
    if more <= 0 and smallest and abs(gain) < smallest:
        if _is_small(ends, smallest):
            return 0
        more = rows * (width / max(abs(gain), smallest - abs(gain))) ** 2 - rows
    if more <= 0:
        return 10
    return 10 * math.ceil(more / 10) if more <= MOST_NEEDED else None


def _is_small(ends: Gain, smallest: float) -> bool:
    """Return whether the whole interval is too close to zero to matter."""
    return max(abs(ends.gain_low or 0), abs(ends.gain_high or 0)) <= smallest


def _is_wide(gain: float, ends: Gain, smallest: float) -> bool:
    """Return whether the interval is too wide to show a gain that matters."""
    return max(gain - (ends.gain_low or 0), (ends.gain_high or 0) - gain) > smallest


def settle(gain: float, ends: Gain, rows: int, smallest: float | None = DIFFERENCE) -> tuple[str, int | None]:
    """Return what would settle an open comparison, as a sentence and as a number of rows."""
    more = rows_to_settle(gain, ends, rows, smallest)
    if more is None:
        return "", None
    points = DIFFERENCE * 100
    if not more:
        return f"A difference of more than {points:.0f} percentage points is unlikely.", None
    if smallest and abs(gain) < smallest and (_is_small(ends, smallest) or _is_wide(gain, ends, smallest)):
        return (
            f"About {more:,} more labeled test rows would show a difference of {points:.0f} percentage points.",
            more,
        )
    return f"About {more:,} more labeled test rows would settle it, if the difference stays the same.", more
