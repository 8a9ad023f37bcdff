"""An open run of the table: name, tags, note, disk usage, and a form to run it again."""

from typing import Any

from studio.schema.config import TrainingConfig, settings_of
from studio.schema.errors import StudioError
from studio.schema.fields import About
from studio.schema.numbers import plain_value, size
from studio.schema.runs import ACTIVE, GOES_ON, RunRecord
from studio.schema.settings_check import choices_of
from studio.ui.components.basic import Field, button, facts, select_input, text_input
from studio.ui.components.markup import Html, html
from studio.ui.components.settings import shown_settings
from studio.ui.selected import open_run
from studio.ui.tabs.method.tab import typed
from studio.ui.visitors.session import Visit


def panel(visit: Visit, record: RunRecord) -> Html:
    """Annotations of the run, and the form to run it again."""
    return html(
        '<section class="opened" aria-label="Details of {name}"><div class="cols c2">{own}{again}</div></section>',
        name=record.name,
        own=_annotations(visit, record),
        again=_rerun_form(visit, record),
    )


def _annotations(visit: Visit, record: RunRecord) -> Html:
    key, sizes = record.id, visit.studio.saved.size_by_part(record.id)
    name = Field("run-name", "Name").text(record.name, "run-note", data_run=key, maxlength="120")
    tags = Field("run-tags", "Tags", "Separate tags with commas.").text(
        ", ".join(record.tags), "run-note", data_run=key
    )
    acts: list[Any] = []
    if record.status in ("queued", "starting", "training"):
        acts.append(button("Pause", "run-pause", run=key))
    if record.status == "paused":
        acts.append(button("Resume", "run-resume", run=key))
    if record.status not in ACTIVE:
        word, to = ("Unarchive", "") if record.archived else ("Archive", "yes")
        acts += [button(word, "run-archive", run=key, to=to), html(DOWNLOADS, r=key)]
        acts.append((sizes["checkpoints"] and _remove_checkpoints_button(record, sizes["checkpoints"])) or "")
    return html(
        '<div class="stack mid">{name}{tags}{note}<div class="row wrap">{acts}</div><div class="stack tight"><h2>Disk '
        "usage</h2>{disk}</div></div>",
        name=name,
        tags=tags,
        note=Field("run-note", "Note").area(record.note, "run-note", data_run=key),
        acts=acts,
        disk=facts([(part, size(taken)) for part, taken in sizes.items() if taken]),
    )


DOWNLOADS = (
    '<button type="button" class="btn" data-download="run" data-run="{r}">Export run</button><button type="button" '
    'class="btn" data-download="run-with-rows" data-run="{r}" title="The file has the training rows. Check who may '
    'read them.">Export run with rows</button>'
)


def _remove_checkpoints_button(record: RunRecord, taken: int) -> Html:
    lost = "You can't resume the run afterward. " if record.status in GOES_ON else ""
    question = f"Delete the checkpoints of {record.name}, {size(taken)}? {lost}Its result, curve and log stay."
    return button("Delete checkpoints", "run-checkpoints", "danger", run=record.id, confirm=question)


# --- run again ---


def _rerun_form(visit: Visit, record: RunRecord) -> Html:
    config, kept = visit.studio.runs.spec(record.id).config, _rerun_state(visit, record.id)
    available = shown_settings(config)
    names = [name for name, each in available.items() if each.level == "basic" or name in kept["more"]]
    others = [
        ("", "Change another setting …"),
        *((name, each.label) for name, each in available.items() if name not in names),
    ]
    changes = [
        f"{available[name].phrase} {kept['changes'][name]} instead of {plain_value(getattr(config, name))}"
        for name in names
        if name in kept["changes"]
    ]
    longer = html(
        '<div class="stack tight"><h3>Train for more epochs</h3><p class="small">A new run starts from the result of '
        "this one. Its learning rate schedule and its optimizer start from the beginning."
        '</p><div class="row"><span class="short">{n}</span>{b}</div></div>',
        n=text_input("passes", "2", "", inputmode="decimal", aria_label="More epochs"),
        b=button("Extend run", "run-extend", run=record.id, take="passes", aria_label=f"Extend {record.name}"),
    )
    words = f"With {', '.join(changes)}." if changes else "No change yet. The new run would repeat this one."
    return html(
        '<div class="stack mid"><h3>Run again with changes</h3><p class="small">The new run has the same rows, splits '
        'and settings, except those that you change here.</p><div class="settings">{fields}</div>{more}<div class="row '
        'wrap">{start}<span class="small">{words}</span></div><div class="row wrap"><span class="small">To change the '
        "model or the rows too:</span>{like}</div>{longer}</div>",
        fields=[_setting(name, available[name], config, kept) for name in names],
        more=select_input("again-more", others, "", "again-more", aria_label="Change another setting"),
        start=button("Run again", "again-start", "accent", run=record.id, disabled=bool(kept["wrong"])),
        words=words,
        like=button("New run like this one", "run-like", run=record.id),
        longer=record.has_result and record.status not in ACTIVE and longer,
    )


def _setting(name: str, info: About, config: TrainingConfig, kept: dict[str, Any]) -> Html:
    now = getattr(config, name)
    field = Field(f"again-{name}", info.label, error=kept["wrong"].get(name, ""))
    value = kept["changes"].get(name, plain_value(now))
    choices = choices_of(name) or (("yes", "no") if isinstance(now, bool) else ())
    if choices:
        return field.select([(each, each.replace("_", " ")) for each in choices], value, "again-set")
    return field.text(value, "again-set")


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
    """Archive or unarchive the run."""
    visit.studio.saved.annotate(visit.text("run", 100), archived=bool(visit.text("to", 5)))


def pause(visit: Visit) -> None:
    """Pause the run."""
    visit.studio.runs.pause(visit.text("run", 100))


def resume(visit: Visit) -> None:
    """Resume a paused run."""
    visit.studio.runs.resume(visit.text("run", 100))


def checkpoints(visit: Visit) -> None:
    """Delete the checkpoints, which only resuming needs."""
    visit.studio.saved.remove_checkpoints(visit.text("run", 100))


def set_rerun_setting(visit: Visit) -> None:
    """Change a setting for the rerun. The earlier value is no change."""
    run, name = str(visit.choices.extra.get("opened", "")), visit.text("name", 80).removeprefix("again-")
    config, kept, text = visit.studio.runs.spec(run).config, _rerun_state(visit, run), visit.text("value").strip()
    if name not in settings_of():
        return
    changes = {key: value for key, value in kept["changes"].items() if key != name}
    wrong = {key: value for key, value in kept["wrong"].items() if key != name}
    if text != plain_value(getattr(config, name)):
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
    if name in settings_of() and name not in kept["more"]:
        visit.remember(again={**kept, "more": [*kept["more"], name]})


def start_rerun(visit: Visit) -> None:
    """Run it again with the changes."""
    run = visit.text("run", 100)
    visit.settle()
    changes = {name: typed(name, text) for name, text in _rerun_state(visit, run)["changes"].items()}
    made = visit.studio.runs.rerun(run, changes)
    visit.remember(again={})
    open_run(visit, made.id)


def extend(visit: Visit) -> None:
    """Continue from its result for more epochs."""
    made = visit.studio.runs.extend(visit.text("run", 100), float(typed("epochs", visit.text("passes", 20))))
    open_run(visit, made.id)


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
