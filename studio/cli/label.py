"""`studio label …`: label rows, write replies, compare replies; import and export."""

from pathlib import Path
from typing import Annotated

import typer

from studio.cli.context import Context
from studio.cli.options import Run
from studio.cli.progress import predicting
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.labeling import Agreement, Labeling, LabelList, Learned
from studio.schema.numbers import duration, rows, share
from studio.schema.views import Page

Data = Annotated[str, typer.Argument(metavar="DATASET", help="A dataset's id or file name, last, or sample:NAME.")]
Labeler = Annotated[str, typer.Option("--labeller", help="Name of the person who labels.")]
Label = Annotated[str, typer.Argument(help="The label as it is now.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


def show(context: Context, data: Data, labeler: Labeler = "") -> None:
    """Show the progress of labeling: labels so far, the next row, suggestions, and people."""
    record = _opened(context, data)
    now = context.studio.labels.state(record.id, labeler)
    context.answer(now, lambda: _show(context, record, now))


def list_rows(
    context: Context,
    data: Data,
    only: Annotated[
        str, typer.Option("--show", metavar="WHICH", help="all, open, done, unsure, differ, sure or label:NAME.")
    ] = "all",
    search: Annotated[str, typer.Option(help="Only rows that contain this word.")] = "",
    start: Annotated[int, typer.Option(min=1, help="The first row to show.")] = 1,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many rows to show.")] = 25,
    labeler: Labeler = "",
) -> None:
    """List rows with their values, suggestions and labelers."""
    page = context.studio.labels.rows(_opened(context, data).id, labeler, only, search, Page(start, count))
    context.answer(page, lambda: _show_list(context, page))


def put(
    context: Context,
    data: Data,
    row: Annotated[int, typer.Argument(min=1, help="Row of the dataset, from 1.")],
    value: Annotated[str, typer.Argument(help="The label, the reply, or: first, second, both.")] = "",
    unsure: Annotated[bool, typer.Option("--unsure", help="Mark the row as unsure.")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="Skip the row.")] = False,
    labeler: Labeler = "",
) -> None:
    """Give a row a label, a reply or a choice. It is saved at once."""
    if bool(value) + unsure + skip != 1:
        raise StudioError("bad-setting", "A row needs exactly one action.", valid="a value, --unsure or --skip")
    record = _opened(context, data)
    if value:
        now = context.studio.labels.give(record.id, row, value, labeler)
    else:
        now = context.studio.labels.mark(record.id, row, "unsure" if unsure else "skip", labeler)
    context.answer(now, lambda: context.say(_how_far(now)))


def undo(context: Context, data: Data, labeler: Labeler = "") -> None:
    """Undo this person's last action."""
    now = context.studio.labels.undo(_opened(context, data).id, labeler)
    context.answer(now, lambda: context.say(_how_far(now)))


def work_as(
    context: Context,
    data: Data,
    work: Annotated[str, typer.Argument(help="label, reply or choice.")],
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="WHAT=COLUMN",
            help="Column for text, label, prompt, reply, first or second.",
        ),
    ] = None,
) -> None:
    """Choose what rows get, and the columns to read and write."""
    columns = {each.partition("=")[0]: each.partition("=")[2] for each in column or ()}
    now = context.studio.labels.choose(_opened(context, data).id, work, columns)
    context.answer(now, lambda: context.say(", ".join(f"{what}: {name}" for what, name in now.columns.items() if name)))


def names(
    context: Context,
    data: Data,
    labels: Annotated[list[str], typer.Argument(help="All labels, in the order of their keys.")],
) -> None:
    """Set the labels."""
    now = context.studio.labels.set_names(_opened(context, data).id, labels)
    context.answer(now, lambda: context.say(", ".join(now.labels)))


def add(
    context: Context,
    data: Data,
    labels: Annotated[list[str], typer.Argument(help="Further labels.")],
    labeler: Labeler = "",
) -> None:
    """Add labels."""
    now = context.studio.labels.add_names(_opened(context, data).id, labels, labeler)
    context.answer(now, lambda: context.say(", ".join(now.labels)))


def rename(
    context: Context,
    data: Data,
    label: Label,
    new: Annotated[str, typer.Argument(help="Its new name.")],
    labeler: Labeler = "",
) -> None:
    """Rename a label on every row that has it."""
    count = context.studio.labels.rename(_opened(context, data).id, label, new, labeler=labeler)
    context.answer({"rows": count, "label": new}, lambda: context.say(f"{rows(count)} now have the label {new}"))


def merge(
    context: Context,
    data: Data,
    label: Label,
    into: Annotated[str, typer.Argument(help="The label that both will have.")],
    yes: Yes = False,
    labeler: Labeler = "",
) -> None:
    """Merge two labels. Asks for confirmation."""
    record = _opened(context, data)
    known = context.studio.labels.state(record.id).counts
    _ask(yes, f"Merge {label} into {into}: {rows(known.get(label, 0))} then have the label {into}?")
    count = context.studio.labels.rename(record.id, label, into, merge=True, labeler=labeler)
    context.answer({"rows": count, "label": into}, lambda: context.say(f"{rows(count)} changed from {label} to {into}"))


def remove(context: Context, data: Data, label: Label, labeler: Labeler = "") -> None:
    """Remove a label that no row has."""
    record = _opened(context, data)
    context.studio.labels.remove_name(record.id, label, labeler)
    now = context.studio.labels.state(record.id)
    context.answer(now, lambda: context.say(", ".join(now.labels)))


