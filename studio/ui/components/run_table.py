"""The table of runs: results, settings that differ, and actions."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from studio.schema.config import TrainingConfig, settings_of
from studio.schema.fields import about
from studio.schema.numbers import ago, duration, plain_value, runs, size
from studio.schema.numbers import rows as rows_words
from studio.schema.runs import ACTIVE, GOES_ON, RunRecord
from studio.training.planning.setting_scope import applies
from studio.ui.components.basic import button, check_input, final, heading, state, tag
from studio.ui.components.layout import look_again, scroll_table
from studio.ui.components.markup import Html, Verbatim, html, join
from studio.ui.components.sparkline import spark

STATES = {
    "queued": ("idle", "Waiting"),
    "paused": ("idle", "Paused"),
    "starting": ("run", "Starting"),
    "training": ("run", "Training"),
    "stopping": ("run", "Stopping"),
    "finished": ("ok", "Finished"),
    "stopped": ("ok", "Stopped"),
    "interrupted": ("error", "Interrupted"),
    "failed": ("error", "Failed"),
}
SHOWN = ("learning_rate", "lora_rank", "epochs")
"""Settings that are shown even when they are the same in all runs."""


NONE = Html(
    '<tr><td colspan="9" class="muted">No run matches. Use fewer words, or choose another dataset or tag.</td></tr>'
)
CORRELATIONS = ("pearson", "spearman")
"""Metrics between -1 and 1, which are not shown as percentages."""


@dataclass(frozen=True)
class Line:
    """One run, as the table shows it."""

    record: RunRecord
    config: TrainingConfig
    method: str
    dataset: str
    model: str
    """Title of the base model."""
    checks: tuple[tuple[int, float], ...]
    bytes: int
    validation_rows: int = 0
    """Validation rows behind its scores. 0: unknown."""
    waits: str = ""
    """What a queued run waits for, in a sentence."""
    ends: tuple[bool, bool] = (True, True)
    """Whether it is the first, and the last, in the queue."""
    chosen: bool = False
    """Whether it is ticked, for comparison and bulk actions."""
    more: Html | None = None
    """The content below it, when it is open."""


def table(lines: Sequence[Line], selected: str, renaming: str, side: Html | str = "", on: str = "") -> Html:
    """The table. The page polls it while a run is active. `on`: name of the dataset that all runs were trained on."""
    usual = usual_settings([each.config for each in lines])
    counted = f"{runs(len(lines))} on {name}" if (name := on) else runs(len(lines))
    heads = html(
        '<th><span class="sr">Selected</span></th><th>Run</th><th>State</th><th>Curve</th><th class="num">Best loss'
        '</th><th class="num">Score</th><th>Method and settings</th><th class="num">Time</th><th><span class="sr">'
        "Actions</span></th>"
    )
    rows = [_row(each, usual, each.record.id == selected, each.record.id == renaming) for each in lines] or NONE
    return html(
        '<div class="stack">{head}<section class="panel flush" aria-label="All runs">{table}</section><p class="small">'
        "Best loss is the lowest on a run's own validation rows. Compare it only between runs on the same data.</p>"
        "</div>{again}",
        head=heading("Runs", f"{counted}. Settings that differ are in bold.", side),
        table=scroll_table("Runs", heads, rows, "runs"),
        again=any(each.record.status in ACTIVE for each in lines) and look_again(4000),
    )


def _row(each: Line, usual: dict[str, object], selected: bool, renaming: bool) -> Html:
    measured = [check for check in each.checks if math.isfinite(check[1])]
    record, best = each.record, min(measured, key=lambda check: check[1], default=None)
    name = html("<b>{n}</b>", n=Verbatim(record.name))
    if renaming:
        name = html(
            '<input class="input" aria-label="New name" maxlength="120" data-act="rename" data-run="{run}" name="name" '
            'value="{name}" data-autofocus>',
            run=record.id,
            name=record.name,
        )
    loss = Html('<span class="muted">not yet</span>')
    if best:
        loss = html('{l:.2f}<small class="d">step {s}</small>', l=best[1], s=best[0])
    chosen = html('<span class="sr">{words}</span>', words=f"Select {record.name}")
    return html(
        '<tr data-key="{key}" class="{sel}"><td>{tick}</td><td>{name}<small class="d">{about}</small></td><td>{state}'
        '</td><td>{curve}</td><td class="num">{loss}</td><td class="num">{scores}</td><td class="settings-cell">'
        '{method}<small class="d">{settings}</small></td><td class="num">{time}</td><td class="num">{acts}</td></tr>'
        "{more}",
        key=record.id,
        sel="sel" if selected else "",
        tick=check_input(f"pick-{record.id}", chosen, each.chosen, "pick"),
        name=name,
        about=_about(each),
        state=_state(each),
        more=each.more
        and html('<tr class="more" data-key="more-{k}"><td colspan="9">{m}</td></tr>', k=record.id, m=each.more),
        curve=spark(each.checks, best[0] if best else None, selected),
        loss=loss,
        scores=_scores(record, each.validation_rows),
        method=each.method,
        settings=_settings(each, usual),
        time=duration(record.seconds) if record.seconds else "",
        acts=_acts(each),
    )


def _about(each: Line) -> Html:
    """When a run was made and on what, its tags, and the beginning of its note."""
    record = each.record
    first = record.note.splitlines()[0] if record.note else ""
    return html(
        "{when}{data}{tags}{note}",
        when=ago(record.created),
        data=each.dataset and html(" · <span>{dataset}</span>", dataset=each.dataset),
        tags=[html(" {t}", t=tag(Verbatim(name))) for name in record.tags],
        note=first and html("<br>{n}", n=Verbatim(first if len(first) <= 80 else f"{first[:79]}…")),
    )


def _state(each: Line) -> Html:
    """The state of a run; what a queued run waits for, and buttons to move it."""
    kind, word = STATES[each.record.status]
    if each.record.status == "stopped" and not each.record.has_result:
        kind = "idle"
    mark = html('<span class="state run"><i class="dot"></i>{w}</span>', w=word) if kind == "run" else state(kind, word)
    if not each.waits:
        return mark
    moves = [
        button(_hidden(words), "move", "s quiet", way, off, run=each.record.id, way=way)
        for way, words, off in (
            ("up", f"Move up: {each.record.name}", each.ends[0]),
            ("down", f"Move down: {each.record.name}", each.ends[1]),
        )
    ]
    words = each.waits.removeprefix("Waiting: ")
    return html('{mark}<small class="d">{w}</small><span class="row moves">{m}</span>', mark=mark, w=words, m=moves)


def _hidden(words: str) -> Html:
    """What a button with an icon does, for screen readers."""
    return html('<span class="sr">{w}</span>', w=words)


def _scores(record: RunRecord, validation_rows: int) -> Html:
    """The first metric that is a percentage or a correlation, and its rows. A task may have none."""
    shares = [
        (name, number)
        for name, number in record.metrics.items()
        if "loss" not in name and (0 <= number <= 1 or name.endswith(CORRELATIONS))
    ]
    if not shares:
        return html('<span class="muted">{w}</span>', w="loss only" if record.status == "finished" else "not yet")
    name, number = shares[0]
    value = f"{number:.2f}" if name.endswith(CORRELATIONS) else f"{100 * number:.0f}%"
    on = (
        html('<small class="d">validation, {rows}</small>', rows=rows_words(validation_rows)) if validation_rows else ""
    )
    return html('{v}<small class="d">{n}</small>{on}', v=value, n=name.removeprefix("eval_").replace("_", " "), on=on)


WORDS_OF_VALUES = ("yes", "no", "on", "off", "automatic", "none", "None")
"""Values of settings that are words of the page."""


def _acts(each: Line) -> Html:
    record = each.record
    made = [button("Open", "open", "s", run=record.id, aria_label=f"Open {record.name}")]
    if record.status in GOES_ON:
        made.append(button("Resume", "resume", "s quiet", run=record.id, aria_label=f"Resume {record.name}"))
    made.append(button(_hidden(f"Details of {record.name}"), "more", "s quiet", "more", run=record.id))
    made.append(button(_hidden(f"Rename {record.name}"), "renaming", "s quiet", "pencil", run=record.id))
    delete = _hidden(f"Delete {record.name}")
    if record.status in ACTIVE:  # a place of its own all the same, so that the buttons of all rows are in line
        off = button(delete, "delete", "s quiet danger", "bin", disabled=True)
        made.append(html('<span title="{t}">{b}</span>', t="Stop the run first.", b=off))
    else:
        question = delete_question(record.name, record.has_result, each.bytes)
        made.append(button(delete, "delete", "s quiet danger", "bin", run=record.id, confirm=question))
    return html('<span class="row end">{made}</span>', made=made)


def delete_question(name: str, has_result: bool, used: int) -> str:
    """What a person is asked before a run is deleted."""
    if has_result:
        return final(f"Delete {name}: its curve, log, checkpoints and fine-tuned model, {size(used)}?")
    return final(f"Delete {name}: its curve, log and checkpoints, {size(used)}?")


def usual_settings(configs: Sequence[TrainingConfig]) -> dict[str, object]:
    """The most common value of each setting."""
    return {
        name: Counter(str(getattr(config, name)) for config in configs).most_common(1)[0][0]
        for name in (*settings_of(), "model")
        if configs
    }


def _settings(each: Line, usual: dict[str, object]) -> Html:
    """A few settings in words. Up to four that differ from most runs are bold."""
    config = each.config
    differ = [name for name in settings_of() if str(getattr(config, name)) != usual[name]][:4]
    others = [name for name in SHOWN if name not in differ and applies(name, config.method)]
    names = [*differ, *others][: max(2, len(differ))]
    model = _bold(Verbatim(each.model), config.model != usual["model"])
    return join([model, *(_bold(_words(config, name), name in differ) for name in names)], ", ")


def _bold(words: Html | str, is_bold: bool) -> Html | str:
    return html("<b>{w}</b>", w=words) if is_bold else words


def _words(config: TrainingConfig, name: str) -> Html | str:
    """A setting and its value. A value that is a word, such as `linear`, is code: it is not translated."""
    info, value = about(TrainingConfig, name), plain_value(getattr(config, name), "None")
    title = info.phrase if info else name
    if value in WORDS_OF_VALUES or any(map(str.isdigit, value)):
        return f"{title} {value}"
    return html("<span>{title}</span> {value}", title=title, value=Verbatim(value))
