"""Import of rows: files, pasted rows, samples, Hub datasets, or an existing dataset. Part of the Data tab."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from studio.schema.dataset import DatasetRecord, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.numbers import ago
from studio.schema.numbers import rows as rows_words
from studio.schema.views import SampleView, TaskView
from studio.ui.components import limits
from studio.ui.components.basic import Field, Primary, action_bar, button, fold, heading
from studio.ui.components.icons import icon
from studio.ui.components.import_preview import hub_form
from studio.ui.components.layout import panel
from studio.ui.components.markup import Html, Verbatim, html, join
from studio.ui.http.uploads import Uploads
from studio.ui.tabs.data import import_options
from studio.ui.visitors.session import Visit

MOST_EARLIER = 4
"""Maximum number of datasets that are listed beside the ways to import. The data library has all."""


def take_files(visit: Visit, files: Uploads) -> None:
    """Import the files that were just sent. If a dataset has their content already, offer to open that one."""
    tickets = visit.text("tickets", 40 * import_options.MOST_FILES) or visit.text("ticket", 64)
    if not visit.text("copy", 5):
        paths = [files.take(visit.workspace, ticket) for ticket in tickets.split()[: import_options.MOST_FILES]]
        if same := visit.studio.library.find_same(paths):
            visit.remember(same={"dataset": same.id, "tickets": tickets})
            return
    visit.remember(same=None)
    if record := import_options.take_files(visit, files):
        open_dataset(visit, record)


def open_when_read(visit: Visit) -> None:
    """Open the dataset when it has been read."""
    if record := import_options.finished(visit):
        open_dataset(visit, record, same=record.id == visit.choices.dataset)


def reread(visit: Visit) -> None:
    """Read the same files with other options."""
    if record := import_options.reread(visit):
        open_dataset(visit, record, same=True)


def paste(visit: Visit) -> None:
    """Import pasted rows."""
    open_dataset(visit, visit.studio.datasets.add_text(visit.text("pasted", 5_000_000)))


def requested_sample(visit: Visit) -> SampleView:
    """The sample that the event names."""
    samples, name = visit.studio.datasets.samples(), visit.text("name")
    for sample in samples:
        if sample.name == name:
            return sample
    raise StudioError(
        "no-such-sample", "There is no sample with this name.", given=name, valid=[each.name for each in samples]
    )


def use_sample(visit: Visit) -> None:
    """Import a sample."""
    sample = requested_sample(visit)
    choose_task(visit, sample.task)
    open_dataset(visit, visit.studio.datasets.add_sample(sample.name))
    visit.choose(prompts=sample.prompts[:3] or None, name=sample.name)


def show_ways(visit: Visit) -> None:
    """Show the ways to import rows, with one open."""
    visit.remember(fold=visit.text("fold"))
    visit.choose(view="bring")


def keep(visit: Visit) -> None:
    """Return to the current rows."""
    visit.choose(view="rows")


ACTS: dict[str, Callable[[Visit], None]] = {
    "reading": open_when_read,
    "stop-reading": import_options.stop,
    "reread": reread,
    "hub-look": import_options.hub_inspect,
    "hub-choose": import_options.hub_choose,
    "hub-fetch": import_options.hub_fetch,
    "paste": paste,
    "sample": use_sample,
    "bring": show_ways,
    "keep": keep,
}


def open_dataset(visit: Visit, record: DatasetRecord, same: bool = False) -> None:
    """Open a dataset and reset the choices for the previous one, unless it is another version of it."""
    visit.choose(version=None, view="rows", page=1, only="", row=1)
    visit.remember(same=None)
    if same:
        visit.remember(roles=None)
        return
    settings = {key: value for key, value in visit.choices.settings.items() if key not in SplitSpec.model_fields}
    if record.spec and record.spec.splits:
        settings |= record.spec.splits.model_dump(exclude_defaults=True)
    visit.remember(roles=None, shares=False, fold="")
    visit.choose(dataset=record.id, prompts=None, name="", settings=settings)
    if not visit.choices.task:
        with suppress(StudioError):  # the columns do not show it: then the tab asks
            choose_task(visit, visit.studio.datasets.spec(record.id, labels_too=False).task)


def users_model(visit: Visit) -> str:
    """The chosen model, unless it is a starter, which may be replaced."""
    model = visit.choices.model
    return "" if visit.studio.models.is_starter(model) else model


def tasks_here(visit: Visit) -> list[TaskView]:
    """All tasks, each with the reason if it does not fit the current rows or the chosen model."""
    known = [each.id for each in visit.studio.datasets.all()]
    return visit.studio.catalog.tasks(
        users_model(visit), visit.choices.dataset if visit.choices.dataset in known else None
    )


def choose_task(visit: Visit, task: str) -> None:
    """Choose a task, and the starter that is made for it unless the task stays.

    A model that the person brought stays; what it can't do is refused.
    """
    chosen, own = visit.choices, users_model(visit)
    if own and task != chosen.task:
        why = next((each.unavailable_reason for each in visit.studio.catalog.tasks(own) if each.name == task), "")
        if why:
            raise StudioError(
                "wrong-model",
                f"The model {own} can't be used for this task.",
                given=task,
                valid=why,
                hint="Choose another model in the Model tab first, for example a starter model.",
            )
    can = [view.info for view in visit.studio.models.all(task) if not view.unavailable_reason]
    made_for_it = sorted(can, key=lambda info: (info.source != "starter", not info.here, len(info.tasks)))
    names = [info.name for info in made_for_it]
    kept = own or (chosen.model if chosen.model in names and task == chosen.task else "")
    model = kept or next(iter(names), "")
    if (task, model) != (chosen.task, chosen.model):
        visit.remember(roles=None)
        visit.choose(task=task, model=model, method="", settings={})


def drawn(visit: Visit, offer: Html) -> tuple[Html, Html]:
    """The ways to import rows, and the columns that the task needs. `offer`: a note about the last upload."""
    side = all_datasets() if not visit.studio.datasets.all() else ""
    body = html(
        '{offer}{head}<div class="cols main-side w400"><div class="stack">{drop}<section class="panel flush" '
        'aria-label="Other ways to import">{ways}</section>{earlier}</div>{shape}</div>',
        offer=offer,
        head=heading("Import your rows", "One row for each example: the input, and the output that you want.", side),
        drop=_drop_zone(visit),
        ways=[_paste(visit), _samples(visit), _hub_fold(visit), _label_fold()],
        earlier=_earlier(visit),
        shape=_shape(visit),
    )
    if visit.choices.dataset:
        words = "Choose other rows above, or keep these."
        return body, action_bar(words, Primary("Keep these rows", "keep"), back="model")
    words = "Import rows first: drop a file, or use a sample."
    return body, action_bar(words, Primary("Next: method", disabled=True), back="model")


def _drop_zone(visit: Visit) -> Html:
    most = limits.files(visit.limits)
    return html(
        '<section class="drop" data-drop aria-label="Drop files">{i}<h2>Drop files here</h2><p class="muted">CSV, '
        "TSV, Excel, JSON, JSONL, Parquet, text, Markdown, or a zip of them. Several files become one "
        "dataset.{limit}</p>"
        '<label class="btn accent filebtn">Choose a file<input type="file" class="sr" data-file multiple '
        'aria-label="Choose a file"></label><div class="sending" data-sending data-keep aria-live="polite"></div>'
        "</section>",
        i=icon("upload"),
        limit=f" Up to {most}." if most else "",
    )


def _way(visit: Visit, name: str, title: str, summary: Any, body: Html) -> Html:
    """A fold with a way to import rows.

    Its key changes when the fold has to open: the script then takes it for a new one.
    """
    is_open = visit.choices.extra.get("fold") == name
    return fold(title, summary, body, is_open, f"way-{name}-{is_open}")


def _paste(visit: Visit) -> Html:
    help_ = "Copied from a spreadsheet, or as CSV, JSON or JSON lines."
    tasks = visit.studio.catalog.tasks()
    task = next((each for each in tasks if each.name == visit.choices.task), tasks[0])
    example = "\n".join("\t".join(cells) for cells in (_example_columns(task), *task.example_rows[:1]))
    rows = Field("pasted", "Rows, with the column names in the first line", help_)
    body = html(
        '<div class="stack mid">{rows}<div class="row">{use}</div></div>',
        rows=rows.area("", "", rows=8, placeholder=example),
        use=button("Use these rows", "paste", take="pasted"),
    )
    return _way(visit, "paste", "Paste rows", "from a spreadsheet, with the column names", body)


def _samples(visit: Visit) -> Html:
    samples = visit.studio.datasets.samples()
    rows = [
        html(
            '<li><span class="grow"><b>{name}</b><small>{sentence}, {rows}</small></span>{use}</li>',
            name=Verbatim(each.name),
            sentence=each.sentence.rstrip("."),
            rows=rows_words(each.rows),
            use=button("Use", "sample", "s", name=each.name, aria_label=f"Use this sample: {each.name}"),
        )
        for each in samples
    ]
    names = join([Verbatim(each.name) for each in samples], ", ")
    return _way(visit, "sample", "Use a sample", names, html('<ul class="list opts">{r}</ul>', r=rows))


def _hub_fold(visit: Visit) -> Html:
    if visit.demo:
        return Html("")
    form = hub_form(import_options.hub_choices(visit), import_options.hub_dataset(visit))
    return _way(visit, "hub", "Hub dataset", "by its name, with a limit of rows", form)


def _label_fold() -> Html:
    words = html(
        "<p>Import a file with one text in each row. A label column is not needed. Then open the view <b>Label</b>, "
        "name your labels, and give each row a label with one key. Train on the labeled rows.</p>"
    )
    summary = "import texts only, then add the labels here"
    return fold("Label from scratch", summary, words, key="way-label")


def _earlier(visit: Visit) -> Html:
    datasets = visit.studio.datasets.all()[:MOST_EARLIER]
    rows = [
        html(
            '<li><span class="grow"><b class="cut">{name}</b><small>{facts}</small></span>{open}</li>',
            name=Verbatim(each.name),
            facts=join([rows_words(each.rows), f"version {each.version}", ago(each.created)], " · "),
            open=button("Open", "reopen", "s", dataset=each.id, aria_label=f"Open {each.name}"),
        )
        for each in datasets
    ]
    side = html('<span class="right">{b}</span>', b=all_datasets())
    body = html('<ul class="list opts">{r}</ul>', r=rows)
    return panel("Your datasets", "before", body, side) if datasets else Html("")


def all_datasets() -> Html:
    """The button that opens the data library."""
    return button("All datasets", "library", "s")


def _shape(visit: Visit) -> Html:
    """Example rows of the chosen task; without one, of the first two."""
    tasks = visit.studio.catalog.tasks()
    task = next((each for each in tasks if each.name == visit.choices.task), None)
    note = task.example_note if task else tasks[0].example_note
    body = html(
        '{tables}<div class="body stack tight"><p>The columns can have any name. You set their roles on the next '
        'screen.{note}</p><p class="muted">A few hundred rows are a good start. You can add more later.</p></div><p '
        'class="bar foot small">{stay} Every version is saved.</p>',
        tables=_example(task) if task else [html("{t}{e}", t=_named(each), e=_example(each)) for each in tasks[:2]],
        note=note and f" {note}",
        stay=limits.where(visit.account) if visit.demo else "Your rows stay on this machine.",
    )
    return panel(f"What {task.title.lower() if task else 'a model'} needs", "shape", body)


def _named(task: TaskView) -> Html:
    return html('<p class="bar small"><b>{title}</b></p>', title=task.title)


def _example_columns(task: TaskView) -> tuple[str, ...]:
    """The columns of a task's example rows."""
    return task.example_roles or tuple(role.name for role in task.roles if role.required)


def _example(task: TaskView) -> Html:
    """Two rows of a task as a table."""
    heads = _example_columns(task)
    rows = [[html('<td translate="no">{c}</td>', c=cell) for cell in row] for row in task.example_rows]
    return html(
        '<table class="wells"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>',
        heads=[html('<th translate="no">{r}</th>', r=role) for role in heads],
        rows=[html("<tr>{cells}</tr>", cells=cells) for cells in rows],
    )
