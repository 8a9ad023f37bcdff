"""Commands that run a run again: with changes, or for more epochs."""

from typing import Annotated, Any

import typer

from studio.cli.context import Context
from studio.cli.options import Detach, Method, Run
from studio.cli.train import wait_and_report

Name = Annotated[str, typer.Option(help="What the new run is called.")]


def repeat(
    context: Context,
    run: Run,
    settings: dict[str, Any],
    method: Method = None,
    name: Name = "",
    detach: Detach = False,
) -> None:
    """Run again on the same rows, with all settings as they were but those given here."""
    changes = {**settings, **({"method": method} if method else {})}
    made = context.studio.runs.rerun(context.studio.runs.get(run).id, changes, name)
    context.note(context.studio.runs.spec(made.id).because[0])
    wait_and_report(context, made, detach)


def extend(
    context: Context,
    run: Run,
    epochs: Annotated[float, typer.Option(help="Passes over the rows that are added.")] = 1.0,
    name: Name = "",
    detach: Detach = False,
) -> None:
    """Go on from a finished run's result for some passes more, as a run of its own with a schedule of its own."""
    made = context.studio.runs.extend(context.studio.runs.get(run).id, epochs, name)
    context.note(context.studio.runs.spec(made.id).because[0])
    wait_and_report(context, made, detach)
