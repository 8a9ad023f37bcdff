"""A report as HTML: scorecard, confusion matrix, scores by label, and selected rows. Pure functions."""

from collections.abc import Callable
from typing import Any

from studio.schema.numbers import share
from studio.schema.report import Baseline, JudgedRow, Metric, Report, confused_pairs, confusion_sentence
from studio.ui.components.basic import check_input, tag
from studio.ui.components.layout import panel, scroll_table
from studio.ui.components.markup import Html, Verbatim, attrs, html

NEIGHBORS = "Similar rows · nearest neighbors"
"""Title of what reports of older versions name the base model."""
SENTENCES = {
    "test": "Test rows were not used in training or to choose the checkpoint.",
    "test+validation": "These rows were not used in training or to choose the checkpoint.",
    "file": "Rows of the file: they should not be among the training rows.",
    "folds": "Each row was tested by a model that was not trained on it.",
}
CHOSE = "Validation rows were not used in training, but they chose the checkpoint."
DID_NOT_CHOOSE = "Validation rows were not used in training or to choose the checkpoint."
GUESSES = ("neighbors", "sentence")
"""Baselines that answer each row by its content."""
MOST_LABELS = 100
"""Labels of the largest matrix. Of more, those with the most mistakes are shown."""
MOST_PAIRS = 5
"""Confusions that are listed in words."""
MUCH = 0.1
"""A larger share of a label's rows is marked."""


def about_rows(report: Report) -> str:
    """What the rows were used for."""
    if report.split == "validation":
        return CHOSE if report.chose_checkpoint or not report.outcome else DID_NOT_CHOOSE
    return SENTENCES.get(report.split, "")


def without_base(report: Report) -> bool:
    """Whether the base model can't do the task. Reports of older versions name the neighbors' scores as its own."""
    return bool(report.baselines) or report.per_label is not None or "pearson" in report.metrics


def guess_of(report: Report) -> Baseline | None:
    """The baseline that the fine-tuned model is charted with: one that reads the rows, if there is one."""
    named = [each for each in report.baselines if each.name in GUESSES]
    return next(iter([*named, *report.baselines]), None)


def other_title(report: Report) -> str:
    """What the fine-tuned model is compared with: the base model, or a baseline under its own name."""
    guess = guess_of(report)
    return guess.title if guess else NEIGHBORS if without_base(report) else "Base model"


def scorecard(report: Report, name: str, key: str = "score") -> Html:
    """All metrics of the fine-tuned model and of what it is compared with, with intervals and the gain.

    `key`: id of its title.
    """
    other = other_title(report)
    legend = html(
        '<div class="legend right small"><span>{rows}</span><span><i class="sq b"></i>{other}</span><span><i '
        'class="sq"></i>fine-tuned model · {name}</span><span>95% confidence interval</span></div>',
        rows=report.measured_on,
        other=other,
        name=Verbatim(name),
    )
    guess = guess_of(report)
    more = [each for each in report.baselines if each is not guess]
    heads = html(
        '<th>Metric</th>{more}<th class="num">{other}</th><th class="num">Fine-tuned model</th><th class="hide-s">'
        '<span class="sr">Chart</span></th><th class="num">Gain</th>',
        more=[html('<th class="num hide-s">{title}</th>', title=each.title) for each in more],
        other=other,
    )
    rows = [_metric(key, _against(metric, guess, key), more) for key, metric in report.metrics.items()]
    body = html(
        "{table}{baselines}",
        table=scroll_table("Scorecard", heads, rows, "score"),
        baselines=_baselines(report.baselines),
    )
    return panel("Scorecard", key, body, legend)


def _against(metric: Metric, guess: Baseline | None, key: str) -> Metric:
    """The metric with a baseline in the place of the base model."""
    values = guess and guess.metrics.get(key)
    if not values:
        return metric
    fields = {"base": values.value, "base_low": values.low, "base_high": values.high}
    return metric.model_copy(update={**fields, "gain_low": values.gain_low, "gain_high": values.gain_high})


def _baselines(baselines: tuple[Baseline, ...]) -> Html | str:
    """How each baseline answers."""
    if not baselines:
        return ""
    lines = [
        html(
            "<li><b>{title}:</b>{answer} <span>{detail}</span></li>",
            title=each.title,
            answer=each.answer and html(" {answer}.", answer=Verbatim(each.answer)),
            detail=each.detail,
        )
        for each in baselines
    ]
    words = "The base model itself can't do this task. These are what a useful model must beat:"
    return html(
        '<div class="body small muted baselines"><p>{words}</p><ul>{lines}</ul></div>', words=words, lines=lines
    )


