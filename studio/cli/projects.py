"""Commands about projects: list, create, rename, delete, restore; export to one file and import from it."""

from pathlib import Path
from typing import Annotated

import typer

from studio.cli.context import Context
from studio.cli.terminal import plain
from studio.schema.numbers import plural, runs, size

Name = Annotated[str, typer.Argument(metavar="PROJECT", help="A project's name or id.")]


def list_(
    context: Context,
    deleted: Annotated[bool, typer.Option("--deleted", help="List deleted projects.")] = False,
) -> None:
    """List the projects with the number of their datasets and runs, and their size."""
    projects = context.studio.projects
    known = [projects.view(each) for each in projects.all(deleted)]
    table = context.table("Project", "Name", "Datasets", "Runs", "Size", right=("Datasets", "Runs", "Size"))
    for each in known:
        table.add_row(each.id, plain(each.title), str(each.datasets), str(each.runs), size(each.bytes))
    context.answer(known, lambda: context.out.print(table))


def new(context: Context, name: Annotated[str, typer.Argument(help="The name of the project.")]) -> None:
    """Create an empty project. The last line of the output is its id."""
    record = context.studio.projects.create(name)
    context.answer(record, lambda: context.say(record.id))


def rename(context: Context, project: Name, name: Annotated[str, typer.Argument(help="The new name.")]) -> None:
    """Change the name of a project."""
    record = context.studio.projects.rename(project, name)
    context.answer(record, lambda: context.say(f"{record.id} is named {record.title} now."))


def export(
    context: Context,
    project: Name,
    to: Annotated[Path, typer.Option(metavar="FILE", help="The zip file to write.")],
) -> None:
    """Export a project to one file: rows, labels, and runs with their results, without checkpoints and exports."""
    with context.progress("Exporting") as move:
        path = context.studio.projects.export(project, to.expanduser().resolve(), move)
    written = {"path": str(path), "bytes": path.stat().st_size}
    context.answer(written, lambda: context.say(f"{path} ({size(path.stat().st_size)})"))


def import_(
    context: Context,
    file: Annotated[Path, typer.Argument(help="A file from studio project export.")],
    name: Annotated[
        str, typer.Option(help="Name of the project.", show_default="the one in the file, with a number if it exists")
    ] = "",
) -> None:
    """Import a project from a file. No code in the file is run. The last line of the output is the project's id."""
    with context.progress("Importing") as move:
        record = context.studio.projects.import_file(file.expanduser().resolve(), name, move)
    context.note(f"Imported as “{record.title}”.")
    context.answer(record, lambda: context.say(record.id))


def delete(
    context: Context,
    project: Name,
    for_good: Annotated[
        bool, typer.Option("--for-good", help="Remove a deleted project, with all that is in it. There is no undo.")
    ] = False,
) -> None:
    """Delete a project. It can be restored until it is removed with --for-good."""
    projects = context.studio.projects
    if for_good:
        removed = projects.remove(project)
        inside = f"{plural(removed.datasets, '{n} dataset', '{n} datasets')}, {runs(removed.runs)}"
        context.answer(removed, lambda: context.say(f"{removed.title} is removed: {inside}, {size(removed.bytes)}."))
        return
    view = projects.view(projects.delete(project))
    inside = f"{plural(view.datasets, '{n} dataset', '{n} datasets')}, {runs(view.runs)}, {size(view.bytes)}"
    context.answer(
        view,
        lambda: context.say(f"{view.title} is deleted ({inside}). Restore it with: studio project restore {view.id}"),
    )


def restore(context: Context, project: Name) -> None:
    """Restore a deleted project."""
    record = context.studio.projects.restore(project)
    context.answer(record, lambda: context.say(f"{record.title} ({record.id}) is restored."))
