"""Commands about runs: list, show, log, stop, combine, delete."""

import sys
from typing import Annotated, Any

import typer

from studio.cli.coach import advice_row, show_advice
from studio.cli.context import Context
from studio.cli.options import Run
from studio.cli.terminal import plain
from studio.schema.errors import StudioError
from studio.schema.events import CheckpointEvent, ErrorEvent, EvaluationEvent, StoredEvent
from studio.schema.numbers import duration
from studio.schema.runs import RunRecord
from studio.services.runs.coach import current_advice
from studio.services.runs.curves import ALL_EVENTS


def runs(
    context: Context,
    find: Annotated[str, typer.Option(help="Words in the name, note, tags, model or dataset.")] = "",
    tag: Annotated[str, typer.Option(help="Only runs with this tag.")] = "",
    sort: Annotated[str, typer.Option(metavar="ORDER", help="newest, oldest, name, loss, time or size.")] = "newest",
    archived: Annotated[bool, typer.Option("--archived", help="Show the archived runs.")] = False,
    seen: Annotated[bool, typer.Option("--seen", help="Dismiss the notice about a repaired database.")] = False,
) -> None:
    """List all runs that are not archived, newest first."""
    for notice in context.studio.storage.recovery_notices():
        context.note(notice if seen else f"{notice} (Dismiss this notice with: studio runs --seen)")
    if seen:
        context.studio.storage.dismiss_recovery_notices()
    matching = context.studio.runs.find(find, tag, sort, archived)
    context.answer([run_row(record) for record in matching], lambda: _show_runs(context, matching))


def show(context: Context, run: Run) -> None:
    """Show a run: its state, results, validations and advice. With --json, also its settings and events."""
    record = context.studio.runs.get(run)
    events = context.studio.runs.events(record.id, limit=ALL_EVENTS)
    if context.as_json:
        context.answer({**run_row(record), **_details(context, record, events)}, lambda: None)
    else:
        _show_run(context, record, events)


def log(context: Context, run: Run) -> None:
    """Print the log of a run's process, with tracebacks and messages of libraries."""
    record = context.studio.runs.get(run)
    text = context.studio.runs.log(record.id)
    # At a terminal, carriage returns of progress bars become line ends, and control characters are removed.
    printed = plain(text.replace("\r", "\n")) if context.out.is_terminal else text
    context.answer({"id": record.id, "log": text}, lambda: print(printed, end=""))


def stop(
    context: Context,
    run: Run,
    keep: Annotated[
        bool, typer.Option("--keep/--discard", help="Keep the best checkpoint so far, or discard it.")
    ] = True,
) -> None:
    """Stop a run after its current step."""
    record = context.studio.runs.get(run)
    context.studio.runs.stop(record.id, "keep" if keep else "discard")
    record = context.studio.runs.get(record.id)
    what = "keeps the best checkpoint so far" if keep else "discards what it learned"
    context.answer({"id": record.id, "status": record.status}, lambda: context.note(f"{record.id} stops and {what}."))


def combine(
    context: Context,
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN=WEIGHT...", help="Runs of one base model with a weight, as in RUN=0.5."),
    ],
    how: Annotated[
        str, typer.Option(metavar="NAME", help="Method of PEFT: cat, svd, linear, ties or dare_linear.")
    ] = "cat",
    name: Annotated[str, typer.Option(help="Name of the new run.", show_default="combined")] = "",
) -> None:
    """Combine the adapters of several runs of one base model, each with a weight, into a new run."""
    made = context.studio.runs.combine(dict(_weighted(each) for each in runs), how, name)
    context.answer({"id": made.id, "status": made.status, "reason": made.reason}, lambda: context.say(made.id))


