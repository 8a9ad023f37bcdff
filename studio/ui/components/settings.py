"""All settings as fields in folds, made from TrainingConfig. No code here depends on the name of a setting."""

import typing
from collections.abc import Mapping
from typing import Any, Literal

from studio.schema.config import GROUPS, TrainingConfig
from studio.schema.fields import About, about
from studio.schema.settings_check import range_of
from studio.training.planning.setting_scope import applicable_settings
from studio.ui.components.basic import (
    button,
    check_input,
    field,
    fold,
    select_input,
    tag,
    text_input,
    textarea,
    wrong_words,
)
from studio.ui.markup import Html, html, join
from studio.ui.numbers import share

LONG = 1000
"""Maximum characters of a one-line field."""


def shown_settings(config: TrainingConfig) -> dict[str, About]:
    """The settings that apply to this method and task, in the order of the page."""
    infos = {name: about(TrainingConfig, name) for name in applicable_settings(config.method, config.task)}
    return {name: each for name, each in infos.items() if each}


Off = Mapping[str, Mapping[str, str]]
"""Setting → value → text: why it can't be chosen on this machine, or what it does."""
NOTHING: Off = {}


def settings_panel(
    config: TrainingConfig, changed: Mapping[str, Any], wrong: Mapping[str, Any], off: Off, value_help: Off = NOTHING
) -> Html:
    """All settings, a fold for each group. Its title shows changed and invalid settings."""
    known = shown_settings(config)
    groups = []
    for group, title in GROUPS.items():
        mine = {name: each for name, each in known.items() if each.group == group}
        groups.append(_group(title, mine, config, changed, wrong, off, value_help))
    return html(
        '<section class="panel flush" aria-labelledby="all"><div class="bar"><h2 id="all">All settings</h2><span '
        'class="right row">{back}'
        "</span></div>{groups}</section>",
        back=button("Back to defaults", "defaults", "s", disabled=not changed and not wrong),
        groups=groups,
    )


def _group(
    title: str,
    known: Mapping[str, About],
    config: TrainingConfig,
    changed: Mapping[str, Any],
    wrong: Mapping[str, Any],
    off: Off,
    value_help: Off,
) -> Html:
    if not known:
        return Html("")
    mine, bad = [name for name in known if name in changed], [name for name in known if name in wrong]
    basic = [name for name, each in known.items() if each.level == "basic"] or list(known)[:2]
    words = join([f"{known[name].label.lower()}: {_plain(getattr(config, name))}" for name in basic[:3]], " · ")
    marks = [
        html(" {t}", t=tag(f"{len(mine)} changed by you", "acc")) if mine else "",
        html(" {t}", t=tag(f"{len(bad)} to correct", "error")) if bad else "",
    ]
    ordered = sorted(known, key=lambda name: known[name].level != "basic")
    body = html(
        '<div class="settings">{fields}</div>',
        fields=[
            _field(name, known[name], getattr(config, name), name in changed, wrong.get(name), off, value_help)
            for name in ordered
        ],
    )
    return fold(title, html("{w}{m}", w=words, m=marks), body, open_=bool(bad), key=f"g-{title}")


def _plain(value: Any) -> str:
    if value is None:
        return "by the rows"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _field(name: str, what: About, value: Any, changed: bool, wrong: Any, off: Off, value_help: Off) -> Html:
    described = TrainingConfig.model_fields[name].description or ""
    error, reset, not_here = str(wrong[1]) if wrong else "", _reset(name, changed or bool(wrong)), off.get(name, {})
    if isinstance(value, bool):
        greyed = bool(not_here) and not value
        control = check_input(name, what.label, value, "set", helped=True, error=error, disabled=greyed)
        return html(
            '<div class="field {bad}">{c}{e}<p class="help" id="h-{n}">{h} {l}{o}</p>{r}</div>',
            bad="bad" if error else "",
            c=control,
            e=wrong_words(name, error),
            n=name,
            h=described,
            l=_library(what),
            o=_not_here(not_here),
            r=reset,
        )
    unit = f", {what.unit}" if what.unit and what.unit.lower() not in what.label.lower() else ""
    label = html('{label}<span class="muted">{unit}</span>', label=what.label, unit=unit)
    help_ = html('{d} <span class="nowrap">{r}</span>{off}', d=described, r=_range(name), off=_not_here(not_here))
    control = _control(name, wrong[0] if wrong else value, error, not_here, value_help.get(name, {}))
    made = field(name, label, control, help_, error, what.library)
    return html('<div class="one">{f}{r}</div>', f=made, r=reset)


def _library(what: About) -> Html:
    return html('<span class="mono">{l}</span>', l=what.library) if what.library else Html("")


def _range(name: str) -> str:
    words = range_of(name)
    return f"{words[:1].upper()}{words[1:]}." if words and not choices_of(name) and words != "a text" else ""


def _reset(name: str, changed: bool) -> Html:
    return (
        button(
            "Back to default", "reset", "s quiet", name=name, aria_label=f"Back to default: {name.replace('_', ' ')}"
        )
        if changed
        else Html("")
    )


def _not_here(off: Mapping[str, str]) -> Html:
    """The reasons, a line each: some end in a command to type."""
    if not off:
        return Html("")
    return html("<br>Not on offer here: {why}", why=join(dict.fromkeys(off.values()), Html("<br>")))


def _control(name: str, value: Any, error: str, off: Mapping[str, str], value_help: Mapping[str, str]) -> Html:
    if choices_of(name):
        return select_input(name, _words_of(name, value_help), str(value), "set", error=error, helped=True, off=off)
    if _longest(name) > LONG:
        return textarea(name, value, "set", rows=3, error=error, helped=True)
    text = (
        ""
        if value is None
        else value
        if isinstance(value, str)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
    return text_input(
        name,
        text,
        "set",
        error=error,
        helped=True,
        inputmode="decimal" if not isinstance(value, str) or error else None,
    )


def choices_of(name: str) -> tuple[str, ...]:
    """The values of a setting with a closed set."""
    kind = TrainingConfig.model_fields[name].annotation
    return tuple(map(str, typing.get_args(kind))) if typing.get_origin(kind) is Literal else ()


def _words_of(name: str, value_help: Mapping[str, str]) -> list[tuple[str, str]]:
    """The values of a setting, each with its help."""
    values, info = choices_of(name), about(TrainingConfig, name)
    words = info.words if info and info.words else [value.replace("_", " ") for value in values]
    more = [
        f"{word} · {value_help[value]}" if value in value_help else word
        for value, word in zip(values, words, strict=True)
    ]
    return list(zip(values, more, strict=True))


def _longest(name: str) -> int:
    return max((getattr(each, "max_length", 0) or 0 for each in TrainingConfig.model_fields[name].metadata), default=0)


def as_shares(part: float) -> str:
    """A percentage like `1.8 %`, with one more digit when it is small."""
    return share(part, 0 if part >= 0.1 else 1 if part >= 0.001 else 3)