def _metric(key: str, metric: Metric, more: list[Baseline]) -> Html:
    share = as_share(metric)
    others = [
        html(
            '<td class="num hide-s"><span class="muted">{value}</span></td>',
            value=value(each.metrics[key].value, share) if key in each.metrics else "–",
        )
        for each in more
    ]
    return html(
        '<tr><th scope="row"><span class="t">{title}</span><small>{unit}</small></th>{others}<td class="num"><span '
        'class="muted">{base}</span>{base_range}</td><td class="num"><b>{tuned}</b>{range}</td><td class="plot hide-s">'
        '{plot}</td><td class="num">{gain}</td></tr>',
        title=metric.title or key.replace("_", " "),
        unit=("percent" if share else "lower is better" if not metric.higher_is_better else ""),
        others=others,
        base=value(metric.base, share) if metric.base is not None else "–",
        base_range=_range(metric.base_low, metric.base_high, lambda number: value(number, share)),
        tuned=value(metric.tuned, share),
        range=_range(metric.low, metric.high, lambda number: value(number, share)),
        plot=_plot(metric) if share else "",
        gain=_gain(metric, share),
    )


def _gain(metric: Metric, share: bool) -> Html | str:
    """The gain with its interval. `no difference` when both scores and the interval are equal, as they are shown."""
    if metric.base is None:
        return ""
    gain = metric.tuned - metric.base
    if not any(signed(each or 0.0, share).strip("+−0.") for each in (gain, metric.gain_low, metric.gain_high)):
        return html('<span class="muted">{words}</span>', words="no difference")
    return html(
        '<b class="{kind}">{gain}</b>{range}',
        kind="accent" if _is_better(metric) else "",
        gain=signed(gain, share),
        range=_range(metric.gain_low, metric.gain_high, lambda number: signed(number, share), " to "),
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


def as_share(metric: Metric) -> bool:
    """Whether a metric is shown as a percentage."""
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
        '<svg class="chart" viewBox="0 0 320 28" aria-hidden="true">'
        '<path class="axis" d="M4 14H316M4 10V18M160 10V18M316 10V18"/>{marks}</svg>',
        marks=marks,
    )


def _whisker(line: str, low: float | None, high: float | None) -> list[Html]:
    if low is None or high is None:
        return []
    path = '<path class="{line}" d="M{a:.1f} 14H{b:.1f}M{a:.1f} 10V18M{b:.1f} 10V18"/>'
    return [html(path, line=line, a=_x(low), b=_x(high))]


def _x(share: float) -> float:
    return 4 + 312 * min(1.0, max(0.0, share))


def matrix(report: Report, linked: bool = False) -> Html:
    """Expected label against the label of the fine-tuned model, the labels with the most mistakes first.

    `linked`: a mistake is a button that shows its rows, where the report has them.
    """
    return _Matrix(report, linked).panel()


