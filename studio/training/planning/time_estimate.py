"""The time of a planned run as a range: from earlier runs on this machine, and from what other programs use now."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from studio.schema.models import Estimate
from studio.schema.numbers import plural
from studio.training.planning.estimate import START_SECONDS

SPREAD = 0.6
"""How far runs are from their estimate where nothing is known: root mean square of ln(actual / estimated)
(docs/background/memory-and-speed.md)."""
SPREAD_WEIGHT = 4
"""Number of runs for which `SPREAD` counts beside the earlier runs of a machine."""
NINE_OF_TEN = 1.645
"""Standard deviations on each side that hold nine of ten values of a normal distribution."""
BUSY = 0.9
"""Below this share of its cores, the plan tells that other programs slow down the run."""


@dataclass(frozen=True)
class Experience:
    """What this machine tells about the time of a run before it starts."""

    tokens_per_second: float | None = None
    """Speed of earlier runs of the same kind, when all cores are free. None: there was none."""
    runs: int = 0
    """Number of these runs."""
    ratios: tuple[float, ...] = ()
    """Actual time / estimated time of the last runs of any kind."""
    free_share: float = 1.0
    """Share of its cores that the run would get now."""


def with_range(cost: Estimate, seconds: float, known: Experience) -> Estimate:
    """The estimate with its time as a range.

    Args:
        cost: the estimate.
        seconds: the time when all cores are free. A time that was measured with real steps holds for the load of then.
        known: what is known of this machine.
    """
    share = 1.0 if cost.probed else known.free_share
    expected, factor = seconds / share, math.exp(NINE_OF_TEN * spread(known.ratios))
    # A run that was prepared before Start has no start to wait for, and other programs may end.
    low = max(0.0, min(seconds, expected / factor) - START_SECONDS)
    return cost.model_copy(
        update={
            "seconds": round(expected, 1),
            "low_seconds": round(low, 1),
            "high_seconds": round(expected * factor, 1),
            "time_because": tuple(_reasons(cost.probed, share, known)),
        }
    )


def spread(ratios: Sequence[float]) -> float:
    """How far runs of this machine are from their estimates, as the root mean square of ln(actual / estimated)."""
    squares = sum(math.log(ratio) ** 2 for ratio in ratios)
    return math.sqrt((SPREAD_WEIGHT * SPREAD**2 + squares) / (SPREAD_WEIGHT + len(ratios)))


def _reasons(probed: bool, share: float, known: Experience) -> list[str]:
    """What the time is based on, a sentence each."""
    base = "Time: from a formula, because no run of this model, method and task was trained on this machine yet."
    if probed:
        base = "Time: measured with a few real steps."
    elif known.runs:
        base = plural(
            known.runs,
            "Time: from the speed of {n} earlier run of this model, method and task on this machine.",
            "Time: from the speed of {n} earlier runs of this model, method and task on this machine.",
        )
    reasons = [base]
    if share < BUSY:
        reasons.append(f"Other programs are busy on this machine now. The run would get about {share:.0%} of the CPU.")
    if known.ratios:
        reasons.append(
            plural(
                len(known.ratios),
                "Nine of ten runs should take a time in this range, judged by the last run of any kind here.",
                "Nine of ten runs should take a time in this range, judged by the last {n} runs of any kind here.",
            )
        )
    else:
        reasons.append("Nine of ten runs should take a time in this range.")
    return reasons
