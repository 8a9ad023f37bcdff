"""The command that shows the coach's advice on a run, and applies it."""

from typing import Annotated

import typer

from studio.cli.context import Context
from studio.cli.options import Detach, Run
from studio.cli.terminal import plain
from studio.cli.train import wait_and_report
from studio.schema.events import AdviceEvent


def coach(
    context: Context,
    run: Run,
    do: Annotated[str, typer.Option(metavar="RULE", help="Do what this advice proposes, overfitting say.")] = "",
    choice: Annotated[int, typer.Option(min=1, help="Which of its proposals, from 1.")] = 1,
    detach: Detach = False,
) -> None:
    """Tell what the coach sees in a run, why it matters and what to do; with --do, do it."""
    record = context.studio.runs.get(run)
    if not do:
        advice = context.studio.coach.advice(record.id)
        context.answer([advice_row(each) for each in advice], lambda: show_advice(context, advice))
        return
    made = context.studio.coach.apply(record.id, do, choice)
    if made.id == record.id:
        message = f"{made.id} stops and keeps the best."
        context.answer({"id": made.id, "status": made.status}, lambda: context.note(message))
    else:
        wait_and_report(context, made, detach)


def advice_row(advice: AdviceEvent) -> dict[str, object]:
    """An advice as a JSON document."""
    return advice.model_dump(exclude={"kind"})


def show_advice(context: Context, advice: list[AdviceEvent]) -> None:
    """Show advice as text."""
    if not advice:
        context.say("The coach has nothing to say: all is well so far.")
    for each in advice:
        context.say(f"Step {each.step:,}: {plain(each.title)}{f' ({each.rule})' if each.rule else ''}")
        for line in (each.message, each.why, each.action):
            if line:
                context.say(f"  {plain(line)}")
        for at, action in enumerate(each.actions, 1):
            context.say(f"  {at}. {plain(action.label)}")