class _Matrix:
    """A confusion matrix to draw."""

    def __init__(self, report: Report, linked: bool) -> None:
        self.counts, self.rows = report.confusion or {}, report.measured_on
        self.pairs = confused_pairs(self.counts)
        self.numbers = {label: number for number, label in enumerate(self.counts)}
        self.errors = dict.fromkeys(self.counts, 0)
        for label, other, times in self.pairs:
            self.errors[label] += times
            self.errors[other] += times
        self.labels = sorted(self.counts, key=lambda label: -self.errors[label])[:MOST_LABELS]
        self.known = {(row.expected, row.tuned) for row in report.confused_rows} if linked else set()
        """Pairs with rows to show."""

    def panel(self) -> Html:
        """The matrix, the switch for mistakes only, and the most frequent confusions in words."""
        columns = [
            html('<th scope="col"{c}>{l}</th>', c=self._clean(label), l=Verbatim(label)) for label in self.labels
        ]
        heads = html("<th><small>true label</small></th>{c}", c=columns)
        wrong, total = sum(times for *_, times in self.pairs), sum(sum(row.values()) for row in self.counts.values())
        only = check_input("only-mistakes", "Show mistakes only", False) if self.pairs else ""
        shown, labels = len(self.labels), len(self.counts)
        return html(
            '<section class="panel stack mid mixes" aria-labelledby="mixes"><div class="row wrap"><h2 id="mixes">'
            'Mixed-up labels</h2><small class="right"><span>confusion matrix</span> · <span>{rows}</span></small></div>'
            '{only}{table}<p class="muted small">Columns: predicted labels. <span>{wrong}</span>{left_out}</p>{pairs}'
            "</section>",
            rows=self.rows,
            only=only,
            table=scroll_table("Confusion matrix", heads, [self._row(label) for label in self.labels], "cm"),
            wrong=f"{wrong:,} of {total:,} predictions are wrong.",
            left_out=f" These are the {shown:,} labels with the most mistakes of {labels:,}." if shown < labels else "",
            pairs=self._in_words(),
        )

    def _clean(self, label: str) -> Html:
        """Marks a label without mistakes, which is hidden when only mistakes are shown."""
        return attrs(class_=None if self.errors[label] else "clean")

    def _row(self, label: str) -> Html:
        whole = sum(self.counts[label].values())
        return html(
            '<tr{clean}><th scope="row">{l} <small>{n}</small></th>{cells}</tr>',
            clean=self._clean(label),
            l=Verbatim(label),
            n=whole,
            cells=[self._cell(label, other, whole) for other in self.labels],
        )

    def _cell(self, label: str, other: str, whole: int) -> Html:
        """Rows of a label that the model gave another label, or the same. `whole`: all rows of the label."""
        count = self.counts[label].get(other, 0)
        share = count / whole if whole else 0.0
        kind = "" if not count else "hit" if label == other else "miss much" if share > MUCH else "miss"
        words: Html | str = html("<b>{n}</b><small>{p:.0f}%</small>", n=count, p=share * 100) if count else ""
        if (label, other) in self.known:
            words = self._button(label, other, words)
        classes = " ".join(filter(None, (kind, "" if self.errors[other] else "clean")))
        return html('<td class="{classes}">{words}</td>', classes=classes, words=words)

    def _button(self, label: str, other: str, words: Any) -> Html:
        return html(
            '<button type="button" data-act="which" data-value="{value}" aria-label="{title}">{words}</button>',
            value=f"mix-{self.numbers[label]}-{self.numbers[other]}",
            title=f"Show rows of “{label}” that are taken for “{other}”",
            words=words,
        )

    def _in_words(self) -> Html:
        """The most frequent confusions, each with a button to its rows."""
        if not self.pairs:
            return html('<p class="muted">{w}</p>', w="No label was mixed up.")
        lines = []
        for label, other, times in self.pairs[:MOST_PAIRS]:
            words = confusion_sentence(label, other, times)
            show = html('<span class="link">{w}</span>', w="Show rows")
            more = self._button(label, other, show) if (label, other) in self.known else ""
            lines.append(html("<li><span>{words}</span> {more}</li>", words=words, more=more))
        return html('<ul class="pairs">{lines}</ul>', lines=lines)


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


def row_table(rows: tuple[JudgedRow, ...], labels: bool, other: str = "Base model", scored: bool = False) -> Html:
    """Rows with the expected value and the replies of both models. `other`: what the first reply is from.

    `scored`: the scores are the fine-tuned model's probabilities of the expected labels, which are shown.

    On a small screen each row is a block, and each reply has its head beside it.
    """
    if not rows:
        return html('<p class="muted body">No rows to show.</p>')
    words = tag if labels else (lambda text, kind="": html('<span class="cell-text" translate="no">{t}</span>', t=text))
    made = [
        html(
            '<tr><td class=num>{n}</td><td><span class="cell-text" translate="no">{text}</span></td><td><span '
            'class="only-s cell-head">Expected</span>{e}</td><td><span class="only-s cell-head">{other}</span>{b}</td>'
            '<td><span class="only-s cell-head">Fine-tuned model</span>{t}</td></tr>',
            other=other,
            n=row.row,
            text=row.text,
            e=html("{e}{p}", e=words(Verbatim(row.expected)), p=scored and _probability(row.score)),
            b=words(Verbatim(row.guess or row.base)) if row.guess or row.base or not labels else "–",
            t=words(Verbatim(row.tuned), "error" if labels and row.tuned != row.expected else "acc"),
        )
        for row in rows
    ]
    heads = html(
        '<th class="num">Row</th><th>Text</th><th>Expected</th><th>{other}</th><th>Fine-tuned model</th>', other=other
    )
    return scroll_table("Rows", heads, made, "judged")


def _probability(score: float) -> Html:
    return html(' <small class="muted nowrap">{p}</small>', p=f"probability {share(score)}")


def row_source(report: Report) -> str:
    """What the first reply of the report's rows is from."""
    named = next((each.title for each in report.baselines if each.name in GUESSES), None)
    return named or (NEIGHBORS if without_base(report) else "Base model")
