"""How often label suggestions were right, over time, and whether more labels help."""

from collections.abc import Iterable
from itertools import accumulate

from studio.schema.labeling import Fact, Point, Trust

WINDOW = 50
"""Suggestions in the share of right ones."""
MAX_POINTS = 60
RISE = 0.04
"""A share that rises by less than this over a window has leveled off."""


def trust(facts: Iterable[Fact]) -> Trust:
    """Return how often the suggestion on the screen was the value that the person gave, over time.

    Suggestions that were accepted at once, without a look, do not count.
    """
    seen = (fact for fact in facts if fact.suggested is not None and fact.sure is not None)
    right = [fact.suggested == fact.value for fact in seen if fact.what == "given"]
    if not right:
        return Trust()
    total, sums = len(right), [0, *accumulate(right)]

    def window(end: int) -> tuple[int, int]:
        """Return the number of right suggestions of the last ones up to `end`, and how many those are."""
        size = min(WINDOW, end)
        return sums[end] - sums[end - size], size

    step = -(-total // MAX_POINTS)
    ends = sorted({*range(min(5, total), total + 1, step), total})
    last_right, last = window(total)
    before = window(total - WINDOW) if total >= 2 * WINDOW else None
    return Trust(
        shown=total,
        right=sums[-1],
        last=last,
        last_right=last_right,
        points=tuple(Point(labelled=end, share=window(end)[0] / window(end)[1]) for end in ends),
        sentence=_advice(last_right / last, before[0] / before[1] if before else None, last),
    )


def _advice(share: float, before: float | None, last: int) -> str:
    if before is None:
        enough = 2 * WINDOW
        return "" if last < 10 else f"After {enough} suggestions the studio can tell whether they still improve."
    if share - before >= RISE:
        return "Suggestions still improve, so more labels help."
    if share >= 0.9:
        return "Suggestions are nearly always right and no longer improve. You can stop labeling and train."
    return "Suggestions no longer improve, so more labels help little. Train, or check labels that are often confused."
