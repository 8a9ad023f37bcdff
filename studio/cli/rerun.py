"""Commands that run a run again: with changes, or for more epochs."""

from typing import Annotated, Any

import typer

from studio.cli.context import Context
from studio.cli.options import Detach, Method, Run
from studio.cli.train import wait_and_report

Name = Annotated[str, typer.Option(help="Name of the new run.", show_default="the name of the run")]


def repeat(
    context: Context,
    run: Run,
    settings: dict[str, Any],
    method: Method = None,
    name: Name = "",
    detach: Detach = False,
) -> None:
    """Run again on the same rows with the same settings, except those given here."""
    changes = {**settings, **({"method": method} if method else {})}
    made = context.studio.runs.rerun(context.studio.runs.get(run).id, changes, name)
    context.note(context.studio.runs.spec(made.id).because[0])
    wait_and_report(context, made, detach)


def extend(
    context: Context,
    run: Run,
    epochs: Annotated[float, typer.Option(help="Number of epochs to add.")] = 1.0,
    name: Name = "",
    detach: Detach = False,
) -> None:
    """Train for more epochs, from the result of a finished run. This makes a new run with its own schedule."""
    made = context.studio.runs.extend(context.studio.runs.get(run).id, epochs, name)
    context.note(context.studio.runs.spec(made.id).because[0])
    wait_and_report(context, made, detach)
