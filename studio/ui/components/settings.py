"""All settings as fields in folds, made from TrainingConfig. No code here depends on the name of a setting."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.schema.config import GROUPS, TrainingConfig
from studio.schema.fields import About, about
from studio.schema.numbers import plain_value, share
from studio.schema.settings_check import choices_of, range_of
from studio.training.planning.setting_scope import applicable_settings
from studio.ui.components.basic import Field, button, check_input, fold, tag, wrong_words
from studio.ui.components.layout import panel
from studio.ui.components.markup import Html, Verbatim, html, join

LONG = 1000
"""Maximum characters of a one-line field."""
MOST_REASONS = 2
"""Maximum number of reasons why values are unavailable that are shown without a fold."""


def shown_settings(config: TrainingConfig) -> dict[str, About]:
    """The settings that apply to this method and task, in the order of the page."""
    infos = {name: about(TrainingConfig, name) for name in applicable_settings(config.method, config.task)}
    return {name: each for name, each in infos.items() if each}


Texts = Mapping[str, Mapping[str, str]]
"""Setting → value → text."""


@dataclass(frozen=True)
class SettingsView:
    """What the form of settings shows."""

    config: TrainingConfig
    changed: Mapping[str, Any] = field(default_factory=dict)
    """Settings that were set by hand."""
    wrong: Mapping[str, Any] = field(default_factory=dict)
    """Setting → the value that it can't have, and the reason."""
    off: Texts = field(default_factory=dict)
    """Why a value can't be chosen on this machine."""
    value_help: Texts = field(default_factory=dict)
    """What a value does."""


def settings_panel(view: SettingsView) -> Html:
    """All settings, a fold for each group. Its title shows changed and invalid settings."""
    known = shown_settings(view.config)
    groups = [
        _group(view, title, {name: each for name, each in known.items() if each.group == group})
        for group, title in GROUPS.items()
    ]
    back = button("Reset to defaults", "defaults", "s", disabled=not view.changed and not view.wrong)
    return panel("All settings", "all", groups, html('<span class="right row">{back}</span>', back=back))


def _group(view: SettingsView, title: str, known: Mapping[str, About]) -> Html:
    if not known:
        return Html("")
    changed, bad = sum(name in view.changed for name in known), sum(name in view.wrong for name in known)
    basic = [name for name, each in known.items() if each.level == "basic"] or list(known)[:2]
    values = {name: plain_value(getattr(view.config, name), "automatic", ("on", "off"), ",") for name in basic[:3]}
    summary = html(
        "{words}{changed}{bad}",
        words=join([f"{known[name].phrase} {value}" for name, value in values.items() if value], " · "),
        changed=bool(changed) and html(" {t}", t=tag(f"{changed} changed by you", "acc")),
        bad=bool(bad) and html(" {t}", t=tag(f"{bad} to correct", "error")),
    )
    ordered = sorted(known, key=lambda name: known[name].level != "basic")
    fields = html('<div class="settings">{f}</div>', f=[_field(view, name, known[name]) for name in ordered])
    return fold(title, summary, fields, open_=bool(bad), key=f"g-{title}")


def _field(view: SettingsView, name: str, info: About) -> Html:
    """The field of a setting, with its error and a button to reset it."""
    value, wrong, off = getattr(view.config, name), view.wrong.get(name), view.off.get(name, {})
    error = str(wrong[1]) if wrong else ""
    words = TrainingConfig.model_fields[name].description or ""
    reasons = list(dict.fromkeys(off.values()))
    not_here: Html | str = ""
    if 0 < len(reasons) <= MOST_REASONS:
        not_here = html("<br><span>Not available here:</span> {why}", why=_lines(reasons))
    reset: Html | str = ""
    if name in view.changed or wrong:
        label = f"Reset to default: {name.replace('_', ' ')}"
        reset = button("Reset to default", "reset", "s quiet", name=name, aria_label=label)
    if isinstance(value, bool):
        described = Field(name, "", words, error).described()
        return html(
            '<div class="field {bad}">{c}{e}<p class="help" id="h-{n}">{h} {l}{o}</p>{r}</div>',
            bad="bad" if error else "",
            c=check_input(name, info.label, value, "set", disabled=bool(off) and not value, **described),
            e=wrong_words(name, error),
            n=name,
            h=words,
            l=info.library and html('<span class="mono">{l}</span>', l=Verbatim(info.library)),
            o=not_here,
            r=reset,
        )
    unit = f", {info.unit}" if info.unit and info.unit.lower() not in info.label.lower() else ""
    label = html('{label}<span class="muted">{unit}</span>', label=info.label, unit=unit)
    help_ = html('{d} <span class="nowrap">{r}</span>{off}', d=words, r=_range(name), off=not_here)
    made = _control(view, Field(name, label, help_, error, info.library), wrong[0] if wrong else value)
    return html('<div class="one">{f}{o}{r}</div>', f=made, o=_folded(name, reasons), r=reset)


def _folded(name: str, reasons: Sequence[str]) -> Html:
    """Why values can't be chosen here, in a fold if there are many reasons."""
    if len(reasons) <= MOST_REASONS:
        return Html("")
    return html(
        '<details class="help" data-key="off-{name}"><summary>{words}</summary>{why}</details>',
        name=name,
        words=f"{len(reasons)} values are not available here",
        why=_lines(reasons),
    )


def _lines(sentences: Iterable[str]) -> Html:
    """Different sentences, each on a line of its own."""
    return join([html("<span>{s}</span>", s=each) for each in dict.fromkeys(sentences)], Html("<br>"))


def _control(view: SettingsView, field: Field, value: Any) -> Html:
    name = field.name
    if choices_of(name):
        words = _words_of(name, view.value_help.get(name, {}))
        return field.select(words, str(value), "set", off=view.off.get(name, {}))
    limits = (getattr(each, "max_length", 0) or 0 for each in TrainingConfig.model_fields[name].metadata)
    if max(limits, default=0) > LONG:
        return field.area(value, "set")
    mode = "decimal" if not isinstance(value, str) or field.error else None
    return field.text(plain_value(value), "set", inputmode=mode)


def _range(name: str) -> str:
    words = range_of(name)
    return f"{words[:1].upper()}{words[1:]}." if words and not choices_of(name) and words != "a text" else ""


def _words_of(name: str, value_help: Mapping[str, str]) -> list[tuple[str, str]]:
    """The values of a setting, each with its help."""
    values, info = choices_of(name), about(TrainingConfig, name)
    words = info.words if info and info.words else [value.replace("_", " ") for value in values]
    more = [
        f"{word} · {value_help[value]}" if value in value_help else word
        for value, word in zip(values, words, strict=True)
    ]
    return list(zip(values, more, strict=True))


def as_shares(part: float) -> str:
    """A percentage like `1.8%`, with one more digit when it is small."""
    return share(part, 0 if part >= 0.1 else 1 if part >= 0.001 else 3)
