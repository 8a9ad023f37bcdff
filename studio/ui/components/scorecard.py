"""A report as HTML: scorecard, confusion matrix, scores by label, and selected rows. Pure functions."""

from collections.abc import Callable

from studio.schema.report import JudgedRow, Metric, Report
from studio.ui.components.basic import tag
from studio.ui.components.layout import panel, scroll_table
from studio.ui.markup import Html, Verbatim, html

SENTENCES = {
    "test": "held-out test rows, not used in training or to choose the checkpoint",
    "validation": "validation rows, not used in training, but used to choose the checkpoint",
    "file": "rows of the file",
}

AGAINST_BASE = ("reward_accuracy", "reward_margin", "reward_gap")
"""Metrics that are relative to the base model, which has no value."""


def scorecard(report: Report, name: str) -> Html:
    """All metrics of base and fine-tuned model, with the interval and the gain."""
    legend = html(
        '<div class="legend right small"><span><i class="sq b"></i>base model</span><span><i class="sq"></i>fine-tuned '
        "model · {name}</span><span>95% confidence interval</span></div>",
        name=Verbatim(name),
    )
    heads = Html(
        '<th>Metric</th><th class="num">Base model</th><th class="num">Fine-tuned model</th><th class="hide-s"><span '
        'class="sr">Chart</span></th><th class="num">Gain</th>'
    )
    rows = [_metric(key, metric) for key, metric in report.metrics.items()]
    return panel("Scorecard", "score", scroll_table("Scorecard", heads, rows, "score"), legend)


def _metric(key: str, metric: Metric) -> Html:
    share = _as_share(metric)
    gain = "" if metric.base is None else signed(metric.tuned - metric.base, share)
    return html(
        '<tr><th scope="row"><span class="t">{title}</span><small>{unit}</small></th><td class="num"><span '
        'class="muted">{base}</span>{base_range}</td><td class="num"><b>{tuned}</b>{range}</td><td class="plot hide-s">'
        '{plot}</td><td class="num"><b class="{kind}">{gain}</b>{gain_range}</td></tr>',
        title=metric.title or key.replace("_", " "),
        unit=("percent" if share else "lower is better" if not metric.higher_is_better else ""),
        base=value(metric.base, share) if metric.base is not None else "–" if key in AGAINST_BASE else "no classifier",
        base_range=_range(metric.base_low, metric.base_high, lambda number: value(number, share)),
        tuned=value(metric.tuned, share),
        range=_range(metric.low, metric.high, lambda number: value(number, share)),
        plot=_plot(metric) if share else "",
        kind="accent" if _is_better(metric) else "",
        gain=gain,
        gain_range=_range(metric.gain_low, metric.gain_high, lambda number: signed(number, share), " to "),
    )


def _is_better(metric: Metric) -> bool:
    """Whether the interval of the gain excludes zero."""
    if metric.gain_low is None or metric.gain_high is None:
        return False
    return metric.gain_low > 0 if metric.higher_is_better else metric.gain_high < 0


def _range(low: float | None, high: float | None, words: Callable[[float], str], between: str = "–") -> Html:
    if low is None or high is None:
        return Html("")
    return html("<small>{low}{between}{high}</small>", low=words(low), between=between, high=words(high))


def _as_share(metric: Metric) -> bool:
    if metric.as_share is not None:
        return metric.as_share
    return metric.higher_is_better and all(0 <= number <= 1 for number in (metric.tuned, metric.base or 0))


def value(number: float, share: bool) -> str:
    """A score as text: a percentage with one decimal place, else three digits."""
    return f"{number * 100:.1f}" if share else f"{number:.3g}"


def signed(number: float, share: bool) -> str:
    """A difference with its sign."""
    return f"{number * 100:+.1f}".replace("-", "−") if share else f"{number:+.3g}".replace("-", "−")


def _plot(metric: Metric) -> Html:
    """Both models as dots, the fine-tuned one with its interval, from 0 to 100%."""
    marks = [*_whisker("before", metric.base_low, metric.base_high), *_whisker("after", metric.low, metric.high)]
    if metric.base is not None:
        marks.append(html('<circle class="pt0" cx="{x:.1f}" cy="14" r="4.5"/>', x=_x(metric.base)))
    marks.append(html('<circle class="pt" cx="{x:.1f}" cy="14" r="4.5"/>', x=_x(metric.tuned)))
    return html(
        '<svg class="chart" viewBox="0 0 320 28" aria-hidden="true"><path class="grid" d="M4 14H316"/>{marks}</svg>',
        marks=marks,
    )


