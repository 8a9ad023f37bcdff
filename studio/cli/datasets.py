"""Commands about saved datasets: list, import, versions, comparison, edits, splits."""

from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli.context import Context, Json, OwnHome, OwnProject, Place
from studio.cli.options import Data, MaxLength, OptionalModel, Validation
from studio.cli.read_options import import_dataset, open_dataset
from studio.cli.terminal import plain
from studio.schema.dataset import DatasetRecord, SplitCounts
from studio.schema.errors import StudioError
from studio.schema.numbers import plural, rows, size
from studio.schema.views import Comparison, Page, RowChange
from studio.services.datasets.check_options import CheckOptions

Dataset = Annotated[str, typer.Argument(help="A dataset's id or file name, or last.")]
Version = Annotated[int, typer.Argument(min=1, help="A version, from 1.")]
MARKS = {"added": "+", "removed": "-", "changed": "~"}
LONGEST = 80
"""Maximum characters of a cell in a line."""


def data(ctx: typer.Context, home: OwnHome = None, project: OwnProject = None, as_json: Json = False) -> None:
    """Saved datasets: import, list, compare, fix, restore, split. Without a command, list them."""
    ctx.obj = Place(home or ctx.obj.home, project or ctx.obj.project, as_json)
    if ctx.invoked_subcommand is None:
        list_(Context(ctx.obj.home, as_json, ctx.obj.project))


def add(context: Context, data: Data, reading: dict[str, Any]) -> None:
    """Import rows and save them as a dataset. The last line of the output is its id."""
    record = import_dataset(context, data, reading)
    context.answer(record, lambda: _show_added(context, record))


def list_(context: Context) -> None:
    """List the datasets, newest first."""
    known = context.studio.library.entries()
    titles = ("Dataset", "Name", "Task", "Rows", "Labeled", "Runs", "Size", "Version", "From")
    table = context.table(*titles, right=("Rows", "Labeled", "Runs", "Size", "Version"))
    for each in known:
        labeled = "" if each.labeled is None else f"{each.labeled:,}"
        numbers = (f"{each.rows:,}", labeled, str(len(each.runs)), size(each.disk_bytes), str(each.version))
        table.add_row(each.id, plain(each.name), each.task, *numbers, plain(each.source))
    context.answer(known, lambda: context.out.print(table))


def read(context: Context, dataset: Dataset, reading: dict[str, Any]) -> None:
    """Read a dataset's files with other options. Options that you leave out stay the same."""
    record = context.studio.datasets.find(dataset)
    made = context.studio.datasets.reread(record.id, **reading)
    context.answer(made, lambda: _show_version(context, made))


def rename(
    context: Context,
    dataset: Dataset,
    name: Annotated[str, typer.Argument(help="The new name.")],
) -> None:
    """Change the name of a dataset."""
    made = context.studio.library.rename(context.studio.datasets.find(dataset).id, name)
    context.answer(made, lambda: context.say(f"{made.id} is named {made.name} now."))


def duplicate(
    context: Context,
    dataset: Dataset,
    name: Annotated[str, typer.Option(help="Name of the copy.", show_default="the name, and (copy)")] = "",
) -> None:
    """Copy a dataset with its versions, roles and labels. The last line of the output is the id of the copy."""
    made = context.studio.library.duplicate(context.studio.datasets.find(dataset).id, name)
    context.answer(made, lambda: _show_added(context, made))


def export(
    context: Context,
    dataset: Dataset,
    to: Annotated[Path, typer.Option(metavar="PATH", help="The file to write. For hub: a new folder.")],
    format: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="csv, jsonl, openai, sharegpt, parquet or hub.",
            show_default="by the file's name",
        ),
    ] = "",
) -> None:
    """Write the rows of the current version to a file, or to a folder for the Hub.

    csv and jsonl have all rows as they are. The other formats have the usable rows, with cleaned values.
    """
    record = context.studio.datasets.find(dataset)
    count = context.studio.library.export_file(record.id, to, format=format)
    context.answer({"rows": count, "to": str(to)}, lambda: context.say(f"{rows(count)} in {to}"))


def delete(context: Context, dataset: Dataset) -> None:
    """Delete a dataset with all its versions and labels. Refused while a queued or running run uses it."""
    record = context.studio.datasets.find(dataset)
    context.studio.datasets.delete(record.id)
    context.answer({"id": record.id}, lambda: context.say(f"{record.name} is deleted. Versions: {record.version}."))


def versions(context: Context, dataset: Dataset) -> None:
    """List the versions of a dataset, and what each one changed."""
    record = context.studio.datasets.find(dataset)
    known = context.studio.versions.all(record.id)
    context.answer(known, lambda: _show_versions(context, known, record.version))


