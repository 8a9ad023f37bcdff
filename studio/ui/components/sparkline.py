"""A small curve, as SVG without a script."""

import math
from collections.abc import Sequence

from studio.ui.components.markup import Html, html

WIDTH, HEIGHT, EDGE = 88, 24, 3


def spark(points: Sequence[tuple[int, float]], best: int | None, chosen: bool = False) -> Html:
    """The validations of a run as a small line. The best one is a dot."""
    drawn = [(step, loss) for step, loss in points if math.isfinite(loss)]
    if not drawn:
        return Html("")
    low, high = min(loss for _, loss in drawn), max(loss for _, loss in drawn)
    first, last = drawn[0][0], drawn[-1][0]

    def place(step: int, loss: float) -> tuple[float, float]:
        across = (step - first) / (last - first) if last > first else 0.5
        up = (loss - low) / (high - low) if high > low else 0.5
        return EDGE + across * (WIDTH - 2 * EDGE), HEIGHT - EDGE - up * (HEIGHT - 2 * EDGE)

    places = [place(*point) for point in drawn]
    dots = [place(step, loss) for step, loss in drawn if step == best]
    return html(
        '<svg class="chart spark" viewBox="0 0 {w} {h}" aria-hidden="true"><polyline class="{line}" '
        'points="{points}"/>{dots}</svg>',
        w=WIDTH,
        h=HEIGHT,
        line="after" if chosen else "before",
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places),
        dots=[
            html('<circle class="{c}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>', c="pt" if chosen else "pt0", x=x, y=y)
            for x, y in dots
        ],
    )