def delete(
    context: Context,
    run: Run,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete a run with its checkpoints, its result and its exports."""
    record = context.studio.runs.get(run)
    if not yes and not context.as_json and sys.stdin.isatty():
        typer.confirm(
            f"Delete {record.name} ({record.id}) with its checkpoints, result and exports?", abort=True, err=True
        )
    context.studio.runs.delete(record.id)
    context.answer({"id": record.id, "deleted": True}, lambda: context.note(f"{record.id} is deleted."))


def run_row(record: RunRecord) -> dict[str, Any]:
    """A run as a JSON document."""
    first = ("id", "name", "status", "task", "model", "method", "created", "seconds", "metrics")
    values = record.model_dump()
    return {key: values[key] for key in first} | {key: value for key, value in values.items() if key not in first}


def _details(context: Context, record: RunRecord, events: list[StoredEvent]) -> dict[str, Any]:
    spec = context.studio.runs.spec(record.id)
    checkpoints = [each.event for each in events if isinstance(each.event, CheckpointEvent)]
    advice = current_advice([each.event for each in events])
    return {
        "config": spec.config.model_dump(),
        "because": spec.because,
        "dataset": {
            "id": spec.dataset,
            "version": spec.dataset_version,
            **spec.data.model_dump(),
            "splits": spec.splits.model_dump(),
            "validation_dataset": spec.validation_dataset,
        },
        "goes_on_from": context.studio.runs.progress(record.id).saved,
        "events": [each.flat() for each in events],
        "checkpoints": [each.model_dump(exclude={"kind"}) for each in checkpoints],
        "advice": [advice_row(each) for each in advice],
    }


def _weighted(text: str) -> tuple[str, float]:
    """A run and its weight. The default weight is 1."""
    run, _, weight = text.partition("=")
    try:
        return run, float(weight or 1)
    except ValueError as error:
        raise StudioError(
            "bad-setting", "A weight must be a number.", given=text, valid=f"for example {run}=0.5"
        ) from error


def _show_runs(context: Context, runs: list[RunRecord]) -> None:
    if not runs:
        context.say("There are no runs yet. Start one with: studio train DATA --model starter-chat")
        return
    table = context.table("Run", "Name", "Status", "Task", "Model", "Method", "Time", "Result")
    for record in runs:
        table.add_row(
            record.id,
            plain(record.name),
            record.status,
            record.task,
            plain(record.model),
            record.method,
            duration(record.seconds) if record.seconds else "",
            ", ".join(f"{name} {value:.3g}" for name, value in list(record.metrics.items())[:2]),
        )
    context.out.print(table)


def _show_run(context: Context, record: RunRecord, events: list[StoredEvent]) -> None:
    _show_state(context, record)
    if resume_words := context.studio.runs.progress(record.id).way_on:
        context.say(f"{resume_words} Resume it with: studio resume {record.id}")
    for name, value in record.metrics.items():
        context.say(f"{name}: {value:.4g}")
    _show_validations(context, [each.event for each in events if isinstance(each.event, EvaluationEvent)])
    if advice := current_advice([each.event for each in events]):
        show_advice(context, advice, record.status)
    for each in events:
        if isinstance(each.event, ErrorEvent):
            context.say(f"{each.event.message} {each.event.hint}")


def _show_state(context: Context, record: RunRecord) -> None:
    marks = [*record.tags, *(["archived"] if record.archived else [])]
    facts = [record.status, record.task, record.model, record.method]
    if record.seconds:
        facts.append(f"trained for {duration(record.seconds)}")
    context.say(" · ".join([f"{record.name} ({record.id})", *marks]))
    if record.note:
        context.say(record.note)
    context.say(" · ".join(facts))
    if record.steps:
        best = f", best at step {record.best_step:,}" if record.best_step is not None else ""
        context.say(f"Step {record.step:,} of {record.steps:,}{best}")
    if record.reason:
        context.say(record.reason)


def _show_validations(context: Context, validations: list[EvaluationEvent]) -> None:
    if not validations:
        return
    table = context.table("Step", "Validation loss", "", right=("Step", "Validation loss"))
    for each in validations:
        table.add_row(f"{each.step:,}", f"{each.eval_loss:.4f}", "best" if each.best else "")
    context.out.print(table)
