"""The Method tab: preset, method and settings, the plan, and Start."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from studio.schema.config import DEFAULT_METHOD, TrainingConfig, settings_of
from studio.schema.errors import StudioError
from studio.schema.numbers import memory, time_range
from studio.schema.numbers import rows as rows_words
from studio.schema.settings_check import config_from
from studio.schema.views import PlanView
from studio.ui.components.basic import Card, Field, Primary, action_bar, alert, button, cards, fold, heading, note
from studio.ui.components.layout import poll, stack
from studio.ui.components.markup import Html, Verbatim, html, join
from studio.ui.components.plan import fitted_panel, plan_panel, why_panel
from studio.ui.components.processes import processes_panel
from studio.ui.components.settings import SettingsView, settings_panel
from studio.ui.selected import open_run
from studio.ui.shell import PageShell
from studio.ui.tabs.base import Components
from studio.ui.tabs.data.stale_guard import mark, of_this_dataset
from studio.ui.tabs.method import prompts, search
from studio.ui.tabs.method.plan import (
    kept,
    make_it_fit,
    measure,
    name_of,
    plan_key,
    planned,
    prepare_run,
    run_request,
    runner_of,
    runners,
    with_measurement,
)
from studio.ui.visitors.session import Visit

USUAL = 3
"""Methods that are shown first, in the order of the registry. The others are in a fold."""


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""
    acts = {
        "preset": pick_preset,
        "method": pick_method,
        "runner": pick_runner,
        "set": set_value,
        "reset": reset,
        "defaults": back_to_defaults,
        "prompt": prompts.change,
        "name": set_name,
        "estimate": compute_plan,
        "start": of_this_dataset(start),
        "fit": make_it_fit,
        "probe": measure,
        "validate-on-part": validate_on_part,
        **search.ACTS,
    }
    shell.page(c.showing(drawn))
    c.wire(shell, shell.then_drawn(acts))


# --- what a person does ---


def pick_preset(visit: Visit) -> None:
    """Choose a preset. Settings that were set by hand stay."""
    visit.choose(preset=visit.text("value"))


def pick_method(visit: Visit) -> None:
    """Choose a method."""
    visit.choose(method=visit.text("value"))


def pick_runner(visit: Visit) -> None:
    """Choose where the run trains."""
    visit.remember(runner=visit.text("value", 60))


def validate_on_part(visit: Visit) -> None:
    """Validate on a part of the rows, instead of on another dataset."""
    visit.choose(validation="")


def set_value(visit: Visit) -> None:
    """Set a setting. An invalid value stays in its field with the reason."""
    name, given = visit.text("name", 60), visit.event.get("value")
    if name not in settings_of():  # model, task and others have their own checked actions
        raise StudioError("unknown-setting", "There is no setting with this name.", given=name, valid=settings_of())
    text = given.strip() if isinstance(given, str) else given
    if text == "":
        reset(visit)
        return
    try:
        value = typed(name, text)
    except StudioError as error:
        _note_wrong(visit, name, [str(text)[:200], error.all()[0].message])
        return
    visit.choose(settings={**visit.choices.settings, name: value})
    _note_wrong(visit, name, None)


def reset(visit: Visit) -> None:
    """Reset a setting to its default."""
    name = visit.text("name", 60)
    visit.choose(settings={key: value for key, value in visit.choices.settings.items() if key != name})
    _note_wrong(visit, name, None)


def back_to_defaults(visit: Visit) -> None:
    """Reset all settings to their defaults."""
    visit.remember(wrong={})
    visit.choose(settings={})


def set_name(visit: Visit) -> None:
    """Name the run."""
    visit.choose(name=visit.text("value", 120).strip())


def compute_plan(visit: Visit) -> None:
    """Compute the plan after the page was drawn, while a worker is prepared."""
    key = plan_key(visit)
    visit.studio.runs.prepare()
    planned(visit)
    visit.remember(estimated=key)


def start(visit: Visit) -> None:
    """Start the run and open it."""
    visit.settle()
    if _wrong(visit):
        raise StudioError("bad-setting", "A setting has an invalid value.", hint="Correct it in All settings.")
    run = visit.studio.runs.start(run_request(visit), once=_once(visit))
    open_run(visit, run.id)


def _once(visit: Visit) -> str:
    """A key that is equal for two clicks on Start, or two browsers, with the same choices on the same page."""
    chosen = visit.choices
    parts = [
        plan_key(visit),
        chosen.method,
        chosen.preset,
        runner_of(visit).name,
        sorted(chosen.settings.items()),
        name_of(visit),
        list(prompts.of(visit)),
        visit.text("newest", 100),
    ]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


# --- settings ---

_GROUPED = re.compile(r"\d{1,3}([.,\s’']\d{3})+")
"""A whole number with separators between the thousands, as people write it: 2,000 or 2.000 or 2 000."""


def typed(name: str, text: Any) -> Any:
    """The typed value with the type of the setting.

    Raises:
        StudioError: for an invalid value.
    """
    kind = TrainingConfig.model_fields[name].annotation
    if isinstance(text, str) and kind is int and _GROUPED.fullmatch(text):
        text = re.sub(r"\D", "", text)
    elif isinstance(text, str) and kind is not str and text[:1].isdigit():
        decimal = text.count(",") == 1 and "." not in text
        text = text.replace(" ", "").replace(",", ".") if decimal else text.replace(",", "")
    return getattr(config_from({"task": "-", "model": "-", name: text}), name)


def _note_wrong(visit: Visit, name: str, what: list[str] | None) -> None:
    wrong = {key: value for key, value in _wrong(visit).items() if key != name}
    visit.remember(wrong=wrong | ({name: what} if what else {}))


def _wrong(visit: Visit) -> dict[str, Any]:
    return dict(visit.choices.extra.get("wrong") or {})


def _refused(settings: Mapping[str, Any], view: PlanView | StudioError | None) -> dict[str, list[str]]:
    """Settings that the plan refuses: field → the value and the reason."""
    problems = view.all() if isinstance(view, StudioError) else []
    return {each.field: [str(settings[each.field]), each.message] for each in problems if each.field in settings}


# --- what is shown ---


def drawn(visit: Visit) -> tuple[Html, Html]:
    """Body and action bar."""
    chosen = visit.choices
    known = {each.id for each in visit.studio.datasets.all()}  # another tab may have deleted the dataset
    missing = "model" if not chosen.task or not chosen.model else "data" if chosen.dataset not in known else ""
    if missing:
        words, go = "First choose a model in the Model tab.", "Open Model"
        if missing == "data":
            words, go = "First add data in the Data tab.", "Open Data"
        body = html(
            '{h}<section class="panel"><p class="muted">{w}</p></section>{poll}',
            h=heading("How should the model learn?"),
            w=words,
            poll=poll("draw", 2000),  # a file may still be uploading
        )
        return body, action_bar(words, Primary(go, goto=missing))
    ready = chosen.extra.get("estimated") == plan_key(visit)
    view = with_measurement(visit, planned(visit)) if ready else None
    if isinstance(view, PlanView) and not _wrong(visit):
        prepare_run(visit)
    about = mark(visit.studio.datasets.get(chosen.dataset))
    return _page(visit, view), html("{bar}{about}", bar=_bar(visit, view), about=about)


def _page(visit: Visit, view: PlanView | StudioError | None) -> Html:
    chosen, catalog = visit.choices, visit.studio.catalog
    plan = view if isinstance(view, PlanView) else None
    filled = "The settings are chosen for your rows and this machine."
    if plan:
        filled = f"The settings are chosen for your {rows_words(plan.usable)} and this machine. You can start now."
    config = plan.plan.config if plan else _config_without_plan(visit)
    presets = [Card(each.name, each.title, each.sentence) for each in catalog.presets()]
    wrong = {**_refused(chosen.settings, view), **_wrong(visit)}
    settings = SettingsView(config, chosen.settings, wrong, catalog.unavailable_values(), catalog.value_help())
    return html(
        '{head}<div class="cols main-side"><div class="stack">{preset}{method}{runner}{settings}{search}</div><div '
        'class="stack">{run}{prompts}{name}</div></div>{poll}',
        head=heading("How should the model learn?", filled),
        preset=_set("Preset", cards("preset", "preset", presets, chosen.preset, aria_label="Preset")),
        method=_set("Method", _methods(visit, config.method, plan is not None)),
        runner=_runners(visit),
        settings=settings_panel(settings),
        search=plan and search.panel(visit),
        run=_this_run(visit, view),
        prompts=prompts.panel(visit),
        name=_name_field(visit),
        poll=view is None and poll("estimate", 30, repeat=False),
    )


def _name_field(visit: Visit) -> Html:
    """The name that the next run gets, which no other run has."""
    name = visit.studio.runs.free_name(name_of(visit))
    return Field("new-run-name", "Name of the new run").text(name, "name", maxlength=120, enter="name")


def _config_without_plan(visit: Visit) -> TrainingConfig:
    """The settings without a plan: set by hand, else the declared defaults."""
    chosen = visit.choices
    fields = {"task": chosen.task, "model": chosen.model}
    try:
        offered = visit.studio.catalog.methods(chosen.model, chosen.task)
        suggested = next((each.name for each in offered if each.suggested), DEFAULT_METHOD)
        method = chosen.method or suggested
        return config_from({**fields, "preset": chosen.preset, "method": method, **chosen.settings})
    except StudioError:
        return TrainingConfig(**fields)


def _set(legend: str, made: Html) -> Html:
    return html('<fieldset class="stack tight"><legend class="label">{l}</legend>{m}</fieldset>', l=legend, m=made)


def _methods(visit: Visit, chosen: str, ready: bool) -> Html:
    choices = []
    for each in visit.studio.catalog.methods(visit.choices.model, visit.choices.task):
        plan = planned(visit, each.name) if ready and not each.unavailable_reason else None
        name = Verbatim(each.name)
        side = join([name, memory(plan.estimate.memory_bytes)], " · ") if isinstance(plan, PlanView) else name
        suggested = "Suggested for this model" if each.suggested and not each.unavailable_reason else ""
        choices.append(Card(each.name, each.title, each.sentence, side, each.unavailable_reason, small=suggested))
    usual, more = choices[:USUAL], choices[USUAL:]
    usual_cards = cards("method", "method", usual, chosen, aria_label="Method")
    if not more:
        return usual_cards
    names = ", ".join(each.title for each in more)
    rest = cards("method", "method", more, chosen, aria_label="More methods", class_="two")
    return usual_cards + fold("More methods", names, rest, any(each.value == chosen for each in more), "more-methods")


def _runners(visit: Visit) -> Html | None:
    """Where the run trains, if there is a choice."""
    offered = runners(visit)
    if len(offered) < 2:
        return None
    choices = [Card(each.name, each.title, each.sentence, each.hardware, each.unavailable_reason) for each in offered]
    title = "Where to train"
    return _set(title, cards("runner", "runner", choices, runner_of(visit).name, aria_label=title, class_="two"))


def _this_run(visit: Visit, view: PlanView | StudioError | None) -> Html:
    if isinstance(view, PlanView):
        return html(
            "{p}{v}{f}{m}{w}",
            p=plan_panel(view, visit.studio.machine.facts().cores),
            v=_validation_note(visit),
            f=fitted_panel(kept(visit, "fitted")),
            m=processes_panel(view.estimate),
            w=why_panel(view),
        )
    body = html('<p class="muted" role="status">Counting tokens and estimating time and memory …</p>')
    return stack("This run", "thisrun", alert(view) if view else body, "runcard") + _validation_note(visit)


def _validation_note(visit: Visit) -> Html:
    """Which dataset the run validates on, if it is not a part of the rows."""
    chosen = visit.choices.validation
    if not chosen:
        return Html("")
    names = {each.id: each.name for each in visit.studio.datasets.all()}
    name = names.get(chosen)
    words = f"Validation uses the dataset “{name}”." if name else "The dataset for validation was deleted."
    return note("acc", words, button("Use a part of the rows", "validate-on-part", "s"))


def _bar(visit: Visit, view: PlanView | StudioError | None) -> Html:
    off = Primary("Start", disabled=True)
    if wrong := len(_wrong(visit)):
        words = "1 setting has an invalid value. Correct it in All settings."
        if wrong > 1:
            words = f"{wrong} settings have invalid values. Correct them in All settings."
        return action_bar(words, off, back="data")
    press = Primary("Start", "start", newest=next((run.id for run in visit.studio.runs.all()), ""))
    if view is None:
        return action_bar("Estimating time and memory …", press, back="data")
    if isinstance(view, StudioError):
        return action_bar(view.all()[0].what, off, back="data")
    estimate = view.estimate
    if not estimate.fits and not runner_of(visit).is_elsewhere:
        words = f"Needs {memory(estimate.memory_bytes)} of memory, but only {memory(estimate.available_bytes)} are free"
        if estimate.memory_bytes <= estimate.available_bytes:  # then the machine's memory is short, not the GPU's
            words = estimate.short.rstrip(".")
        if visit.studio.planning.fits_later(view):
            wait = f"{words} now. The run waits until enough is free."
            return action_bar(wait, press, back="data", extra=button("Make it fit", "fit"))
        return action_bar(f"{words}.", Primary("Make it fit", "fit"), back="data")
    more = "You can close the page. The run continues."
    if visit.studio.runs.active():
        more = "It starts automatically when the current run ends."
    return action_bar(
        html("About <b>{t}</b>. {m}", t=time_range(estimate.low_seconds, estimate.high_seconds), m=more),
        press,
        back="data",
    )
