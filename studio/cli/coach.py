"""The command that tells what the coach says of a run, and does what it proposes."""

from typing import Annotated

import typer

from studio.cli.context import Door, command
from studio.cli.options import Detach, Run
from studio.cli.terminal import plain
from studio.cli.train import see_through
from studio.schema.events import AdviceEvent

PANEL = "Runs"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "coach", PANEL)
    def coach(
        door: Door,
        run: Run,
        do: Annotated[
            str, typer.Option(metavar="RULE", help="Do what this advice proposes, overfitting say.", show_default=False)
        ] = "",
        choice: Annotated[int, typer.Option(min=1, help="Which of its proposals, from 1.")] = 1,
        detach: Detach = False,
    ) -> None:
        """Tell what the coach sees in a run, why it matters and what to do; with --do, do it."""
        record = door.studio.run(run)
        if not do:
            said = door.studio.advice(record.id)
            door.answer([advice_row(each) for each in said], lambda: show_advice(door, said))
            return
        made = door.studio.follow(record.id, do, choice)
        if made.id == record.id:
            told = f"{made.id} stops and keeps the best."
            door.answer({"id": made.id, "status": made.status}, lambda: door.note(told))
        else:
            see_through(door, made, detach)


def advice_row(advice: AdviceEvent) -> dict[str, object]:
    """An advice as a document."""
    return advice.model_dump(exclude={"kind"})


def show_advice(door: Door, said: list[AdviceEvent]) -> None:
    """Each advice as a person reads it."""
    if not said:
        door.say("The coach has nothing to say: all is well so far.")
    for each in said:
        door.say(f"Step {each.step:,}: {plain(each.title)}{f' ({each.rule})' if each.rule else ''}")
        for line in (each.message, each.why, each.action):
            if line:
                door.say(f"  {plain(line)}")
        for at, action in enumerate(each.actions, 1):
            door.say(f"  {at}. {plain(action.label)}")
