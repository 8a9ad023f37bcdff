"""A learning curve: the score by number of rows, each with its spread."""

from math import log2

from studio.schema.label_quality import CurvePoint, LearningCurve
from studio.ui.components.markup import Html, attrs, html

WIDE, TALL, LEFT, TOP = 320, 120, 34, 8
"""Size of the drawing, and its margins for text on the left and above."""


def curve_chart(curve: LearningCurve) -> Html:
    """The chart. Sizes double from point to point, so the points have equal distances."""
    floor = max(0.0, min(point.low for point in curve.points) - 0.05)
    first, last = log2(curve.points[0].rows), log2(curve.points[-1].rows)

    def x(point: CurvePoint) -> float:
        return LEFT + (WIDE - LEFT - 12) * ((log2(point.rows) - first) / (last - first) if last > first else 1.0)

    def y(score: float) -> float:
        return TOP + (TALL - TOP - 24) * (1 - (score - floor) / max(1e-6, 1 - floor))

    points_text = ", ".join(f"{point.rows:,} rows {100 * point.score:.0f}%" for point in curve.points)
    return html(
        '<svg class="chart" viewBox="0 0 {w} {t}"{label}>{grid}{spread}<polyline class="after" points="{line}"/>{dots}'
        "{words}</svg>",
        w=WIDE,
        t=TALL,
        label=attrs(role="img", aria_label=f"Accuracy by number of rows: {points_text}"),
        grid=[
            html(
                '<line class="grid" x1="{l}" x2="{w}" y1="{y:.1f}" y2="{y:.1f}"/><text x="0" y="{ty:.1f}">{p:.0f}%'
                "</text>",
                l=LEFT,
                w=WIDE,
                y=y(score),
                ty=y(score) + 4,
                p=100 * score,
            )
            for score in (floor, (1 + floor) / 2, 1.0)
        ],
        spread=[
            html(
                '<line class="before" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>',
                x=x(point),
                low=y(point.low),
                high=y(point.high),
            )
            for point in curve.points
        ],
        line=" ".join(f"{x(point):.1f},{y(point.score):.1f}" for point in curve.points),
        dots=[
            html('<circle class="pt" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>', x=x(point), y=y(point.score))
            for point in curve.points
        ],
        words=[
            html(
                '<text x="{x:.1f}" y="{t}" text-anchor="{a}">{n:,}{unit}</text>',
                x=x(point),
                t=TALL - 2,
                a="end" if point is curve.points[-1] else "middle",
                n=point.rows,
                unit=" rows" if point is curve.points[-1] else "",
            )
            for point in curve.points[-1::-2]
        ],
    )
