"""An open run of the table: name, tags, note, disk usage, and a form to run it again."""

from typing import Any

from studio.schema.config import TrainingConfig, settings_of
from studio.schema.errors import StudioError
from studio.schema.fields import about
from studio.schema.runs import ACTIVE, GOES_ON, RunRecord
from studio.ui.components.basic import button, facts, field, select_input, text_input, textarea
from studio.ui.components.settings import choices_of, shown_settings
from studio.ui.markup import Html, html
from studio.ui.numbers import size
from studio.ui.session import Visit
from studio.ui.tabs.method.tab import typed


def panel(visit: Visit, record: RunRecord) -> Html:
    """Annotations of the run, and the form to run it again."""
    return html(
        '<section class="opened" aria-label="More of {n}"><div class="cols c2">{own}{again}</div></section>',
        n=record.name,
        own=_annotations(visit, record),
        again=_rerun_form(visit, record),
    )


def _annotations(visit: Visit, record: RunRecord) -> Html:
    at_work = record.status in ACTIVE
    key = record.id
    parts = [(name, size(taken)) for name, taken in visit.studio.saved.size_by_part(record.id).items() if taken]
    tags = text_input("run-tags", ", ".join(record.tags), "run-note", helped=True, data_run=key)
    return html(
        '<div class="stack mid">{name}{tags}{note}<div class="row wrap">{acts}</div>{disk}</div>',
        name=field("run-name", "Name", text_input("run-name", record.name, "run-note", data_run=key, maxlength="120")),
        tags=field("run-tags", "Tags", tags, "With commas between."),
        note=field("run-note", "Note", textarea("run-note", record.note, "run-note", rows=3, data_run=key)),
        acts=[
            each
            for each in (
                button("Pause", "run-pause", run=key) if record.status in ("queued", "starting", "training") else "",
                button("Continue", "run-resume", run=key) if record.status == "paused" else "",
                _archive(record) if not at_work else "",
                _download_buttons(key) if not at_work else "",
                _remove_checkpoints_button(visit, record) if not at_work else "",
            )
            if each
        ],
        disk=html('<div class="stack tight"><h2>On the disk</h2>{f}</div>', f=facts(parts)),
    )


def _download_buttons(run: str) -> Html:
    return html(
        '<button type="button" class="btn" data-download="run" data-run="{r}">Save as a file</button>'
        '<button type="button" class="btn" data-download="run-with-rows" data-run="{r}" '
        'title="What it learned from comes along; think of who may read it.">Save with its rows</button>',
        r=run,
    )


def _archive(record: RunRecord) -> Html:
    if record.archived:
        return button("Back among the runs", "run-archive", run=record.id, to="")
    return button("Archive", "run-archive", run=record.id, to="yes")


def _remove_checkpoints_button(visit: Visit, record: RunRecord) -> Html | str:
    taken = visit.studio.saved.size_by_part(record.id)["checkpoints"]
    if not taken:
        return ""
    lost = "It can't go on any more" if record.status in GOES_ON else "Nothing else is lost"
    question = f"Remove the checkpoints of {record.name}, {size(taken)}? {lost}; its result, curve and log stay."
    return button("Remove checkpoints", "run-checkpoints", "danger", run=record.id, confirm=question)


# --- run again ---


def _rerun_form(visit: Visit, record: RunRecord) -> Html:
    config, kept = visit.studio.runs.spec(record.id).config, _rerun_state(visit, record.id)
    available = shown_settings(config)
    names = [name for name, each in available.items() if each.level == "basic" or name in kept["more"]]
    others = [("", "Another setting …"), *((name, each.label) for name, each in available.items() if name not in names)]
    changed = [name for name in names if name in kept["changes"]]
    return html(
        '<div class="stack mid"><h3>Run again with a change</h3><p class="small">The same rows and parts, all settings '
        'as they were but those changed here.</p><div class="settings">{fields}</div>{more}<div class="row '
        'wrap">{start}<span class="small">{words}</span></div>{longer}</div>',
        fields=[_setting(name, config, kept) for name in names],
        more=select_input("again-more", others, "", "again-more", label="Another setting"),
        start=button("Run again", "again-start", "accent", run=record.id, disabled=bool(kept["wrong"])),
        words=_changes(changed, config, kept),
        longer=_extension_form(record) if record.has_result and record.status not in ACTIVE else "",
    )


def _setting(name: str, config: TrainingConfig, kept: dict[str, Any]) -> Html:
    info = about(TrainingConfig, name)
    label = info.label if info else name
    value, error = kept["changes"].get(name, _plain(getattr(config, name))), kept["wrong"].get(name, "")
    choices = choices_of(name) or (("yes", "no") if isinstance(getattr(config, name), bool) else ())
    field_name = f"again-{name}"
    if choices:
        control = select_input(field_name, [(each, each.replace("_", " ")) for each in choices], value, "again-set")
    else:
        control = text_input(field_name, value, "again-set", error)
    return field(field_name, label, control, error=error)


