"""Commands about saved runs: annotate, export, import; and about disk usage."""

from pathlib import Path
from typing import Annotated

import typer

from studio.cli.context import Context
from studio.cli.options import Run
from studio.cli.terminal import plain
from studio.ui.numbers import size

KINDS = {"run": "Run", "dataset": "Rows", "model": "Model", "tokens": "Tokens"}


def note(
    context: Context,
    run: Run,
    text: Annotated[str | None, typer.Argument(help="A note on it, in place of the old one.")] = None,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    tags: Annotated[str | None, typer.Option(help="Its tags, with commas between.")] = None,
    archive: Annotated[bool | None, typer.Option("--archive/--no-archive", help="Put it aside, or back.")] = None,
) -> None:
    """Say what a run is about: a note, another name, tags; or put it aside."""
    given = [tags] if tags is not None else None
    record = context.studio.saved.annotate(context.studio.runs.get(run).id, name, text, given, archive)
    document = record.model_dump(include={"id", "name", "note", "tags", "archived"})
    tagged = f" · {', '.join(record.tags)}" if record.tags else ""
    aside = " · put aside" if record.archived else ""
    context.answer(document, lambda: context.say(f"{record.name} ({record.id}){tagged}{aside}\n{record.note}".rstrip()))


def export_run(
    context: Context,
    run: Run,
    to: Annotated[Path, typer.Option(help="The file to write, a zip.")],
    with_rows: Annotated[
        bool, typer.Option("--with-rows", help="What it learned from comes along; it may be private.")
    ] = False,
) -> None:
    """Write a run as one file, to be taken in on another machine: settings, curve, result; rows only if asked."""
    record = context.studio.runs.get(run)
    path = context.studio.saved.export_archive(record.id, to.expanduser().resolve(), with_rows)
    written = {"id": record.id, "path": str(path), "bytes": path.stat().st_size}
    context.answer(written, lambda: context.say(f"{path} ({size(path.stat().st_size)})"))


def import_run(context: Context, file: Annotated[Path, typer.Argument(help="A file that export-run wrote.")]) -> None:
    """Take in a run from a file. Nothing in it is run, and no pickle is read."""
    record = context.studio.saved.import_archive(file.expanduser())
    context.answer({"id": record.id, "name": record.name, "status": record.status}, lambda: context.say(record.id))


def storage(
    context: Context,
    delete_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Remove a Hub model from this machine.")
    ] = None,
    delete_tokens: Annotated[
        bool, typer.Option("--delete-tokens", help="Remove rows kept as tokens; they are read again when needed.")
    ] = False,
) -> None:
    """Show what takes room on the disk, the largest first; runs and rows are removed by their own commands."""
    if delete_model:
        freed = context.studio.storage.delete_model(delete_model)
        context.note(f"{delete_model} is deleted; {size(freed)} are free again.")
    if delete_tokens:
        context.note(f"{size(context.studio.storage.delete_tokens())} are free again.")
    view = context.studio.storage.view()
    table = context.table("What", "Name", "Size", "Deleting it loses", right=("Size",))
    for each in view.things:
        lost = f"can't be deleted: {each.kept_by}" if each.kept_by else each.lost
        table.add_row(KINDS[each.kind], plain(f"{each.name} ({each.id})"), size(each.bytes), plain(lost))

    def show() -> None:
        context.out.print(table)
        context.say(f"{size(view.free_bytes)} are free.")

    context.answer(view.model_dump(), show)