def _whisker(line: str, low: float | None, high: float | None) -> list[Html]:
    if low is None or high is None:
        return []
    path = '<path class="{line}" d="M{a:.1f} 14H{b:.1f}M{a:.1f} 10V18M{b:.1f} 10V18"/>'
    return [html(path, line=line, a=_x(low), b=_x(high))]


def _x(share: float) -> float:
    return 4 + 312 * min(1.0, max(0.0, share))


def matrix(confusion: dict[str, dict[str, int]]) -> Html:
    """Expected label against the label of the fine-tuned model."""
    labels = list(confusion)
    if len(labels) > 12:
        return _mixups(confusion)
    columns = [html('<th scope="col">{l}</th>', l=Verbatim(label)) for label in labels]
    heads = html("<th><small>true label</small></th>{c}", c=columns)
    rows = [_matrix_row(label, confusion[label], labels) for label in labels]
    return html(
        '<section class="panel stack mid" aria-labelledby="mixes"><div class="row"><h2 id="mixes">Mixed-up labels</h2>'
        '<small class="right">confusion matrix</small></div>{table}<p class="muted small">Columns: predicted '
        "labels. {mistakes} of {all} predictions are wrong.</p></section>",
        table=scroll_table("Confusion matrix", heads, rows, "cm"),
        mistakes=sum(n for label, row in confusion.items() for other, n in row.items() if other != label),
        all=sum(sum(row.values()) for row in confusion.values()),
    )


def _matrix_row(label: str, row: dict[str, int], labels: list[str]) -> Html:
    whole = sum(row.values())

    def cell(other: str) -> Html:
        part = row.get(other, 0) / whole if whole else 0.0
        shade = "m3" if part > 0.5 else "m2" if part > 0.1 else "m1" if part > 0.03 else ""
        return html(
            '<td class="{s}"><b>{n}</b><small>{p:.0f}%</small></td>', s=shade, n=row.get(other, 0), p=part * 100
        )

    return html(
        '<tr><th scope="row">{l} <small>{n}</small></th>{c}</tr>',
        l=Verbatim(label),
        n=whole,
        c=[cell(other) for other in labels],
    )


def _mixups(confusion: dict[str, dict[str, int]]) -> Html:
    """The most frequent confusions, for many labels."""
    taken = ((n, label, other) for label, row in confusion.items() for other, n in row.items())
    pairs = sorted((each for each in taken if each[0] and each[1] != each[2]), reverse=True)[:8]
    one = "<li><span class=grow>{words}</span><b>{n}</b></li>"
    rows = [html(one, words=f"{name} predicted as {label}", n=n) for n, name, label in pairs] or Html(
        '<li class="muted">No label was mixed up.</li>'
    )
    return panel("Mixed-up labels", "mixes", html('<ul class="list">{rows}</ul>', rows=rows))


def per_label(scores: dict[str, dict[str, float]]) -> Html:
    """Precision, recall and F1 of each label."""
    rows = [
        html(
            '<tr><th scope="row">{l}</th><td class="num">{p:.0f}%</td><td class="num">{r:.0f}%</td>'
            '<td class="num">{f:.0f}%</td><td class="num">{n:.0f}</td></tr>',
            l=Verbatim(label),
            p=100 * each["precision"],
            r=100 * each["recall"],
            f=100 * each["f1"],
            n=each["rows"],
        )
        for label, each in scores.items()
    ]
    heads = Html(
        '<th>Label</th><th class="num">Precision<small class="d">correct predictions</small></th><th class="num">'
        'Recall<small class="d">rows found</small></th><th class="num">F1</th><th class="num">Rows</th>'
    )
    return panel("Each label", "labels", scroll_table("Each label", heads, rows, "labels-table"))


def row_table(rows: tuple[JudgedRow, ...], labels: bool) -> Html:
    """Rows with the expected value and the replies of both models."""
    if not rows:
        return html('<p class="muted body">No rows to show.</p>')
    words = tag if labels else (lambda text, kind="": html('<span class="cell-text" translate="no">{t}</span>', t=text))
    made = [
        html(
            '<tr><td class=num>{n}</td><td><span class="cell-text" translate="no">{text}</span></td><td>{e}</td>'
            "<td>{b}</td><td>{t}</td></tr>",
            n=row.row,
            text=row.text,
            e=words(Verbatim(row.expected)),
            b=words(Verbatim(row.base)),
            t=words(Verbatim(row.tuned), "error" if labels and row.tuned != row.expected else "acc"),
        )
        for row in rows
    ]
    heads = Html('<th class="num">Row</th><th>Text</th><th>Expected</th><th>Base model</th><th>Fine-tuned model</th>')
    return scroll_table("Rows", heads, made, "judged")
