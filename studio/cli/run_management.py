"""Commands about saved runs: annotate, export, import; and about disk usage."""

from pathlib import Path
from typing import Annotated

import typer

from studio.cli.context import Context
from studio.cli.options import Run
from studio.cli.terminal import plain
from studio.schema.numbers import size

KINDS = {"run": "Run", "dataset": "Dataset", "model": "Model", "tokens": "Token cache"}


def note(
    context: Context,
    run: Run,
    text: Annotated[
        str | None, typer.Argument(help="A note that replaces the old one.", show_default="unchanged")
    ] = None,
    name: Annotated[str | None, typer.Option(help="A new name.", show_default="unchanged")] = None,
    tags: Annotated[str | None, typer.Option(help="Tags, separated by commas.", show_default="unchanged")] = None,
    archive: Annotated[
        bool | None,
        typer.Option(
            "--archive/--no-archive", help="Hide the run in lists, or show it again.", show_default="unchanged"
        ),
    ] = None,
) -> None:
    """Set the note, name or tags of a run, or archive it."""
    given = [tags] if tags is not None else None
    record = context.studio.saved.annotate(context.studio.runs.get(run).id, name, text, given, archive)
    document = record.model_dump(include={"id", "name", "note", "tags", "archived"})
    tagged = f" · {', '.join(record.tags)}" if record.tags else ""
    aside = " · archived" if record.archived else ""
    context.answer(document, lambda: context.say(f"{record.name} ({record.id}){tagged}{aside}\n{record.note}".rstrip()))


def export_run(
    context: Context,
    run: Run,
    to: Annotated[Path, typer.Option(metavar="FILE", help="The zip file to write.")],
    with_rows: Annotated[
        bool, typer.Option("--with-rows", help="Include the training rows, which may be private.")
    ] = False,
) -> None:
    """Export a run to one file for another machine: settings, curve and result, and rows only with --with-rows."""
    record = context.studio.runs.get(run)
    path = context.studio.saved.export_archive(record.id, to.expanduser().resolve(), with_rows)
    written = {"id": record.id, "path": str(path), "bytes": path.stat().st_size}
    context.answer(written, lambda: context.say(f"{path} ({size(path.stat().st_size)})"))


def import_run(context: Context, file: Annotated[Path, typer.Argument(help="A file from studio export-run.")]) -> None:
    """Import a run from a file. No code in the file is run, and no pickle is read."""
    record = context.studio.saved.import_archive(file.expanduser())
    context.answer({"id": record.id, "name": record.name, "status": record.status}, lambda: context.say(record.id))


def storage(
    context: Context,
    delete_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Delete a Hub model from this machine.")
    ] = None,
    delete_tokens: Annotated[
        bool, typer.Option("--delete-tokens", help="Delete the token cache. Rows are tokenized again when needed.")
    ] = False,
) -> None:
    """Show disk usage, the largest first. To delete runs and datasets, use their own commands."""
    if delete_model:
        freed = context.studio.storage.delete_model(delete_model)
        context.note(f"{delete_model} is deleted. Freed: {size(freed)}.")
    if delete_tokens:
        context.note(f"The token cache is deleted. Freed: {size(context.studio.storage.delete_tokens())}.")
    view = context.studio.storage.view()
    table = context.table("Type", "Name", "Size", "Deleting it loses", right=("Size",))
    for each in view.things:
        lost = f"can't be deleted: {each.kept_by}" if each.kept_by else each.lost
        table.add_row(KINDS[each.kind], plain(f"{each.name} ({each.id})"), size(each.bytes), plain(lost))

    def show() -> None:
        context.out.print(table)
        context.say(f"Free disk space: {size(view.free_bytes)}")

    context.answer(view.model_dump(), show)
