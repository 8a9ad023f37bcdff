"""`studio label …`: rows are given labels, replies or choices, and what was given goes out and comes in."""

from pathlib import Path
from typing import Annotated

import typer

from studio.cli.context import Door, command
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.labeling import Labeling, LabelList, Learned
from studio.ui.numbers import duration, rows, share

PANEL = "Labelling"
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATASET", help="A dataset's id, its file's name, last, or sample:NAME.", show_default=False
    ),
]
Labeller = Annotated[str, typer.Option(help="Who does it; left out, somebody without a name.", show_default=False)]
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
    def show(door: Door, data: Data, labeller: Labeller = "") -> None:
        """Where labelling stands: labels so far, the next row, suggestions, and who labels."""
        record = _opened(door, data)
        now = door.studio.labeling(record.id, labeller)
        door.answer(now, lambda: _show(door, record, now))

    @command(app, "list", PANEL)
    def list_rows(
        door: Door,
        data: Data,
        only: Annotated[
            str, typer.Option("--show", help="all, open, done, unsure, differ, sure or label:NAME.")
        ] = "all",
        search: Annotated[str, typer.Option(help="Only rows that hold this word.", show_default=False)] = "",
        start: Annotated[int, typer.Option(min=1, help="The first of them to be shown.")] = 1,
        count: Annotated[int, typer.Option(min=1, max=1000, help="How many are shown.")] = 25,
        labeller: Labeller = "",
    ) -> None:
        """Many rows with what they have, what is suggested, and who gave it."""
        page = door.studio.label_list(_opened(door, data).id, labeller, only, search, start, count)
        door.answer(page, lambda: _show_list(door, page))

    @command(app, "put", PANEL)
    def put(
        door: Door,
        data: Data,
        row: Annotated[int, typer.Argument(min=1, help="Row of the dataset, from 1.", show_default=False)],
        value: Annotated[
            str, typer.Argument(help="The label, the reply, or: first, second, both.", show_default=False)
        ] = "",
        unsure: Annotated[bool, typer.Option("--unsure", help="Say that you are unsure of it.")] = False,
        skip: Annotated[bool, typer.Option("--skip", help="Leave it for later.")] = False,
        labeller: Labeller = "",
    ) -> None:
        """Give a row its label, its reply or a choice; stored at once."""
        if bool(value) + unsure + skip != 1:
            raise StudioError("bad-setting", "Say one thing of the row.", valid="a value, --unsure or --skip")
        record = _opened(door, data)
        if value:
            now = door.studio.label(record.id, row, value, labeller)
        else:
            now = (door.studio.unsure if unsure else door.studio.skip)(record.id, row, labeller)
        door.answer(now, lambda: door.say(_how_far(now)))

    @command(app, "undo", PANEL)
    def undo(door: Door, data: Data, labeller: Labeller = "") -> None:
        """Take back what this person did last."""
        now = door.studio.undo_label(_opened(door, data).id, labeller)
        door.answer(now, lambda: door.say(_how_far(now)))

    @command(app, "as", PANEL)
    def work_as(
        door: Door,
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
        now = door.studio.choose_labelling(_opened(door, data).id, work, columns)
        door.answer(now, lambda: door.say(", ".join(f"{what}: {name}" for what, name in now.columns.items() if name)))


def _names(app: typer.Typer) -> None:
    @command(app, "names", PANEL)
    def names(
        door: Door,
        data: Data,
        labels: Annotated[list[str], typer.Argument(help="All labels, in the order of their keys.")],
    ) -> None:
        """Say which labels there are."""
        now = door.studio.set_labels(_opened(door, data).id, labels)
        door.answer(now, lambda: door.say(", ".join(now.labels)))

    @command(app, "add", PANEL)
    def add(
        door: Door,
        data: Data,
        labels: Annotated[list[str], typer.Argument(help="Further labels.")],
        labeller: Labeller = "",
    ) -> None:
        """Add labels to those that there are."""
        now = door.studio.add_labels(_opened(door, data).id, labels, labeller)
        door.answer(now, lambda: door.say(", ".join(now.labels)))

    @command(app, "rename", PANEL)
    def rename(
        door: Door,
        data: Data,
        label: Label,
        new: Annotated[str, typer.Argument(help="Its new name.", show_default=False)],
        labeller: Labeller = "",
    ) -> None:
        """Give a label another name, on every row that has it."""
        count = door.studio.rename_label(_opened(door, data).id, label, new, labeller=labeller)
        door.answer({"rows": count, "label": new}, lambda: door.say(f"{rows(count)} now have the label {new}"))

    @command(app, "merge", PANEL)
    def merge(
        door: Door,
        data: Data,
        label: Label,
        into: Annotated[str, typer.Argument(help="The label that both will have.", show_default=False)],
        yes: Yes = False,
        labeller: Labeller = "",
    ) -> None:
        """Make two labels one; asks first."""
        record = _opened(door, data)
        known = door.studio.labeling(record.id).counts
        _ask(door, yes, f"Merge {label} into {into}: {rows(known.get(label, 0))} then have the label {into}?")
        count = door.studio.rename_label(record.id, label, into, merge=True, labeller=labeller)
        door.answer({"rows": count, "label": into}, lambda: door.say(f"{rows(count)} went from {label} to {into}"))

    @command(app, "remove", PANEL)
    def remove(door: Door, data: Data, label: Label, labeller: Labeller = "") -> None:
        """Take away a label that no row has."""
        record = _opened(door, data)
        door.studio.remove_label(record.id, label, labeller)
        now = door.studio.labeling(record.id)
        door.answer(now, lambda: door.say(", ".join(now.labels)))


def _results(app: typer.Typer) -> None:
    @command(app, "suggest", PANEL)
    def suggest(
        door: Door,
        data: Data,
        take: Annotated[
            float | None,
            typer.Option(
                min=0, max=1, help="Put those on their rows that are at least so sure, 0.95 say.", show_default=False
            ),
        ] = None,
        labeller: Labeller = "",
    ) -> None:
        """Learn from the labels so far and suggest some for the other rows."""
        record = _opened(door, data)
        with door.progress("Rows") as progress:
            learned = door.studio.suggest_labels(record.id, progress)
        found = learned.rows if learned else {}
        sure = [row for row, each in found.items() if take is not None and each.sure >= take]
        taken = door.studio.label_rows(record.id, sure, labeller=labeller) if sure else 0
        document = {"id": record.id, "taken": taken, **(learned.model_dump() if learned else {"rows": {}})}
        door.answer(document, lambda: _show_suggestions(door, learned, taken))

    @command(app, "agreement", PANEL)
    def agreement(door: Door, data: Data) -> None:
        """How far every two people agree on the rows that both labelled (Cohen's kappa)."""
        found = door.studio.agreements(_opened(door, data).id)

        def say() -> None:
            for each in found:
                door.say(f"{each.first or 'without a name'} and {each.second or 'without a name'}: {each.sentence}")
            if not found:
                door.say("No two people have labelled the same row yet.")

        door.answer(found, say)

    @command(app, "use", PANEL)
    def use(door: Door, data: Data) -> None:
        """Make what was given a new version of the dataset, ready to be trained on."""
        record = door.studio.use_labels(_opened(door, data).id)
        door.answer(record, lambda: door.say(f"{record.id}, version {record.version}: {record.note}"))

    @command(app, "export", PANEL)
    def export(
        door: Door,
        data: Data,
        to: Annotated[Path, typer.Option(metavar="FILE", help="It ends in .csv or .jsonl.", show_default=False)],
        each: Annotated[bool, typer.Option("--each", help="A line for everyone who gave a row something.")] = False,
    ) -> None:
        """Write what was given into a file: the row, its text, its label, who gave it, and when."""
        count = door.studio.export_labels(_opened(door, data).id, to, each)
        door.answer({"rows": count, "to": str(to)}, lambda: door.say(f"{rows(count)} in {to}"))

    @command(app, "import", PANEL)
    def import_labels(
        door: Door,
        data: Data,
        file: Annotated[Path, typer.Argument(help="csv, jsonl or another format of data.", show_default=False)],
        labeller: Labeller = "",
    ) -> None:
        """Take in labels from a file, found by a column row, else by the text."""
        found = door.studio.import_labels(_opened(door, data).id, file, labeller)
        words = f"{rows(found.taken)} labelled by {found.by}, {found.same:,} were so already, {found.lost:,} lines lost"
        door.answer(found, lambda: door.say(words))


def _opened(door: Door, data: str) -> DatasetRecord:
    """A dataset that is kept; sample data are kept when first used."""
    return door.studio.open_data(data) if data.startswith("sample:") else door.studio.find_dataset(data)


def _ask(door: Door, yes: bool, question: str) -> None:
    if not yes and not typer.confirm(question, err=True):
        raise StudioError("wrong-state", "Nothing was changed.", hint="Say yes, or give --yes.")


def _how_far(now: Labeling) -> str:
    what = {"label": "labelled", "reply": "with a reply", "choice": "compared"}[now.work]
    return f"{now.done:,} of {rows(now.total)} {what}" + (f", unsure of {now.unsure:,}" if now.unsure else "")


def _show(door: Door, record: DatasetRecord, now: Labeling) -> None:
    door.say(f"{record.name}: {_how_far(now)}")
    for name, count in now.counts.items():
        door.say(f"  {name}: {count:,}")
    if now.row is not None:
        guess = f" (suggested: {now.suggestion.best}, {share(now.suggestion.sure)} sure)" if now.suggestion else ""
        door.say(f"Next is row {now.row:,}{guess}: {now.text}")
    if now.suggesting.unavailable_reason:
        door.say(now.suggesting.unavailable_reason)
    if now.trust.shown:
        door.say(f"Suggestions: {now.trust.right:,} of {now.trust.shown:,} right. {now.trust.sentence}")
    for each in now.agreements:
        door.say(f"{each.first or 'without a name'} and {each.second or 'without a name'}: {each.sentence}")
    if now.enough:
        door.say(now.enough)


def _show_list(door: Door, page: LabelList) -> None:
    table = door.table("Row", "Given", "Suggested", "Text", right=("Row",))
    for each in page.rows:
        guess = f"{each.suggestion.best} {share(each.suggestion.sure)}" if each.suggestion else ""
        table.add_row(str(each.row), each.value or each.mark, guess, each.text[:120])
    door.out.print(table)
    door.say(f"{len(page.rows):,} of {rows(page.total)}")


def _show_suggestions(door: Door, learned: Learned | None, taken: int) -> None:
    if learned is None or not learned.rows:
        door.say("Every row has a label.")
        return
    door.say(
        f"Learned {learned.labelled:,} labels in {duration(learned.seconds)}; {rows(len(learned.rows))} have a "
        "suggestion, the least sure first:"
    )
    least = sorted(learned.rows, key=lambda row: learned.rows[row].sure)[:10]
    for row in least:
        door.say(f"  row {row:,}: {learned.rows[row].best}, {share(learned.rows[row].sure)} sure")
    if taken:
        door.say(f"{rows(taken)} got what was suggested")
