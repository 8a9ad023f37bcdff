"""The command that shows the coach's advice on a run, and applies it."""

from typing import Annotated

import typer

from studio.cli.context import Context
from studio.cli.options import Detach, Run
from studio.cli.terminal import plain
from studio.cli.train import wait_and_report
from studio.schema.events import AdviceEvent
from studio.schema.runs import ACTIVE


def coach(
    context: Context,
    run: Run,
    do: Annotated[
        str, typer.Option(metavar="RULE", help="Apply the action of this advice, for example overfitting.")
    ] = "",
    choice: Annotated[int, typer.Option(min=1, help="Which of its actions, from 1.")] = 1,
    detach: Detach = False,
) -> None:
    """Show the coach's advice on a run: what it sees, why it matters, what to do. With --do, apply an action."""
    record = context.studio.runs.get(run)
    if not do:
        advice = context.studio.coach.advice(record.id)
        context.answer([advice_row(each) for each in advice], lambda: show_advice(context, advice, record.status))
        return
    made = context.studio.coach.apply(record.id, do, choice)
    if made.id == record.id:
        message = f"{made.id} stops and keeps the best checkpoint."
        context.answer({"id": made.id, "status": made.status}, lambda: context.note(message))
    else:
        wait_and_report(context, made, detach)


def advice_row(advice: AdviceEvent) -> dict[str, object]:
    """An advice as a JSON document."""
    return advice.model_dump(exclude={"kind"})


def show_advice(context: Context, advice: list[AdviceEvent], status: str) -> None:
    """Show advice as text. Only an active run can be stopped."""
    if not advice:
        context.say("No advice. The coach has found no problem so far.")
    for each in advice:
        context.say(f"Step {each.step:,}: {plain(each.title)}{f' ({each.rule})' if each.rule else ''}")
        for line in (each.message, each.why, each.action):
            if line:
                context.say(f"  {plain(line)}")
        for at, action in enumerate(each.actions, 1):
            if action.kind == "stop" and status not in ACTIVE:
                continue
            context.say(f"  {at}. {plain(action.label)}")