def compare(
    context: Context,
    dataset: Dataset,
    before: Version,
    after: Version,
    only: Annotated[str, typer.Option(metavar="KIND", help="added, removed or changed.", show_default="all")] = "",
    start: Annotated[int, typer.Option(min=1, help="First difference to show, from 1.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="Number of differences to show.")] = 20,
) -> None:
    """Show the differences between two versions: rows added, removed and changed, cell by cell."""
    record = context.studio.datasets.find(dataset)
    comparison = context.studio.versions.compare(record.id, before, after, Page(start, count), only)
    context.answer(comparison, lambda: _show_comparison(context, comparison))


def back(context: Context, dataset: Dataset, version: Version) -> None:
    """Restore a version of a dataset. The other versions stay."""
    record = context.studio.versions.restore(context.studio.datasets.find(dataset).id, version)
    context.answer(record, lambda: _show_version(context, record))


def fix(
    context: Context,
    dataset: Dataset,
    kind: Annotated[str, typer.Argument(help="A kind of finding, for example duplicate.")],
    all_rows: Annotated[
        bool, typer.Option("--all-rows", help="Search all rows for near-duplicates, however long it takes.")
    ] = False,
    model: OptionalModel = None,
    max_length: MaxLength = None,
    validation: Validation = None,
) -> None:
    """Fix or remove the rows of one kind of finding, in a new version. Findings about length need --model."""
    record = context.studio.datasets.find(dataset)
    validation_id = open_dataset(context, validation, {}).id if validation else None
    options = CheckOptions(whole=all_rows, model=model, max_length=max_length, validation=validation_id)
    made = context.studio.checks.fix(record.id, kind, options)
    context.answer(made, lambda: _show_version(context, made))


def edit(
    context: Context,
    dataset: Dataset,
    row: Annotated[int, typer.Argument(min=1, help="A row, from 1.")],
    set_: Annotated[list[str], typer.Option("--set", metavar="COLUMN=TEXT", help="New text of a cell.")],
) -> None:
    """Change cells of a row, in a new version."""
    made = context.studio.editing.edit(context.studio.datasets.find(dataset).id, row, _cells(set_))
    context.answer(made, lambda: _show_version(context, made))


def split(
    context: Context,
    dataset: Dataset,
    validation_share: Annotated[
        float | None,
        typer.Option(min=0, max=0.5, help="Share of rows for validation.", show_default="by the number of rows"),
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(min=0, max=0.5, help="Share of rows for test.", show_default="by the number of rows"),
    ] = None,
    group_column: Annotated[
        str, typer.Option(metavar="COLUMN", help="Rows with the same value stay in one split.")
    ] = "",
    time_column: Annotated[
        str, typer.Option(metavar="COLUMN", help="The latest rows are for test and validation.")
    ] = "",
    split_column: Annotated[
        str,
        typer.Option(metavar="COLUMN", help="Has train, validation or test. none: ignore.", show_default="automatic"),
    ] = "",
    stable_splits: Annotated[
        bool, typer.Option("--stable-splits", help="Assign each row to a split by its content alone.")
    ] = False,
) -> None:
    """Set how the rows are split, and show the size of each split. Without options, by the number of rows."""
    record = context.studio.datasets.find(dataset)
    context.studio.datasets.set_splits(
        record.id,
        validation_share=validation_share,
        test_share=test_share,
        group_column=group_column,
        time_column=time_column,
        split_column=split_column,
        stable_splits=stable_splits,
    )
    counts = context.studio.datasets.splits(record.id)
    context.answer(counts, lambda: _show_splits(context, counts))


def _cells(pairs: list[str]) -> dict[str, str]:
    """Column → text, from `--set`. The column ends at the first equals sign."""
    cells = {}
    for pair in pairs:
        column, sign, text = pair.partition("=")
        if not sign or not column:
            raise StudioError(
                "bad-setting",
                "A cell can't be set this way.",
                given=pair,
                valid="COLUMN=TEXT, as in reply=Hi",
                field="set",
            )
        cells[column] = text
    return cells


def _show_added(context: Context, record: DatasetRecord) -> None:
    count_of_columns = plural(len(record.columns), "{n} column", "{n} columns")
    context.say(f"{record.name}: {rows(record.rows)}, {count_of_columns}. {record.note}")
    context.say(record.id)


def _show_version(context: Context, record: DatasetRecord, current: bool = False) -> None:
    now = " (current)" if current else ""
    context.say(f"version {record.version}{now}: {rows(record.rows)}. {record.note}")


def _show_versions(context: Context, known: list[DatasetRecord], current: int) -> None:
    for each in known:
        _show_version(context, each, each.version == current)


def _show_comparison(context: Context, comparison: Comparison) -> None:
    context.say(
        f"From version {comparison.before} to {comparison.after}: {rows(comparison.added)} added, "
        f"{rows(comparison.removed)} removed, {rows(comparison.changed)} changed, {rows(comparison.same)} unchanged."
    )
    for words, columns in (
        ("New columns", comparison.columns_added),
        ("Removed columns", comparison.columns_removed),
    ):
        if columns:
            context.say(f"{words}: {', '.join(columns)}.")
    for change in comparison.rows:
        context.say(_line(change))
    last = comparison.start + len(comparison.rows) - 1
    if last < comparison.total:
        context.note(
            f"Showing {comparison.start} to {last:,} of {comparison.total:,}. --start {last + 1} shows the next ones."
        )


def _line(change: RowChange) -> str:
    number = change.before if change.kind == "removed" else change.after
    if change.kind == "changed":
        cells = [f"{column}: {_short(one)} → {_short(other)}" for column, (one, other) in change.changed.items()]
    else:
        cells = [f"{column}: {_short(text)}" for column, text in change.cells.items() if text]
    return f"{MARKS[change.kind]} row {number}  {'; '.join(cells)}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line if len(line) <= LONGEST else line[: LONGEST - 1] + '…'}”"


def _show_splits(context: Context, counts: SplitCounts) -> None:
    context.say(f"{rows(counts.train)} for training, {counts.validation:,} for validation, {counts.test:,} for test.")
    context.say(counts.because)
