"""The table of runs: results, settings that differ, and actions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from studio.schema.config import TrainingConfig, settings_of
from studio.schema.fields import about
from studio.schema.runs import ACTIVE, GOES_ON, RunRecord
from studio.training.planning.setting_scope import applies
from studio.ui.components.basic import button, check_input, heading, state, tag
from studio.ui.components.sparkline import spark
from studio.ui.markup import Html, html, join
from studio.ui.numbers import ago, duration, size

STATES: dict[str, tuple[str, str, str]] = {
    "queued": ("idle", "info", "Waiting"),
    "paused": ("idle", "info", "Paused"),
    "starting": ("run", "", "Starting"),
    "training": ("run", "", "Training"),
    "stopping": ("run", "", "Stopping"),
    "finished": ("ok", "ok", "Finished"),
    "stopped": ("ok", "ok", "Stopped"),
    "interrupted": ("error", "error", "Interrupted"),
    "failed": ("error", "error", "Failed"),
}
SHOWN = ("learning_rate", "lora_rank", "epochs")
"""Settings that are shown even when they are the same in all runs."""


NONE = Html(
    '<tr><td colspan="9" class="muted">No run is like that. Ask for fewer words, another dataset or tag.</td></tr>'
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
    checks: tuple[tuple[int, float], ...]
    bytes: int
    waits: str = ""
    """What it waits for, in a sentence."""
    ends: tuple[bool, bool] = (True, True)
    """Whether it is the first, and the last, in the queue."""
    chosen: bool = False
    """Whether it is ticked, for comparison and bulk actions."""
    more: Html | None = None
    """The content below it, when it is open."""


def table(lines: Sequence[Line], selected: str, renaming: str, side: Html | str = "", on: str = "") -> Html:
    """The table. The page polls it while a run is active. `on`: name of the dataset that all runs were trained on."""
    working = any(each.record.status in ACTIVE for each in lines)
    usual = usual_settings([each.config for each in lines])
    counted = f"{_counted(len(lines))} on {on}" if on else _counted(len(lines))
    return html(
        '<div class="stack">{head}<section class="panel flush" aria-label="All runs"><div class="scroll-x" '
        'role="region" tabindex="0" '
        'aria-label="Runs, scrolls sideways"><table class="runs"><thead><tr><th><span '
        'class="sr">Chosen</span></th><th>Run</th><th>State</th><th>Curve</th>'
        '<th class="num">Best loss</th><th class="num">Score</th><th>Method and settings</th><th class="num">Time</th>'
        '<th><span class="sr">Actions</span></th></tr></thead><tbody>{rows}</tbody></table></div></section>'
        '<p class="small">Best loss is the lowest on a '
        "run's own validation rows. Compare it only between runs on the same data.</p></div>{again}",
        head=heading("Runs", f"{counted}. Settings that differ are in bold.", side),
        rows=[_row(each, usual, each.record.id == selected, each.record.id == renaming) for each in lines] or NONE,
        again=html('<button type="button" hidden data-act="look" data-quiet data-again="4000">Look again</button>')
        if working
        else "",
    )


def _counted(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _row(each: Line, usual: dict[str, object], selected: bool, renaming: bool) -> Html:
    record = each.record
    kind, sign, word = (
        ("idle", "info", "Stopped") if record.status == "stopped" and not record.has_result else STATES[record.status]
    )
    mark = state(kind, word, sign) if sign else html('<span class="state run"><i class="dot"></i>{w}</span>', w=word)
    best = min(each.checks, key=lambda check: check[1], default=None)
    name: Html = html("<b>{n}</b>", n=record.name)
    if renaming:
        name = html(
            '<input class="input" aria-label="New name" maxlength="120" data-act="rename" data-run="{run}" name="name" '
            'value="{name}">',
            run=record.id,
            name=record.name,
        )
    return html(
        '<tr data-key="{key}" class="{sel}"><td>{tick}</td><td>{name}<small '
        'class="d">{when}{data}</small></td><td>{state}</td><td>{curve}</td>'
        '<td class="num">{loss}</td><td class="num">{scores}</td>'
        '<td class="settings-cell">{method}</td><td class="num">{time}</td><td '
        'class="num">{acts}</td></tr>{more}',
        key=record.id,
        sel="sel" if selected else "",
        tick=_tick(each),
        name=name,
        when=ago(record.created),
        data=html("{d}{t}", d=f" · {each.dataset}" if each.dataset else "", t=_tags(record)),
        state=html("{m}{w}", m=mark, w=_waits(each)),
        more=html('<tr class="more" data-key="more-{k}"><td colspan="9">{m}</td></tr>', k=record.id, m=each.more)
        if each.more
        else "",
        curve=spark(each.checks, best[0] if best else None, selected),
        loss=html('{l:.2f}<small class="d">step {s}</small>', l=best[1], s=best[0])
        if best
        else html('<span class="muted">not yet</span>'),
        scores=_scores(record),
        method=html('{m}<small class="d">{s}</small>', m=each.method, s=_settings(each.config, usual)),
        time=duration(record.seconds) if record.seconds else "",
        acts=_acts(each),
    )


def _tick(each: Line) -> Html:
    words = html('<span class="sr">Choose {n}</span>', n=each.record.name)
    return check_input(f"pick-{each.record.id}", words, each.chosen, "pick")


def _tags(record: RunRecord) -> Html:
    """The tags of a run, and the beginning of its note."""
    tags = [html(" {t}", t=tag(each)) for each in record.tags]
    first = record.note.splitlines()[0] if record.note else ""
    words = html("<br>{n}", n=first if len(first) <= 80 else f"{first[:79]}…") if first else ""
    return html("{t}{w}", t=tags, w=words)


def _waits(each: Line) -> Html | str:
    """What a queued run waits for, and buttons to move it."""
    if not each.waits:
        return ""
    first, last = each.ends
    name = each.record.name
    moves = [
        button(
            html('<span class="sr">{w} {n}</span>', w=word, n=name),
            "move",
            "s quiet",
            sign,
            disabled=off,
            run=each.record.id,
            way=way,
        )
        for way, sign, word, off in (("up", "up", "Earlier:", first), ("down", "down", "Later:", last))
    ]
    words = each.waits.removeprefix("Waiting: ")
    return html('<small class="d">{w}</small><span class="row moves">{m}</span>', w=words, m=moves)


def _scores(record: RunRecord) -> Html:
    """The first metric that is a percentage or a correlation. A task may have none."""
    shares = [
        (name, number)
        for name, number in record.metrics.items()
        if "loss" not in name and (0 <= number <= 1 or name.endswith(CORRELATIONS))
    ]
    if not shares:
        return html('<span class="muted">{w}</span>', w="none" if record.status == "finished" else "not yet")
    name, number = shares[0]
    value = f"{number:.2f}" if name.endswith(CORRELATIONS) else f"{100 * number:.0f} %"
    return html('{v}<small class="d">{n}</small>', v=value, n=name.removeprefix("eval_").replace("_", " "))


def _acts(each: Line) -> Html:
    record = each.record
    made = [button("Open", "open", "s", run=record.id, aria_label=f"Open {record.name}")]
    if record.status in GOES_ON:
        word = "Continue" if record.status == "paused" else "Resume"
        made.append(button(word, "resume", "s quiet", run=record.id, aria_label=f"{word} {record.name}"))
    made.append(_small("more", "More of", "more", record))
    made.append(_small("pencil", "Rename", "renaming", record))
    if record.status not in ACTIVE:
        what = "its curve, log, checkpoints and tuned model" if record.has_result else "its curve, log and checkpoints"
        question = f"Delete {record.name}: {what}, {size(each.bytes)}?"
        made.append(_small("bin", "Delete", "delete", record, confirm=question))
    return html('<span class="row end">{made}</span>', made=made)


def usual_settings(configs: Sequence[TrainingConfig]) -> dict[str, object]:
    """The most common value of each setting."""
    return {
        name: Counter(str(getattr(config, name)) for config in configs).most_common(1)[0][0]
        for name in (*settings_of(), "model")
        if configs
    }


def _settings(config: TrainingConfig, usual: dict[str, object]) -> Html:
    """A few settings in words. Up to four that differ from most runs are bold."""
    differ = [name for name in settings_of() if str(getattr(config, name)) != usual[name]][:4]
    named = [*differ, *(name for name in SHOWN if name not in differ and applies(name, config.method))][
        : max(2, len(differ))
    ]
    parts = [html("<b>{w}</b>", w=_words(config, name)) if name in differ else _words(config, name) for name in named]
    model = config.model.rsplit("/", 1)[-1]
    return join([html("<b>{m}</b>", m=model) if config.model != usual["model"] else model, *parts], ", ")


def _words(config: TrainingConfig, name: str) -> str:
    info, number = about(TrainingConfig, name), getattr(config, name)
    label = (info.label if info else name).lower()
    value = (
        f"{number:g}"
        if isinstance(number, float)
        else {True: "yes", False: "no"}.get(number, str(number))
        if isinstance(number, bool)
        else str(number)
    )
    return f"{label} {value}"


def _small(sign: str, word: str, act: str, record: RunRecord, confirm: str | None = None) -> Html:
    """A button with an icon, and a name for screen readers."""
    kind = "s quiet danger" if act == "delete" else "s quiet"
    name = html('<span class="sr">{w} {n}</span>', w=word, n=record.name)
    return button(name, act, kind, sign, run=record.id, confirm=confirm)