def _changes(changed: list[str], config: TrainingConfig, kept: dict[str, Any]) -> str:
    if not changed:
        return "Nothing is changed yet: it would do the same again."
    parts = []
    for name in changed:
        info = about(TrainingConfig, name)
        label = (info.label if info else name).lower()
        parts.append(f"{label} {kept['changes'][name]} instead of {_plain(getattr(config, name))}")
    return f"With {', '.join(parts)}."


def _extension_form(record: RunRecord) -> Html:
    return html(
        '<div class="stack tight"><h3>Go on for some passes more</h3><p class="small">A run of its own that begins '
        "with what this one learned. This one’s schedule has come to its end, so the rate begins anew, and so does the "
        'optimizer.</p><div class="row"><span class="short">{n}</span>{b}</div></div>',
        n=text_input("passes", "2", "", inputmode="decimal", aria_label="Passes more"),
        b=button("Go on", "run-extend", run=record.id, take="passes", aria_label=f"Go on with {record.name}"),
    )


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _rerun_state(visit: Visit, run: str) -> dict[str, Any]:
    """The changes in the form to run this run again."""
    kept = dict(visit.choices.extra.get("again") or {})
    empty: dict[str, Any] = {"run": run, "changes": {}, "wrong": {}, "more": []}
    return {**empty, **kept} if kept.get("run") == run else empty


# --- what a person does ---


def toggle(visit: Visit) -> None:
    """Open or close a run of the table."""
    run = visit.text("run", 100)
    visit.remember(opened="" if visit.choices.extra.get("opened") == run else run)


def note(visit: Visit) -> None:
    """Change name, tags or note."""
    run, value = visit.text("run", 100), visit.text("value", 2_000_000)
    match visit.text("name", 20):
        case "run-name":
            visit.studio.saved.annotate(run, name=value)
        case "run-tags":
            visit.studio.saved.annotate(run, tags=[value])
        case _:
            visit.studio.saved.annotate(run, note=value)


def archive(visit: Visit) -> None:
    """Archive the run, or put it back."""
    visit.studio.saved.annotate(visit.text("run", 100), archived=bool(visit.text("to", 5)))


def pause(visit: Visit) -> None:
    """Pause the run."""
    visit.studio.runs.pause(visit.text("run", 100))


def resume(visit: Visit) -> None:
    """Resume a paused run."""
    visit.studio.runs.resume(visit.text("run", 100))


def checkpoints(visit: Visit) -> None:
    """Remove the checkpoints, which only resuming needs."""
    visit.studio.saved.remove_checkpoints(visit.text("run", 100))


def set_rerun_setting(visit: Visit) -> None:
    """Change a setting for the rerun. The earlier value is no change."""
    run, name = str(visit.choices.extra.get("opened", "")), visit.text("name", 80).removeprefix("again-")
    config, kept, text = visit.studio.runs.spec(run).config, _rerun_state(visit, run), visit.text("value", 8000).strip()
    if name not in settings_of():
        return
    changes = {key: value for key, value in kept["changes"].items() if key != name}
    wrong = {key: value for key, value in kept["wrong"].items() if key != name}
    if text != _plain(getattr(config, name)):
        changes[name] = text
        try:
            typed(name, text)
        except StudioError as error:
            wrong[name] = error.all()[0].message
    visit.remember(again={**kept, "changes": changes, "wrong": wrong})


def show_rerun_setting(visit: Visit) -> None:
    """Show another setting in the form."""
    run, name = str(visit.choices.extra.get("opened", "")), visit.text("value", 80)
    kept = _rerun_state(visit, run)
    if name in settings_of():
        visit.remember(again={**kept, "more": [*kept["more"], name]})


def start_rerun(visit: Visit) -> None:
    """Run it again with the changes."""
    run = visit.text("run", 100)
    visit.settle()
    changes = {name: typed(name, text) for name, text in _rerun_state(visit, run)["changes"].items()}
    made = visit.studio.runs.rerun(run, changes)
    visit.remember(again={})
    visit.choose(run=made.id, reached=())
    visit.goto("train")


def extend(visit: Visit) -> None:
    """Continue from its result for more epochs."""
    made = visit.studio.runs.extend(visit.text("run", 100), float(typed("epochs", visit.text("passes", 20))))
    visit.choose(run=made.id, reached=())
    visit.goto("train")


ACTS = {
    "more": toggle,
    "run-note": note,
    "run-archive": archive,
    "run-pause": pause,
    "run-resume": resume,
    "run-checkpoints": checkpoints,
    "again-set": set_rerun_setting,
    "again-more": show_rerun_setting,
}
LEADING = {"again-start": start_rerun, "run-extend": extend}
"""Actions after which another tab opens."""
