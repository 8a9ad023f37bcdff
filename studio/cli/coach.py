"""The command that tells what the coach says of a run, and does what it proposes."""

from typing import Annotated

import typer

from studio.cli.context import Context, command
from studio.cli.options import Detach, Run
from studio.cli.terminal import plain
from studio.cli.train import see_through
from studio.schema.events import AdviceEvent

PANEL = "Runs"


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "coach", PANEL)(coach)


def coach(
    context: Context,
    run: Run,
    do: Annotated[
        str, typer.Option(metavar="RULE", help="Do what this advice proposes, overfitting say.", show_default=False)
    ] = "",
    choice: Annotated[int, typer.Option(min=1, help="Which of its proposals, from 1.")] = 1,
    detach: Detach = False,
) -> None:
    """Tell what the coach sees in a run, why it matters and what to do; with --do, do it."""
    record = context.studio.runs.get(run)
    if not do:
        said = context.studio.coach.advice(record.id)
        context.answer([advice_row(each) for each in said], lambda: show_advice(context, said))
        return
    made = context.studio.coach.apply(record.id, do, choice)
    if made.id == record.id:
        told = f"{made.id} stops and keeps the best."
        context.answer({"id": made.id, "status": made.status}, lambda: context.note(told))
    else:
        see_through(context, made, detach)


def advice_row(advice: AdviceEvent) -> dict[str, object]:
    """An advice as a document."""
    return advice.model_dump(exclude={"kind"})


def show_advice(context: Context, said: list[AdviceEvent]) -> None:
    """Each advice as a person reads it."""
    if not said:
        context.say("The coach has nothing to say: all is well so far.")
    for each in said:
        context.say(f"Step {each.step:,}: {plain(each.title)}{f' ({each.rule})' if each.rule else ''}")
        for line in (each.message, each.why, each.action):
            if line:
                context.say(f"  {plain(line)}")
        for at, action in enumerate(each.actions, 1):
            context.say(f"  {at}. {plain(action.label)}")
