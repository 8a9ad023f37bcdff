"""Commands about the queue: list, move, pause."""

from typing import Annotated, cast

import typer

from studio.cli.context import Context
from studio.cli.options import Run
from studio.cli.terminal import plain
from studio.schema.views import Progress


def queue(
    context: Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="Id of a queued run to move.")] = None,
    move: Annotated[str | None, typer.Option(metavar="PLACE", help="New place: up, down, first or last.")] = None,
) -> None:
    """List the running and queued runs, or move a queued run."""
    if (run is None) != (move is None):
        raise typer.BadParameter("To move a run, give both its id and --move up, down, first or last.")
    if run is not None:
        from studio.store.queue import Move

        context.studio.runs.move(context.studio.runs.get(run).id, cast(Move, move))
    queued = [context.studio.runs.progress(record.id) for record in context.studio.runs.queued()]
    rows = [
        {**each.record.model_dump(include={"id", "name", "status"}), "before": each.position, "sentence": each.sentence}
        for each in queued
    ]
    context.answer(rows, lambda: _show(context, queued))


def pause(context: Context, run: Run) -> None:
    """Pause a run, so that other runs can start. `studio resume` continues it."""
    record = context.studio.runs.pause(context.studio.runs.get(run).id)
    words = "is paused" if record.status == "paused" else "pauses after this step and saves a checkpoint"
    context.answer(
        {"id": record.id, "status": record.status},
        lambda: context.note(f"{record.id} {words}. Resume it with: studio resume {record.id}"),
    )


def _show(context: Context, queued: list[Progress]) -> None:
    if not queued:
        context.say("No run is running or queued.")
        return
    table = context.table("Run", "Name", "Status", "")
    for each in queued:
        table.add_row(each.record.id, plain(each.record.name), each.record.status, plain(each.sentence))
    context.out.print(table)
