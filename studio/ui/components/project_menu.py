"""The project in the header, and the dialog in which projects are opened, made, renamed, exported and deleted.

js/projects.js opens the dialog and changes the project of this browser. It draws the page again for that, so no part of
the page can mix two projects. A public demo has no projects.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import gradio as gr

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.schema.numbers import ago, plural, runs, size
from studio.schema.projects import ProjectRecord, ProjectView
from studio.services.projects import LONGEST_TITLE, Projects
from studio.ui.components import layout
from studio.ui.components.basic import alert, button, note, text_input, track
from studio.ui.components.icons import icon
from studio.ui.components.markup import Html, Verbatim, attrs, html
from studio.ui.http import static
from studio.ui.http.uploads import Uploads
from studio.ui.jobs import JOBS, Job
from studio.ui.shell import Handler, Shell, Updates
from studio.ui.visitors.session import Visit

EXPORT, IMPORT = "project export", "project import"
"""Names of the jobs of a page."""
EXPORTED = "exported-project"
"""Folder among the uploads of a workspace with the file of the last export. It is removed after six hours."""
RENAMING = "renaming_project"

BUTTON = html(
    '<button type="button" class="btn s quiet project" aria-haspopup="dialog" title="Projects">{icon}'
    '<span class="hide-s">Project: <bdi translate="no"></bdi></span></button>'
    '<dialog class="projects" aria-labelledby="projects-title"><div class="row head"><h2 id="projects-title" '
    'class="grow">Projects</h2><button type="button" class="btn s quiet" data-close>Close</button></div>'
    '<div class="slot stack"></div></dialog>',
    icon=icon("folder"),
)


def build() -> gr.HTML:
    """Make the button and the dialog."""
    return gr.HTML(
        value="",
        html_template=BUTTON,
        js_on_load="window.studio.projects(element)",
        head=static.head(),
        apply_default_css=False,
        elem_id="projects",
        elem_classes=["projects-slot"],
    )


def wire(part: gr.HTML, shell: Shell) -> None:
    """Wire the actions of the dialog. An error is shown in it."""
    actions: dict[str, Any] = {
        "draw": look,
        "project-new": create,
        "project-rename": start_renaming,
        "project-name": rename,
        "project-delete": delete,
        "project-restore": restore,
        "project-remove": remove,
        "project-export": lambda visit: export(visit, shell.files),
        "project-cancel": cancel,
        "file": lambda visit: import_file(visit, shell.files),
    }

    def handler(act: Any) -> Handler:
        def acted(visit: Visit) -> Updates:
            try:
                result = act(visit)
            except StudioError as error:
                result = alert(error)
            if isinstance(result, ProjectRecord):  # the open one may be deleted, so nothing else is drawn
                return {part: current(result, html("<i hidden{attrs}></i>", attrs=attrs(data_switch=result.id)))}
            return {part: panel(visit, result or "")}

        return acted

    table = {name: handler(act) for name, act in actions.items()}
    shell.pages["model"].actions(part, {**table, "typed": lambda visit: None})
    shell.header = lambda visit: {part: current(visit.studio.projects.current)}


# --- what a person does: each returns what is shown above the list, or a project, which is then opened ---


def look(visit: Visit) -> None:
    """Draw the dialog. It begins without a field for a new name."""
    if visit.text("begin", 5) and visit.choices.extra.get(RENAMING):
        visit.remember(**{RENAMING: ""})


def create(visit: Visit) -> ProjectRecord:
    """A new project."""
    return visit.studio.projects.create(_typed(visit, "new_title"))


def _typed(visit: Visit, field: str) -> str:
    """What was typed in a field: sent by Enter in it, or by the button beside it."""
    return visit.text("value" if "value" in visit.event else field, 400)


def start_renaming(visit: Visit) -> None:
    """Show the field for a new name, or hide it."""
    visit.remember(**{RENAMING: visit.text("project", 40)})


def rename(visit: Visit) -> None:
    """Rename a project."""
    visit.studio.projects.rename(visit.text("project", 40), _typed(visit, "title"))
    visit.remember(**{RENAMING: ""})


def delete(visit: Visit) -> Html | ProjectRecord:
    """Delete a project. Where it is the open one, the default project is opened."""
    record = visit.studio.projects.delete(visit.text("project", 40))
    if record.id == visit.workspace:
        return visit.studio.projects.find("default")
    undo = button("Undo", "project-restore", "s", "undo", project=record.id)
    return html('<div role="status">{n}</div>', n=note("ok", f"The project “{record.title}” was deleted.", undo))


def restore(visit: Visit) -> Html:
    """Restore a deleted project."""
    record = visit.studio.projects.restore(visit.text("project", 40))
    return _done(f"The project “{record.title}” was restored.", record)


def remove(visit: Visit) -> None:
    """Remove a deleted project for good."""
    name = visit.studio.projects.find(visit.text("project", 40), deleted=True).id
    visit.close_workspace(name)
    visit.studio.projects.remove(name)


def export(visit: Visit, files: Uploads) -> None:
    """Export a project to a file that can then be downloaded."""
    record, projects = visit.studio.projects.find(visit.text("project", 40)), visit.studio.projects
    folder = files.root / visit.workspace / EXPORTED

    def work(job: Job) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        projects.export(record.id, folder / f"{_file_name(record.title)}.zip", job.advance, job.cancelled)

    JOBS.begin((visit.workspace, EXPORT), Job(record.title), work)


def import_file(visit: Visit, files: Uploads) -> None:
    """Import a project from the file that was just sent."""
    ticket = next(iter(visit.text("tickets", 40).split()), "")
    path, projects = files.take(visit.workspace, ticket), visit.studio.projects

    def work(job: Job) -> ProjectRecord:
        try:
            return projects.import_file(path, "", job.advance, job.cancelled)
        finally:
            files.forget(path)

    job = Job(path.name)
    if JOBS.begin((visit.workspace, IMPORT), job, work) is not job:
        files.forget(path)
        raise StudioError("wrong-state", "Another import is running.", hint="Wait until it ends, or cancel it.")


def cancel(visit: Visit) -> None:
    """Cancel the export or the import."""
    JOBS.cancel((visit.workspace, IMPORT if visit.text("job", 40) == IMPORT else EXPORT))


# --- what is shown ---


def current(record: ProjectRecord, body: Any = "") -> Html:
    """The content of the dialog, with the open project, which the script writes into the header."""
    return html(
        '<div class="stack" data-open-project="{id}" data-title="{title}">{body}</div>',
        id=record.id,
        title=record.title,
        body=body,
    )


def panel(visit: Visit, result: Any = "") -> Html:
    """The dialog: the projects, a field for a new one, import, and the deleted ones."""
    projects = visit.studio.projects
    renaming = visit.choices.extra.get(RENAMING, "")
    records, gone = projects.all(), projects.all(deleted=True)
    rows = [_row(projects.view(each), each.id == visit.workspace, each.id == renaming) for each in records]
    work = [_job(visit, EXPORT), _job(visit, IMPORT)]
    body = html(
        '{result}{work}<ul class="list opts">{rows}</ul>{new}{gone}',
        result=result,
        work=work,
        rows=rows,
        new=_new(),
        gone=_deleted(projects, gone) if gone else "",
    )
    return current(projects.current, body)


def _row(view: ProjectView, is_open: bool, renaming: bool) -> Html:
    title = view.title
    if renaming:
        field = _name_field(
            "title", title, "project-name", aria_label="New name", data_project=view.id, data_autofocus=True
        )
        content = html(
            '<span class="row name">{field}{save}{back}</span>',
            field=field,
            save=button("Save", "project-name", "s", project=view.id, take="title"),
            back=button("Cancel", "project-rename", "s quiet", project=""),
        )
    else:
        content = html(
            '<span class="grow"><b class="cut">{title}</b><small>{inside}</small></span>{buttons}',
            title=Verbatim(title),
            inside=_inside(view),
            buttons=_buttons(view, is_open),
        )
    return html('<li data-key="{id}" class="wrap">{content}</li>', id=view.id, content=content)


def _inside(view: ProjectView) -> str:
    datasets = plural(view.datasets, "{n} dataset", "{n} datasets")
    return f"{datasets} · {runs(view.runs)} · {size(view.bytes)}"


def _buttons(view: ProjectView, is_open: bool) -> Html:
    title = view.title
    inside = _inside(view).replace(" · ", ", ")
    opened = html('<span class="tag acc">Open now</span>')
    delete_button = button(
        "Delete",
        "project-delete",
        "s quiet danger",
        project=view.id,
        aria_label=f"Delete project {title}",
        confirm=f"Delete the project “{title}”? It has {inside}. You can restore it in this dialog.",
    )
    return html(
        '<span class="row wrap">{open}{rename}{export}{delete}</span>',
        open=opened if is_open else _open(view),
        rename=button("Rename", "project-rename", "s quiet", project=view.id, aria_label=f"Rename project {title}"),
        export=button("Export", "project-export", "s quiet", project=view.id, aria_label=f"Export project {title}"),
        delete="" if view.id == "default" else delete_button,
    )


def _open(record: ProjectRecord) -> Html:
    return button("Open", "", "s", to_project=record.id, aria_label=f"Open project {record.title}")


def _new() -> Html:
    return html(
        '<div class="row wrap"><span class="row name">{field}{create}</span>'
        '<label class="btn filebtn">Import project<input type="file" class="sr" data-file accept=".zip" '
        'aria-label="Import a project from a file"></label></div>'
        '<div data-sending data-keep aria-live="polite"></div>',
        field=_name_field("new_title", "", "project-new", placeholder="Name", aria_label="Name of the new project"),
        create=button("New project", "project-new", "", "plus", take="new_title"),
    )


def _name_field(name: str, value: str, enter: str, **attributes: Any) -> Html:
    """A field for the name of a project. Enter in it does the same as the button beside it."""
    return text_input(name, value, "typed", maxlength=LONGEST_TITLE, data_enter=enter, **attributes)


def _deleted(projects: Projects, gone: list[ProjectRecord]) -> Html:
    rows = []
    for view in map(projects.view, gone):
        title, inside = view.title, _inside(view).replace(" · ", ", ")
        restore_button = button(
            "Restore", "project-restore", "s", project=view.id, aria_label=f"Restore project {title}"
        )
        remove_button = button(
            "Delete for good",
            "project-remove",
            "s quiet danger",
            project=view.id,
            aria_label=f"Delete project {title} for good",
            confirm=f"Delete the project “{title}” for good? You lose {inside}. This can't be undone.",
        )
        rows.append(
            html(
                '<li data-key="{id}" class="wrap"><span class="grow"><b class="cut">{title}</b><small>{inside} · '
                '{time}</small></span><span class="row wrap">{restore}{remove}</span></li>',
                id=view.id,
                title=Verbatim(title),
                inside=_inside(view),
                time=f"deleted {ago(view.deleted)}",
                restore=restore_button,
                remove=remove_button,
            )
        )
    return html(
        '<details class="fold"><summary>{title}</summary><ul class="list opts">{rows}</ul></details>',
        title=plural(len(gone), "{n} deleted project", "{n} deleted projects"),
        rows=rows,
    )


def _job(visit: Visit, kind: str) -> Html:
    """The progress of an export or import, or its result."""
    key = visit.workspace, kind
    job = JOBS.get(key)
    if job is None:
        return Html("")
    if not job.ended:
        title = f"Exporting “{job.title}” …" if kind == EXPORT else f"Importing “{job.title}” …"
        return html(
            '<div class="row" role="status"><span class="grow">{title}</span>{track}{cancel}</div>{poll}',
            title=title,
            track=track(job.share, label=f"{round(100 * job.share)} percent"),
            cancel=button("Cancel", "project-cancel", "s", job=kind),
            poll=layout.poll("draw", 700),
        )
    if job.error:
        visit.take_job(key)
        return alert(job.error)
    if kind == IMPORT:
        visit.take_job(key)
        return _done(f"The project “{job.result.title}” was imported.", job.result)
    path = next(iter(sorted((visit.studio.home.root / "uploads" / visit.workspace / EXPORTED).glob("*.zip"))), None)
    if path is None:  # removed after some hours
        visit.take_job(key)
        return Html("")
    down = button("Download", "", "s", "download", download="project", run="", aria_label=f"Download {path.name}")
    words = html("<p>{name}, {size}</p>", name=Verbatim(path.name), size=size(path.stat().st_size))
    return html('<div role="status">{n}</div>', n=note("ok", words, down))


def _done(sentence: str, record: ProjectRecord) -> Html:
    return html('<div role="status">{n}</div>', n=note("ok", sentence, _open(record)))


def exported_file(studio: Studio) -> Path:
    """The file of the last export of a project that a page of this workspace made."""
    studio.context.owner_only("A project")
    folder = studio.home.root / "uploads" / studio.context.workspace.name / EXPORTED
    path = next(iter(sorted(folder.glob("*.zip"))), None)
    if path is None:
        raise StudioError("not-allowed", "This file was removed.", hint="Export the project again.")
    return path


def _file_name(title: str) -> str:
    return re.sub(r"[^\w-]+", "-", title).strip("-")[:60] or "project"
