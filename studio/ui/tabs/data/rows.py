"""The view of the rows: the table with roles, the data checks and the splits. Part of the Data tab."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from studio.schema.dataset import CheckReport, DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.labeling import Unlabeled
from studio.schema.numbers import plural, size
from studio.schema.numbers import rows as rows_words
from studio.schema.views import Page
from studio.services.datasets.check_options import CheckOptions
from studio.tasks import task_named
from studio.ui.components.basic import Primary, action_bar, button, heading, note, segments, without_flags
from studio.ui.components.data_checks import doctor_panel, splits_panel
from studio.ui.components.icons import icon
from studio.ui.components.import_preview import reading_fold, which_sheet
from studio.ui.components.layout import poll
from studio.ui.components.markup import Html, Verbatim, html, join
from studio.ui.components.rows import IGNORE, PAGE, rows_foot, rows_table
from studio.ui.tabs.data import (
    augmentation,
    check_progress,
    import_data,
    import_options,
    labeling,
    library,
    row_editor,
    splits,
    stale_guard,
    task_picker,
    tokens,
    unlabeled,
    versions,
)
from studio.ui.tabs.data.check_progress import check_key
from studio.ui.tabs.method.plan import plan_key
from studio.ui.visitors.session import Visit

MOST_COUNTED = 20_000
"""Maximum number of rows whose tokens are counted without a request."""
LOOKED_AT = 3000
"""Milliseconds before a run on the shown rows is prepared."""
VIEWS = (
    ("rows", "Rows", ""),
    ("tokens", "What the model sees", ""),
    ("label", "Label", ""),
    ("more", "Data augmentation", ""),
    ("versions", "Versions", ""),
)


@dataclass(frozen=True)
class DatasetState:
    """The state of a dataset: its record, its roles, and the report of the data checks or why there is none."""

    record: DatasetRecord
    roles: dict[str, str | None]
    report: CheckReport | None
    refused: StudioError | None
    waiting: bool = False
    """There are many rows: the table is shown first, and checked afterwards."""
    unlabeled: Unlabeled | None = None
    """The rows have texts but no labels yet."""


def drawn(visit: Visit) -> tuple[Html, Html]:
    """Body and action bar."""
    if visit.choices.view == "library":
        return library.drawn(visit)
    if job := import_options.running_job(visit):
        return import_options.drawn(job)
    chosen, record = visit.choices, None
    with suppress(StudioError):  # another tab may have deleted it
        record = visit.studio.datasets.get(chosen.dataset) if chosen.dataset else None
    if chosen.dataset and record is None:
        visit.choose(dataset="", view="rows")
    if record is None or chosen.view == "bring":
        return import_data.drawn(visit, library.offer(visit))
    if not chosen.task and chosen.view != "versions":
        return _frame(visit, "", task_picker.drawn(visit, record)), task_picker.bar()
    if chosen.view == "label":
        side, body, actions = labeling.drawn(visit)
        return _frame(visit, side, body), actions
    return _dataset_view(visit)


def _dataset_view(visit: Visit) -> tuple[Html, Html]:
    """Body and action bar of the chosen view of a dataset."""
    state = dataset_state(visit)
    side: Html | str = ""
    match visit.choices.view:
        case "versions":
            body = versions.drawn(visit)
        case "more" if state.report is None:
            body = note("", "First set the role of each column, in the view Rows.")
        case "more":
            body = augmentation.drawn(visit)
        case "tokens":
            side, body = tokens.side(visit), tokens.drawn(visit, state.refused is None)
        case _:
            side, body = _read_as(visit, state), _rows(visit, state)
    return _frame(visit, side, body), _bar(state)


def dataset_state(visit: Visit) -> DatasetState:
    """The open dataset with its roles and the report of the data checks."""
    chosen = visit.choices
    record = visit.studio.datasets.get(chosen.dataset)
    tried = chosen.extra.get("roles") or {}
    if tried.get("of") == record.id:
        roles = {column: None if tried.get(column, IGNORE) == IGNORE else tried[column] for column in record.columns}
        given_roles = {column: tried[column] for column in record.columns if column in tried}
        try:
            visit.studio.datasets.spec(record.id, chosen.task, given_roles, labels_too=False)
        except StudioError as error:
            return DatasetState(record, roles, None, error)
    try:
        if check_progress.needs_check(visit, record):
            spec = visit.studio.datasets.spec(record.id, chosen.task, labels_too=False)
            return DatasetState(record, {column: spec.roles.get(column) for column in record.columns}, None, None, True)
        report = _check(visit)
    except StudioError as error:
        roles = {column: None for column in record.columns}
        return DatasetState(record, roles, None, error, unlabeled=visit.studio.labels.unlabeled(record.id, chosen.task))
    needed = visit.studio.labels.unlabeled(record.id, chosen.task) if report.blocked else None
    return DatasetState(record, dict(report.columns), report, None, unlabeled=needed)


def _check(visit: Visit) -> CheckReport:
    """The report of the data checks; with rows that are too long, if tokens were counted."""
    chosen, checks = visit.choices, visit.studio.checks
    if chosen.extra.get("measured") == measurement_key(visit):
        try:
            return check_lengths(visit)
        except StudioError:
            return checks.check(chosen.dataset, chosen.task)
    return checks.check(chosen.dataset, chosen.task, CheckOptions(whole=augmentation.every_row(visit)))


def check_lengths(visit: Visit) -> CheckReport:
    """The report of the data checks with the rows that are too long for the model."""
    chosen = visit.choices
    options = CheckOptions(model=chosen.model, max_length=chosen.settings.get("max_length"))
    return visit.studio.checks.check(chosen.dataset, chosen.task, options)


def measurement_key(visit: Visit) -> str:
    """A key for the rows, roles and model whose tokens were counted."""
    return f"{check_key(visit)} {visit.choices.model}"


def _frame(visit: Visit, side: Any, body: Any) -> Html:
    chosen, record = visit.choices, visit.studio.datasets.get(visit.choices.dataset)
    return html(
        '{offer}{source}{head}{about}<div class="row wrap views">{views}<div class="right row">{side}</div></div>'
        "{body}",
        offer=library.offer(visit),
        source=library.source(visit, record),
        head=_head(visit, record),
        about=stale_guard.mark(record),
        views=segments("view", "view", VIEWS, chosen.view, "Views of the data"),
        side=side,
        body=body,
    )


def _head(visit: Visit, record: DatasetRecord) -> Html:
    match visit.choices.view:
        case "tokens":
            return heading(
                "What the model sees",
                "The exact tokens that training uses. The model reads the gray ones, and learns to write the blue, "
                "underlined ones.",
            )
        case "versions":
            words = "see what each version changed, compare two, or restore one"
            return heading("Versions", join([Verbatim(record.name), words], " · "))
        case "more":
            words = "What to expect of your rows, whether more would help, and synthetic rows made from them."
            return heading("Data augmentation", words)
        case "label":
            return heading("Label rows", join([Verbatim(record.name), "each key press is saved at once"], " · "))
    facts = [rows_words(record.rows), plural(len(record.columns), "{n} column", "{n} columns"), size(record.bytes)]
    side = [
        html(
            '<label class="btn s filebtn">{i}Replace file<input type="file" class="sr" data-file multiple '
            'aria-label="Replace file"></label>',
            i=icon("upload"),
        ),
        button("Paste rows", "bring", "s", fold="paste"),
        button("Sample", "bring", "s", fold="sample"),
        not visit.demo and button("Hub dataset", "bring", "s", fold="hub"),
        *_versions(visit, record),
    ]
    facts += [f"version {record.version}", record.note.rstrip(".")]
    return heading("Your rows", join([Verbatim(record.name), *filter(None, facts)], " · "), side)


def _versions(visit: Visit, record: DatasetRecord) -> list[Html]:
    """Buttons for the previous and the next version."""
    known = [each.version for each in visit.studio.versions.all(record.id)]
    before, after = [v for v in known if v < record.version], [v for v in known if v > record.version]
    made = []
    if before:
        made.append(button(f"Back to version {max(before)}", "version", "s", "undo", version=max(before)))
    if after:
        made.append(button(f"Forward to version {min(after)}", "version", "s", version=min(after)))
    return made


def _read_as(visit: Visit, state: DatasetState) -> Html:
    task = next((each for each in visit.studio.catalog.tasks() if each.name == visit.choices.task), None)
    if task is None or state.report is None:
        return Html("")
    reason = state.report.task_reason or task.reads_as
    return html(
        '<span class="muted hide-s">Read as <b class="txt">{task}</b>: {reason}</span>', task=task.title, reason=reason
    )


def _rows(visit: Visit, state: DatasetState) -> Html:
    chosen = visit.choices
    if state.report is None and not chosen.only:
        page = visit.studio.datasets.rows(chosen.dataset, chosen.page, PAGE)
    else:
        page_range, whole = Page(chosen.page, PAGE), augmentation.every_row(visit)
        page = visit.studio.datasets.checked_rows(chosen.dataset, chosen.task or None, page_range, chosen.only, whole)
    known = next((each.roles for each in visit.studio.catalog.tasks() if each.name == chosen.task), ())
    counts, doctor, changing = None, check_progress.panel(visit, state.record) if state.waiting else Html(""), None
    if not state.waiting:
        counts, refused = splits.counts(visit)
        version = max(each.version for each in visit.studio.versions.all(state.record.id))
        change = state.record.note if state.record.version > 1 else ""
        doctor = doctor_panel(state.report, refused if state.report and refused else state.refused, version, change)
        if state.unlabeled:
            doctor = unlabeled.panel(state.unlabeled)
    if chosen.extra.get("shares"):
        changing = splits.fields(visit, state.record)
    return html(
        '{sheet}{other}{how}<div class="cols main-side w400"><section class="panel flush" data-key="rows" '
        'aria-label="Rows">{table}{foot}</section>'
        '<div class="stack">{cells}{language}{doctor}{closer}{splits}{shows}</div></div>{poll}',
        cells=row_editor.panel(visit),
        language=_language(visit, state),
        sheet=which_sheet(state.record),
        how=reading_fold(state.record),
        other=html("{t}{o}", t=_other_task(visit, state), o=unlabeled.offer(visit, state.record)),
        table=rows_table(page, state.roles, known),
        foot=rows_foot(page, chosen.only),
        doctor=doctor,
        closer=augmentation.extra_checks(visit, state.report),
        splits=state.report and splits_panel(counts, 42, changing),
        shows=unlabeled.of_splits(counts, task_named(chosen.task).has_labels),
        poll=_next(visit, state),
    )


def _language(visit: Visit, state: DatasetState) -> Html:
    """A warning if the chosen model was not trained on the language of the rows."""
    chosen = visit.choices
    if state.report is None or not chosen.model:
        return Html("")
    try:
        words = visit.studio.planning.language_note(chosen.dataset, chosen.model, chosen.task)
    except StudioError:  # the folder of the model was deleted
        return Html("")
    return note("warn", words) if words else Html("")


def _next(visit: Visit, state: DatasetState) -> Html | str:
    """What the page requests after the table is drawn: a count of the tokens, later a prepared run."""
    chosen = visit.choices
    if state.waiting or state.report is None or state.record.rows > MOST_COUNTED or not chosen.model:
        return ""
    try:
        is_here = visit.studio.models.get(chosen.model).info.here
    except StudioError:  # the folder of the model was deleted: the Model tab says so
        return ""
    if not is_here:
        return ""
    if chosen.extra.get("measured") != measurement_key(visit):
        return poll("measure", 100, repeat=False)
    if chosen.extra.get("estimated") != plan_key(visit) and not state.report.blocked:
        return poll("foresee", LOOKED_AT, repeat=False)
    return ""


def _other_task(visit: Visit, state: DatasetState) -> Html:
    """A note when the columns look like those of another task, with a button to change it."""
    try:
        unsure = state.record.spec is None or state.refused
        guess = visit.studio.datasets.spec(state.record.id, labels_too=False) if unsure else None
    except StudioError:
        return Html("")
    if guess is None or guess.task == visit.choices.task:
        return Html("")
    title = next((each.title for each in visit.studio.catalog.tasks() if each.name == guess.task), guess.task)
    roles = ", ".join(f"{column} as {role}" for column, role in guess.roles.items())
    words = html("<p>These columns look like <b>{t}</b>: {r}.</p>", t=title, r=Verbatim(roles))
    return note("acc", words, button(f"Change to {title}", "task", task=guess.task))


def _bar(state: DatasetState) -> Html:
    report, primary = state.report, Primary("Next: method", goto="method")
    if state.unlabeled:
        return unlabeled.bar()
    if state.waiting:
        words: Html | str = html("<b>{n}</b>", n=rows_words(state.record.rows))
    elif report is None or report.blocked:
        words = without_flags(report.blocked) if report else "Set the role of each column, above the table."
        primary = Primary("Next: method", disabled=True)
    else:
        warned = any(each.severity != "note" for each in report.problems)
        more = " can be used · warnings do not stop you" if warned else " can be used"
        words = html("<b>{n}</b>{w}", n=rows_words(report.usable), w=more)
    return action_bar(words, primary, back="model")
