"""Lengths of rows: a histogram with the maximum length as a slider, and the longest rows."""

import json

from studio.schema.preview import LengthStats
from studio.ui.components.basic import button, facts, tag
from studio.ui.components.layout import panel
from studio.ui.components.markup import Html, attrs, html

LISTED = 8
"""Number of rows in the list of the longest."""
LEAST = 16
"""The smallest maximum length."""


def lengths_panel(stats: LengthStats, this: int | None, by_hand: bool) -> Html:
    """The histogram, the rows that are truncated, and the slider."""
    raised = max(LEAST, -(-stats.longest // 32) * 32)
    lengths = [("Median", stats.middle), ("Longest", stats.longest), ("This row", this)]
    return html(
        '<section class="panel stack mid" aria-labelledby="len"><div class="row"><h2 id="len">Lengths of {n:,} rows'
        '</h2><small class="right" translate="no">max_length</small></div>{chart}<p class="small" data-said '
        'aria-live="polite">{said}</p><div class="row gap">{raise_}{planned}</div>{facts}{sampled}</section>',
        n=stats.rows,
        chart=histogram(stats, this),
        said=limit_sentence(stats),
        raise_=bool(stats.over and raised <= stats.most) and button(f"Raise to {raised:,}", "limit", "s", value=raised),
        planned=by_hand
        and button("Use the default", "limit", "s quiet", value=0, aria_label="Use the default maximum length"),
        facts=facts([(name, f"{tokens:,} tokens") for name, tokens in lengths if tokens is not None]),
        sampled=stats.sampled and html('<p class="muted small">Counted on a sample of the rows.</p>'),
    )


def limit_sentence(stats: LengthStats) -> str:
    """The effect of the maximum length. The script updates it while the slider moves."""
    cut = {0: "no row is truncated", 1: "1 row is truncated"}.get(stats.over, f"{stats.over:,} rows are truncated")
    return f"At {stats.limit:,} tokens {cut}. The model never sees the truncated part."


def histogram(stats: LengthStats, this: int | None) -> Html:
    """Bars of rows by length, the bar of this row in color, and the limit as a slider."""
    last = stats.bins[-1][0]
    cut = "no row is truncated" if not stats.over else f"{stats.over:,} truncated"
    handle = attrs(
        class_="limit",
        role="slider",
        tabindex=0,
        aria_label="Maximum length in tokens",
        aria_valuemin=LEAST,
        aria_valuemax=stats.most,
        aria_valuenow=stats.limit,
        aria_valuetext=f"{stats.limit:,} tokens, {cut}",
        style=f"left:{100 * min(1.0, stats.limit / last):.2f}%",
    )
    data = attrs(
        data_lengths=json.dumps(stats.by_length), data_last=last, data_most=stats.most, data_longest=stats.longest
    )
    return html(
        '<div class="lengths"{data}><svg class="chart" viewBox="0 0 320 124" role="img"{label}>{bars}<line '
        'class="axis" x1="0" x2="320" y1="100.5" y2="100.5"/><text x="0" y="118">0</text><text x="320" y="118" '
        'text-anchor="end">{last:,} tokens</text></svg><div{handle}><span{side}>max <b>{limit:,}</b></span></div>'
        "</div>",
        data=data,
        label=attrs(
            aria_label=f"Rows by length: the median is {stats.middle} tokens, {stats.over} rows are longer than "
            f"{stats.limit}"
        ),
        bars=_bars(stats, this),
        last=last,
        handle=handle,
        side=attrs(class_="left" if stats.limit > last / 2 else None),
        limit=stats.limit,
    )


def _bars(stats: LengthStats, this: int | None) -> list[Html]:
    most, step = max(count for _, count in stats.bins) or 1, 320 / len(stats.bins)
    bars, low = [], 0
    for number, (high, count) in enumerate(stats.bins):
        tall = max(1.5 if count else 0, 84 * count / most)
        mine = this is not None and low < this <= high
        bars.append(
            html(
                '<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="1" class="{c}"/>',
                x=number * step + 1.5,
                y=100 - tall,
                w=max(1.0, step - 3),
                h=tall,
                c="filla" if mine else "fills",
            )
        )
        low = high
    return bars


def longest_panel(stats: LengthStats, row: int) -> Html:
    """The longest rows, each with a button that shows it."""
    rows = [
        html(
            '<li><span class="grow">Row {n:,}</span>{tag}<span class="num">{tokens:,} tokens</span>{show}</li>',
            n=number,
            tag=tokens > stats.limit and tag("truncated", "warn"),
            tokens=tokens,
            show=tag("shown")
            if number == row
            else button("Show", "row", "s quiet", value=number, aria_label=f"Show row {number}"),
        )
        for number, tokens in stats.longest_rows[:LISTED]
    ]
    return panel("The longest rows", "longest", html('<ul class="list">{rows}</ul>', rows=rows))
