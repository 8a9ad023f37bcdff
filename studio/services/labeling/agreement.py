"""How well it goes: how far people agree on rows that both saw, and how often suggestions were right."""

from collections.abc import Iterable
from itertools import combinations

from studio.metrics.agreement import in_words, kappa, prepare
from studio.schema.labeling import Agreement, Fact, Point, Trust
from studio.services.labeling.progress import LabelingProgress

WINDOW = 50
"""Key presses over which the share of right suggestions is taken."""
MOST_POINTS = 60
LEVEL = 0.04
"""A share that rose by less than this over a window has levelled off."""
MOST_DIFFER = 100


def agreements(board: LabelingProgress) -> tuple[Agreement, ...]:
    """Every two people who saw the same rows, those with most rows first."""
    given = {name: board.given_by(name) for name in board.labellers()}
    if len(given) > 1:
        prepare()
    found = []
    for first, second in combinations(sorted(given), 2):
        rows = sorted(given[first].keys() & given[second].keys())
        if rows:
            mine, theirs = [given[first][row] for row in rows], [given[second][row] for row in rows]
            same = sum(one == other for one, other in zip(mine, theirs, strict=True))
            score = kappa(mine, theirs)
            differ = tuple(row for row in rows if given[first][row] != given[second][row])
            found.append(
                Agreement(
                    first=first,
                    second=second,
                    rows=len(rows),
                    same=same,
                    kappa=score,
                    sentence=in_words(len(rows), same, score),
                    differ=differ[:MOST_DIFFER],
                )
            )
    return tuple(sorted(found, key=lambda each: -each.rows))


def trust(facts: Iterable[Fact]) -> Trust:
    """The curve of how often the suggestion on the screen was what the person then said."""
    right = [fact.suggested == fact.value for fact in facts if fact.suggested is not None and fact.what == "given"]
    if not right:
        return Trust()
    sums = [0]
    for each in right:
        sums.append(sums[-1] + each)

    def upto(count: int) -> tuple[int, int]:
        last = min(WINDOW, count)
        return sums[count] - sums[count - last], last

    step = max(1, -(-len(right) // MOST_POINTS))
    places = sorted({*range(min(5, len(right)), len(right) + 1, step), len(right)})
    points = tuple(Point(labelled=place, share=upto(place)[0] / upto(place)[1]) for place in places)
    last_right, last = upto(len(right))
    before = upto(len(right) - WINDOW) if len(right) >= 2 * WINDOW else None
    return Trust(
        shown=len(right),
        right=sums[-1],
        last=last,
        last_right=last_right,
        points=points,
        sentence=_advice(last_right / last, before[0] / before[1] if before else None, last),
    )


def _advice(now: float, before: float | None, last: int) -> str:
    if before is None:
        return "" if last < 10 else f"After {2 * WINDOW} suggestions you will see whether they still get better."
    if now - before >= LEVEL:
        return "Suggestions still get better: more labels help."
    if now >= 0.9:
        return "Suggestions are right nearly always and no longer get better: you can stop, and train."
    return "Suggestions no longer get better. More labels will help little; train, or look at what is mixed up."
