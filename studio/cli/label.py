"""`studio label …`: rows are given labels, replies or choices, and what was given goes out and comes in."""

from pathlib import Path
from typing import Annotated

import typer

from studio.cli.context import Context, command
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.labeling import Agreement, Labeling, LabelList, Learned
from studio.ui.numbers import duration, rows, share

PANEL = "Labelling"
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATASET", help="A dataset's id, its file's name, last, or sample:NAME.", show_default=False
    ),
]
Labeler = Annotated[
    str,
    typer.Option("--labeller", help="The name of the person; left out, a person without a name.", show_default=False),
]
Label = Annotated[str, typer.Argument(help="The label as it is now.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Give rows labels, replies or choices; names, agreement, suggestions; out and in.")
    _rows(group)
    _names(group)
    _results(group)
    app.add_typer(group, name="label", rich_help_panel="Before a run")


def _rows(app: typer.Typer) -> None:
    @command(app, "show", PANEL)
    def show(context: Context, data: Data, labeler: Labeler = "") -> None:
        """Where labelling stands: labels so far, the next row, suggestions, and who labels."""
        record = _opened(context, data)
        now = context.studio.labels.state(record.id, labeler)
        context.answer(now, lambda: _show(context, record, now))

    @command(app, "list", PANEL)
    def list_rows(
        context: Context,
        data: Data,
        only: Annotated[
            str, typer.Option("--show", help="all, open, done, unsure, differ, sure or label:NAME.")
        ] = "all",
        search: Annotated[str, typer.Option(help="Only rows that hold this word.", show_default=False)] = "",
        start: Annotated[int, typer.Option(min=1, help="The first of them to be shown.")] = 1,
        count: Annotated[int, typer.Option(min=1, max=1000, help="How many are shown.")] = 25,
        labeler: Labeler = "",
    ) -> None:
        """Many rows with what they have, what is suggested, and who gave it."""
        page = context.studio.labels.rows(_opened(context, data).id, labeler, only, search, start, count)
        context.answer(page, lambda: _show_list(context, page))

    @command(app, "put", PANEL)
    def put(
        context: Context,
        data: Data,
        row: Annotated[int, typer.Argument(min=1, help="Row of the dataset, from 1.", show_default=False)],
        value: Annotated[
            str, typer.Argument(help="The label, the reply, or: first, second, both.", show_default=False)
        ] = "",
        unsure: Annotated[bool, typer.Option("--unsure", help="Say that you are unsure of it.")] = False,
        skip: Annotated[bool, typer.Option("--skip", help="Leave it for later.")] = False,
        labeler: Labeler = "",
    ) -> None:
        """Give a row its label, its reply or a choice; stored at once."""
        if bool(value) + unsure + skip != 1:
            raise StudioError("bad-setting", "Say one thing of the row.", valid="a value, --unsure or --skip")
        record = _opened(context, data)
        if value:
            now = context.studio.labels.give(record.id, row, value, labeler)
        else:
            now = (context.studio.labels.mark_unsure if unsure else context.studio.labels.skip)(record.id, row, labeler)
        context.answer(now, lambda: context.say(_how_far(now)))

    @command(app, "undo", PANEL)
    def undo(context: Context, data: Data, labeler: Labeler = "") -> None:
        """Take back what this person did last."""
        now = context.studio.labels.undo(_opened(context, data).id, labeler)
        context.answer(now, lambda: context.say(_how_far(now)))

    @command(app, "as", PANEL)
    def work_as(
        context: Context,
        data: Data,
        work: Annotated[str, typer.Argument(help="label, reply or choice.", show_default=False)],
        column: Annotated[
            list[str] | None,
            typer.Option(
                "--column",
                metavar="WHAT=COLUMN",
                help="What is read or written there: text, label, prompt, reply, first or second.",
                show_default=False,
            ),
        ] = None,
    ) -> None:
        """Say what rows are given, and which columns are read and written."""
        columns = {each.partition("=")[0]: each.partition("=")[2] for each in column or ()}
        now = context.studio.labels.choose(_opened(context, data).id, work, columns)
        context.answer(
            now, lambda: context.say(", ".join(f"{what}: {name}" for what, name in now.columns.items() if name))
        )


def _names(app: typer.Typer) -> None:
    @command(app, "names", PANEL)
    def names(
        context: Context,
        data: Data,
        labels: Annotated[list[str], typer.Argument(help="All labels, in the order of their keys.")],
    ) -> None:
        """Say which labels there are."""
        now = context.studio.labels.set_names(_opened(context, data).id, labels)
        context.answer(now, lambda: context.say(", ".join(now.labels)))

    @command(app, "add", PANEL)
    def add(
        context: Context,
        data: Data,
        labels: Annotated[list[str], typer.Argument(help="Further labels.")],
        labeler: Labeler = "",
    ) -> None:
        """Add labels to those that there are."""
        now = context.studio.labels.add_names(_opened(context, data).id, labels, labeler)
        context.answer(now, lambda: context.say(", ".join(now.labels)))

    @command(app, "rename", PANEL)
    def rename(
        context: Context,
        data: Data,
        label: Label,
        new: Annotated[str, typer.Argument(help="Its new name.", show_default=False)],
        labeler: Labeler = "",
    ) -> None:
        """Give a label another name, on every row that has it."""
        count = context.studio.labels.rename(_opened(context, data).id, label, new, labeler=labeler)
        context.answer({"rows": count, "label": new}, lambda: context.say(f"{rows(count)} now have the label {new}"))

    @command(app, "merge", PANEL)
    def merge(
        context: Context,
        data: Data,
        label: Label,
        into: Annotated[str, typer.Argument(help="The label that both will have.", show_default=False)],
        yes: Yes = False,
        labeler: Labeler = "",
    ) -> None:
        """Make two labels one; asks first."""
        record = _opened(context, data)
        known = context.studio.labels.state(record.id).counts
        _ask(context, yes, f"Merge {label} into {into}: {rows(known.get(label, 0))} then have the label {into}?")
        count = context.studio.labels.rename(record.id, label, into, merge=True, labeler=labeler)
        context.answer(
            {"rows": count, "label": into}, lambda: context.say(f"{rows(count)} went from {label} to {into}")
        )

    @command(app, "remove", PANEL)
    def remove(context: Context, data: Data, label: Label, labeler: Labeler = "") -> None:
        """Take away a label that no row has."""
        record = _opened(context, data)
        context.studio.labels.remove_name(record.id, label, labeler)
        now = context.studio.labels.state(record.id)
        context.answer(now, lambda: context.say(", ".join(now.labels)))


def _results(app: typer.Typer) -> None:
    @command(app, "suggest", PANEL)
    def suggest(
        context: Context,
        data: Data,
        take: Annotated[
            float | None,
            typer.Option(
                min=0, max=1, help="Put those on their rows that are at least so sure, 0.95 say.", show_default=False
            ),
        ] = None,
        labeler: Labeler = "",
    ) -> None:
        """Learn from the labels so far and suggest some for the other rows."""
        record = _opened(context, data)
        with context.progress("Rows") as progress:
            learned = context.studio.labels.suggest(record.id, progress)
        suggested = learned.rows if learned else {}
        sure = [row for row, each in suggested.items() if take is not None and each.sure >= take]
        taken = context.studio.labels.give_many(record.id, sure, labeler=labeler) if sure else 0
        document = {"id": record.id, "taken": taken, **(learned.model_dump() if learned else {"rows": {}})}
        context.answer(document, lambda: _show_suggestions(context, learned, taken))

    @command(app, "agreement", PANEL)
    def agreement(context: Context, data: Data) -> None:
        """How far every two people agree on the rows that both labelled (Cohen's kappa)."""
        agreements = context.studio.labels.agreements(_opened(context, data).id)

        def say() -> None:
            _say_agreements(context, agreements)
            if not agreements:
                context.say("No two people have labelled the same row yet.")

        context.answer(agreements, say)

    @command(app, "use", PANEL)
    def use(context: Context, data: Data) -> None:
        """Make what was given a new version of the dataset, ready to be trained on."""
        record = context.studio.labels.apply(_opened(context, data).id)
        context.answer(record, lambda: context.say(f"{record.id}, version {record.version}: {record.note}"))

    @command(app, "export", PANEL)
    def export(
        context: Context,
        data: Data,
        to: Annotated[Path, typer.Option(metavar="FILE", help="It ends in .csv or .jsonl.", show_default=False)],
        each: Annotated[bool, typer.Option("--each", help="A line for everyone who gave a row something.")] = False,
    ) -> None:
        """Write what was given into a file: the row, its text, its label, who gave it, and when."""
        count = context.studio.labels.export_file(_opened(context, data).id, to, each)
        context.answer({"rows": count, "to": str(to)}, lambda: context.say(f"{rows(count)} in {to}"))

    @command(app, "import", PANEL)
    def import_labels(
        context: Context,
        data: Data,
        file: Annotated[Path, typer.Argument(help="csv, jsonl or another format of data.", show_default=False)],
        labeler: Labeler = "",
    ) -> None:
        """Take in labels from a file, found by a column row, else by the text."""
        summary = context.studio.labels.import_file(_opened(context, data).id, file, labeler)
        message = (
            f"{rows(summary.taken)} labelled by {summary.by}, {summary.same:,} were so already, "
            f"{summary.lost:,} lines lost"
        )
        context.answer(summary, lambda: context.say(message))


def _opened(context: Context, data: str) -> DatasetRecord:
    """A dataset that is kept; sample data are kept when first used."""
    return context.studio.datasets.open(data) if data.startswith("sample:") else context.studio.datasets.find(data)


def _ask(context: Context, yes: bool, question: str) -> None:
    if not yes and not typer.confirm(question, err=True):
        raise StudioError("wrong-state", "Nothing was changed.", hint="Say yes, or give --yes.")


def _how_far(now: Labeling) -> str:
    what = {"label": "labelled", "reply": "with a reply", "choice": "compared"}[now.work]
    return f"{now.done:,} of {rows(now.total)} {what}" + (f", unsure of {now.unsure:,}" if now.unsure else "")


def _show(context: Context, record: DatasetRecord, now: Labeling) -> None:
    context.say(f"{record.name}: {_how_far(now)}")
    for name, count in now.counts.items():
        context.say(f"  {name}: {count:,}")
    if now.row is not None:
        guess = f" (suggested: {now.suggestion.best}, {share(now.suggestion.sure)} sure)" if now.suggestion else ""
        context.say(f"Next is row {now.row:,}{guess}: {now.text}")
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
        f"Learned {learned.labelled:,} labels in {duration(learned.seconds)}; {rows(len(learned.rows))} have a "
        "suggestion, the least sure first:"
    )
    least = sorted(learned.rows, key=lambda row: learned.rows[row].sure)[:10]
    for row in least:
        context.say(f"  row {row:,}: {learned.rows[row].best}, {share(learned.rows[row].sure)} sure")
    if taken:
        context.say(f"{rows(taken)} got what was suggested")
