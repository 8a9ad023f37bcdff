"""The data library: all datasets of the workspace, and which of them the tab shows. Part of the Data tab."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any

from studio.schema.dataset import DatasetEntry, DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.numbers import ago, plural, size
from studio.schema.numbers import rows as rows_words
from studio.schema.runs import RunRecord
from studio.ui.components.basic import Primary, action_bar, button, final, heading, note, tag, text_input
from studio.ui.components.layout import foot, page_buttons
from studio.ui.components.markup import Html, Verbatim, html, join
from studio.ui.tabs.data import import_data, import_options
from studio.ui.visitors.session import Visit

PAGE = 20
MAX_NAMES = 3
"""Maximum number of runs that are named for each dataset."""


# --- which dataset the tab shows ---


def source(visit: Visit, record: DatasetRecord) -> Html:
    """Whose rows these are: those of the current run, or of the next run. With a button to all datasets."""
    run, version, back, gone = _current_run(visit), record.version, Html(""), Html("")
    if run is None or run.dataset != record.id:
        words = f"Dataset of your next run, version {version}"
        if run is not None and run.dataset not in {each.id for each in visit.studio.datasets.all()}:
            gone = note("warn", f"The dataset of the run “{run.name}” was deleted. You see the rows of your next run.")
    elif run.dataset_version == version:
        words = f"Dataset of the run “{run.name}”, version {version}"
    else:
        trained = run.dataset_version
        words = f"Dataset of the run “{run.name}”, which was trained on version {trained}. You see version {version}."
        if trained in {each.version for each in visit.studio.versions.all(record.id)}:
            back = button(f"Use version {trained}", "version", "s quiet", version=trained)
    return html(
        '{gone}<div class="row wrap source"><span class="muted">{words}</span>{back}'
        '<span class="right">{all}</span></div>',
        gone=gone,
        words=words,
        back=back,
        all=import_data.all_datasets(),
    )


def _current_run(visit: Visit) -> RunRecord | None:
    try:
        return visit.studio.runs.get(visit.choices.run) if visit.choices.run else None
    except StudioError:  # another tab has deleted it
        return None


# --- the same file again ---


def offer(visit: Visit) -> Html:
    """After an upload whose content a dataset has already: to open that dataset, or to import a copy."""
    same = visit.choices.extra.get("same") or {}
    record = next((each for each in visit.studio.datasets.all() if each.id == same.get("dataset")), None)
    if record is None:
        return Html("")
    (entry,) = visit.studio.library.entries([record])
    words = f"This file is here already: “{entry.name}”, version {entry.version}, imported {ago(entry.created)}."
    if entry.labeled:
        words += f" {entry.labeled:,} of its {rows_words(entry.rows)} are labeled."
    name = entry.name
    buttons = html(
        '<span class="row wrap">{open}{copy}</span>',
        open=button("Open that dataset", "reopen", "accent", dataset=entry.id, aria_label=f"Open that dataset: {name}"),
        copy=button("Import a copy", "file", tickets=same.get("tickets", ""), copy="yes"),
    )
    return html('<div role="alert" tabindex="-1">{note}</div>', note=note("acc", words, buttons))


# --- the library ---


def drawn(visit: Visit) -> tuple[Html, Html]:
    """All datasets, a page at a time, and the action bar."""
    records = visit.studio.datasets.all()
    start = min(max(1, int(visit.choices.extra.get("library") or 1)), max(1, len(records)))
    start -= (start - 1) % PAGE  # the only dataset of the last page may have been deleted
    entries = visit.studio.library.entries(records[start - 1 : start - 1 + PAGE])
    titles = {task.name: task.title for task in visit.studio.catalog.tasks()}
    body = html(
        '<div class="stack">{reading}{head}{list}</div>',
        reading=import_options.running_job(visit) and note("", "A file is being read.", button("Show it", "keep", "s")),
        head=heading(
            "All datasets",
            "Labels, fixes and versions are saved with their dataset. It stays until you delete it.",
            button("Import rows", "bring", icon_name="upload"),
        ),
        list=_list(visit, entries, titles, start, len(records)) if entries else _empty(),
    )
    return body, _bar(visit, records)


def _bar(visit: Visit, records: Sequence[DatasetRecord]) -> Html:
    open_name = next((each.name for each in records if each.id == visit.choices.dataset), "")
    if open_name:
        return action_bar(f"“{open_name}” is open.", Primary("Back to these rows", "keep"), back="model")
    words = "Open a dataset, or import other rows." if records else "Import rows first."
    return action_bar(words, Primary("Import rows", "bring"), back="model")


def _empty() -> Html:
    return html(
        '<section class="panel stack tight" aria-labelledby="nodata"><h2 id="nodata">No datasets yet</h2>'
        "<p>Import a file, paste rows, or use a sample. Each import becomes a dataset of this list.</p></section>"
    )


def _list(visit: Visit, entries: list[DatasetEntry], titles: dict[str, str], start: int, total: int) -> Html:
    renaming = str(visit.choices.extra.get("renaming_data", ""))
    last = start + len(entries) - 1
    words = plural(total, "{n} dataset", "{n} datasets")
    pager = page_buttons("library", start, total, PAGE, "datasets") if total > PAGE else ""
    return html(
        '<section class="panel flush" aria-label="All datasets"><ul class="list opts library">{items}</ul>{foot}'
        "</section>",
        items=[
            _item(each, titles, each.id == visit.choices.dataset, each.id == renaming, _other_formats(visit, each))
            for each in entries
        ],
        foot=foot(words if total <= PAGE else f"Datasets {start:,} to {last:,} of {total:,}", pager),
    )


def _item(each: DatasetEntry, titles: dict[str, str], is_open: bool, renaming: bool, formats: Html) -> Html:
    name = html('<b class="cut">{n}</b>', n=Verbatim(each.name))
    if renaming:
        box: dict[str, Any] = {"aria_label": "New name", "maxlength": 120, "data_dataset": each.id}
        name = text_input("new-name", each.name, "rename-data", data_autofocus="", **box)
    return html(
        '<li data-key="{key}"><div class="grow"><span class="row">{name}{open}</span><small>{facts}</small>'
        '<small>{runs}</small>{formats}</div><div class="row wrap acts">{acts}</div></li>',
        key=each.id,
        name=name,
        open=is_open and tag("open", "ok"),
        facts=join(_facts(each, titles), " · "),
        runs=_runs(each),
        formats=formats,
        acts=_acts(each),
    )


def _facts(each: DatasetEntry, titles: dict[str, str]) -> list[Any]:
    facts: list[Any] = [rows_words(each.rows), titles.get(each.task, "") or "task not chosen yet"]
    if each.labeled is not None:
        facts.append(f"{each.labeled:,} of {each.rows:,} labeled")
    versions = plural(each.versions, "{n} version", "{n} versions")
    if each.version != each.versions:
        versions = f"version {each.version} of {each.versions}"
    return [*facts, versions, size(each.disk_bytes), ago(each.created)]


def _runs(each: DatasetEntry) -> Html:
    """The runs that were trained on it, and which one uses it now."""
    if not each.runs:
        return Html("No run yet")
    names: list[Any] = [Verbatim(name) for name in each.runs[:MAX_NAMES]]
    if (more := len(each.runs) - MAX_NAMES) > 0:
        names.append(f"{more:,} more")
    count = plural(len(each.runs), "{n} run", "{n} runs")
    return html("<span>{count}</span>: {names}", count=count, names=join(names, ", "))


def _acts(each: DatasetEntry) -> Html:
    name, made = each.name, [button("Open", "reopen", "s", dataset=each.id, aria_label=f"Open {each.name}")]
    stem = PurePath(name).stem or "rows"
    made += [
        html(
            '<button type="button" class="btn s quiet" data-save="studio/data/{id}.{kind}" data-name="{stem}.{kind}" '
            'aria-label="{label}">{title}</button>',
            id=each.id,
            kind=kind,
            stem=stem,
            label=f"Download {name} as {kind.upper()}",
            title=kind.upper(),
        )
        for kind in ("csv", "jsonl")
    ]
    made.append(button("Rename", "renaming-data", "s quiet", dataset=each.id, aria_label=f"Rename {name}"))
    made.append(button("Duplicate", "duplicate-data", "s quiet", dataset=each.id, aria_label=f"Duplicate {name}"))
    if each.used_by:
        words = f"The run “{each.used_by}” uses it, so it can't be deleted now."
        made.append(html('<small class="muted">{w}</small>', w=words))
    else:
        label, question = f"Delete {name}", _question(each)
        made.append(
            button("Delete", "delete-data", "s quiet danger", dataset=each.id, aria_label=label, confirm=question)
        )
    return join(made)


def _other_formats(visit: Visit, each: DatasetEntry) -> Html:
    """Downloads in the formats of other tools, for the task that the rows are for."""
    stem, name = PurePath(each.name).stem or "rows", each.name
    buttons = [
        html(
            '<button type="button" class="btn s quiet" data-save="studio/data/{id}.{kind}" '
            'data-name="{stem}-{kind}{suffix}" aria-label="{label}" title="{sentence}">{title}</button>',
            id=each.id,
            kind=format.name,
            stem=stem,
            suffix=format.suffix,
            label=f"Download {name} as {format.title}",
            sentence=format.sentence,
            title=format.title,
        )
        for format in visit.studio.library.formats(each.task)
    ]
    if not buttons:
        return Html("")
    return html(
        '<details class="small" data-key="formats-{id}"><summary>For other tools</summary><div class="row wrap">'
        "{buttons}</div></details>",
        id=each.id,
        buttons=buttons,
    )


def _question(each: DatasetEntry) -> str:
    """What is lost with a dataset, as a question."""
    parts = [
        f"Delete “{each.name}”?",
        f"You lose {rows_words(each.rows)}.",
        each.versions > 1 and f"You lose all {each.versions} versions.",
        each.labeled and plural(each.labeled, "You lose the label of {n} row.", "You lose the labels of {n} rows."),
        each.runs
        and plural(
            len(each.runs),
            "{n} run that was trained on it stays, but can't be resumed or evaluated.",
            "{n} runs that were trained on it stay, but can't be resumed or evaluated.",
        ),
    ]
    return final(" ".join(part for part in parts if part))


# --- what a person does ---


def show(visit: Visit) -> None:
    """Open the library, or another page of it."""
    visit.remember(library=max(1, visit.whole("value", 1)), renaming_data="")
    visit.choose(view="library")


def open_(visit: Visit) -> None:
    """Open a dataset with its task. One with labels that are in no version yet opens for labeling."""
    record = visit.studio.datasets.get(visit.text("dataset", 80))
    import_data.open_dataset(visit, record)
    if record.spec:
        with suppress(StudioError):  # the person's model can't do it: then the page says so
            import_data.choose_task(visit, record.spec.task)
    (entry,) = visit.studio.library.entries([record])
    if entry.labeled:
        labeling = visit.studio.labels.state(record.id, visit.labeller)
        if labeling.new:
            with suppress(StudioError):
                import_data.choose_task(visit, labeling.task)
            visit.choose(view="label")


def start_renaming(visit: Visit) -> None:
    """Show a field for the name of a dataset."""
    visit.remember(renaming_data=visit.text("dataset", 80))


def rename(visit: Visit) -> None:
    """Rename a dataset."""
    visit.studio.library.rename(visit.text("dataset", 80), visit.text("value", 500))
    visit.remember(renaming_data="")


def duplicate(visit: Visit) -> None:
    """Make a copy of a dataset."""
    made = visit.studio.library.duplicate(visit.text("dataset", 80))
    visit.remember(renaming_data=made.id, library=1)


def delete(visit: Visit) -> None:
    """Delete a dataset with its versions and labels."""
    dataset = visit.text("dataset", 80)
    name = visit.studio.datasets.get(dataset).name
    visit.studio.datasets.delete(dataset)
    visit.done_message = f"The dataset “{name}” was deleted."
    if visit.choices.dataset == dataset:
        visit.choose(dataset="", version=None)


ACTS = {
    "library": show,
    "reopen": open_,
    "renaming-data": start_renaming,
    "rename-data": rename,
    "duplicate-data": duplicate,
    "delete-data": delete,
}