def suggest(
    context: Context,
    data: Data,
    take: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Accept suggestions with at least this confidence."),
    ] = None,
    labeler: Labeler = "",
) -> None:
    """Train a small classifier on the labels so far, and suggest labels for the other rows."""
    record = _opened(context, data)
    with context.progress("Rows") as progress:
        learned = context.studio.labels.suggest(record.id, progress)
    suggested = learned.rows if learned else {}
    sure = [row for row, each in suggested.items() if take is not None and each.sure >= take]
    taken = context.studio.labels.give_many(record.id, sure, labeler=labeler) if sure else 0
    document = {"id": record.id, "taken": taken, **(learned.model_dump() if learned else {"rows": {}})}
    context.answer(document, lambda: _show_suggestions(context, learned, taken))


def predict(
    context: Context,
    run: Run,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A table for all rows with their predictions, as in labels.csv."),
    ] = None,
) -> None:
    """Predict labels for the rows without one, with the model of a run. They are suggestions until you accept them."""

    predictions, record = context.studio.predictions, context.studio.runs.get(run)
    with predicting(context) as progress:
        saved = predictions.label_rest(record.id, progress=progress)
    if out:
        predictions.export_file(record.id, saved.id, out)
    left = context.studio.labels.state(saved.dataset).suggesting.rows
    words = (
        f"{rows(saved.done)} of {saved.name} predicted, {left:,} not reviewed yet: studio label list {saved.dataset}"
    )
    context.answer({**saved.model_dump(), "left": left}, lambda: context.say(words))


def agreement(context: Context, data: Data) -> None:
    """Show the agreement of every two people on the rows that both labeled (Cohen's kappa)."""
    agreements = context.studio.labels.state(_opened(context, data).id).agreements

    def say() -> None:
        _say_agreements(context, agreements)
        if not agreements:
            context.say("No two people have labeled the same row yet.")

    context.answer(agreements, say)


def use(context: Context, data: Data) -> None:
    """Make a new version of the dataset with the labels, ready for training."""
    record = context.studio.labels.apply(_opened(context, data).id)
    context.answer(record, lambda: context.say(f"{record.id}, version {record.version}: {record.note}"))


def export(
    context: Context,
    data: Data,
    to: Annotated[Path, typer.Option(metavar="FILE", help="A file that ends in .csv or .jsonl.")],
    each: Annotated[bool, typer.Option("--each", help="One line for each person's value.")] = False,
) -> None:
    """Export labels to a file: row, text, label, labeler and time."""
    count = context.studio.labels.export_file(_opened(context, data).id, to, each)
    context.answer({"rows": count, "to": str(to)}, lambda: context.say(f"{rows(count)} in {to}"))


def import_labels(
    context: Context,
    data: Data,
    file: Annotated[Path, typer.Argument(help="CSV, JSONL or another data format.")],
    labeler: Labeler = "",
) -> None:
    """Import labels from a file, matched by a column row, else by the text."""
    summary = context.studio.labels.import_file(_opened(context, data).id, file, labeler)
    message = (
        f"{rows(summary.taken)} labeled by {summary.by}, {summary.same:,} unchanged, {summary.lost:,} lines not matched"
    )
    context.answer(summary, lambda: context.say(message))


def _opened(context: Context, data: str) -> DatasetRecord:
    """Return a dataset. A sample is added to the workspace when first used."""
    return context.studio.datasets.open(data) if data.startswith("sample:") else context.studio.datasets.find(data)


def _ask(yes: bool, question: str) -> None:
    if not yes and not typer.confirm(question, err=True):
        raise StudioError("wrong-state", "Nothing was changed.", hint="Answer yes, or add --yes.")


def _how_far(now: Labeling) -> str:
    what = {"label": "labeled", "reply": "with a reply", "choice": "compared"}[now.work]
    return f"{now.done:,} of {rows(now.total)} {what}" + (f", unsure of {now.unsure:,}" if now.unsure else "")


def _show(context: Context, record: DatasetRecord, now: Labeling) -> None:
    context.say(f"{record.name}: {_how_far(now)}")
    for name, count in now.counts.items():
        context.say(f"  {name}: {count:,}")
    if now.row is not None:
        guess = f" (suggested: {now.suggestion.best}, {share(now.suggestion.sure)} sure)" if now.suggestion else ""
        context.say(f"Next: row {now.row:,}{guess}: {now.text}")
    if now.suggesting.unavailable_reason:
        context.say(now.suggesting.unavailable_reason)
    if now.trust.shown:
        context.say(f"Suggestions: {now.trust.right:,} of {now.trust.shown:,} right. {now.trust.sentence}")
    _say_agreements(context, now.agreements)
    if now.enough:
        context.say(now.enough)


def _say_agreements(context: Context, agreements: tuple[Agreement, ...]) -> None:
    for each in agreements:
        context.say(f"{each.first or 'without a name'} and {each.second or 'without a name'}: {each.sentence}")


def _show_list(context: Context, page: LabelList) -> None:
    table = context.table("Row", "Given", "Suggested", "Text", right=("Row",))
    for each in page.rows:
        guess = f"{each.suggestion.best} {share(each.suggestion.sure)}" if each.suggestion else ""
        table.add_row(str(each.row), each.value or each.mark, guess, each.text[:120])
    context.out.print(table)
    context.say(f"{len(page.rows):,} of {rows(page.total)}")


def _show_suggestions(context: Context, learned: Learned | None, taken: int) -> None:
    if learned is None or not learned.rows:
        context.say("Every row has a label.")
        return
    context.say(
        f"Trained on {learned.labelled:,} labels in {duration(learned.seconds)}. {rows(len(learned.rows))} have a "
        "suggestion. The least certain ones:"
    )
    least = sorted(learned.rows, key=lambda row: learned.rows[row].sure)[:10]
    for row in least:
        context.say(f"  row {row:,}: {learned.rows[row].best}, {share(learned.rows[row].sure)} sure")
    if taken:
        context.say(f"{rows(taken)} now have the suggested label")
