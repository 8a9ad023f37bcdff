"""The command that estimates a run."""

from typing import Annotated, Any

import typer

from studio.cli.context import Context
from studio.cli.data import roles_of
from studio.cli.options import LeaveOut, Map, Method, Model, OptionalData, Preset, Task, run_request
from studio.cli.read_options import open_dataset
from studio.cli.terminal import plain
from studio.schema.errors import StudioError
from studio.schema.numbers import count, memory, share, time_range
from studio.schema.settings_check import gathered, raise_once
from studio.schema.views import FitView, PlanView


def estimate(
    context: Context,
    model: Model,
    settings: dict[str, Any],
    wrong: list[StudioError],
    reading: dict[str, Any],
    data: OptionalData = None,
    task: Task = None,
    method: Method = None,
    preset: Preset = None,
    map_: Map = None,
    leave_out: LeaveOut = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Change settings until the run fits the memory, and list the changes.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Measure memory and time with a few real steps on the longest rows.")
    ] = False,
) -> None:
    """Estimate a run before it starts: steps, time and memory, with reasons for the settings."""
    dataset = roles = None
    with gathered(wrong):
        dataset = open_dataset(context, data, reading).id if data else None
    with gathered(wrong):
        roles = roles_of(map_)
    if probe and not data:
        wrong.append(StudioError("bad-setting", "--probe needs data.", hint="Add the data, or leave out --probe."))
    request = run_request(
        dataset=dataset,
        model=model,
        task=task,
        method=method,
        preset=preset,
        settings=settings,
        roles=roles,
        leave_out=leave_out,
    )
    if wrong:
        raise_once([*wrong, *context.studio.planning.problems(request)])
    fitted = context.studio.planning.fit(request) if fit else None
    if fitted:
        request = request.model_copy(update={"method": fitted.method, "settings": fitted.settings})
    if probe and dataset is not None:
        context.note("Running a few real steps on the longest rows. Nothing from them is saved.")
        view = context.studio.planning.probe(request)
    else:
        view = fitted.view if fitted else context.studio.planning.plan(request)
    document = {
        **view.estimate.model_dump(),
        **({"method": fitted.method, "changes": fitted.changes} if fitted else {}),
        "settings": view.plan.config.model_dump(exclude={"test_prompts"}),
        "changed": view.plan.changed,
        "splits": view.splits.model_dump(),
        "usable": view.usable,
        "allows": view.allows,
        "language": view.language,
    }
    context.answer(document, lambda: _show_plan(context, view, fitted))


def _show_plan(context: Context, view: PlanView, fitted: FitView | None) -> None:
    cost, splits = view.estimate, view.splits
    for change in fitted.changes if fitted else ():
        context.say(f"Changed: {plain(change)}")
    if fitted and not fitted.changes:
        context.say("The run fits without changes.")
    learned = cost.trainable_parameters / cost.total_parameters if cost.total_parameters else 0
    epochs = "1 epoch" if cost.epochs == 1 else f"{cost.epochs:g} epochs"
    context.say(f"{cost.steps:,} steps · {epochs} · about {time_range(cost.low_seconds, cost.high_seconds)}")
    context.say(
        f"Memory: {memory(cost.memory_bytes)} of {memory(cost.available_bytes)}"
        + (" (measured)" if cost.probed else "")
        + ("" if cost.fits else ": does not fit")
    )
    if cost.beside_bytes:
        context.say(f"System memory: {memory(cost.beside_bytes)} of {memory(cost.beside_available_bytes)}")
    if cost.short:
        context.say(plain(cost.short))
    context.say(
        f"Trainable parameters: {count(cost.trainable_parameters)} of {count(cost.total_parameters)} "
        f"({share(learned, 1)})"
    )
    context.say(f"Rows: {splits.train:,} for training, {splits.validation:,} for validation, {splits.test:,} for test")
    if view.plan.config.processes > 1:
        for line in cost.per_process:
            context.say(
                f"{'* ' if line.chosen else '  '}{line.way}: {memory(line.process_bytes)} per process, "
                f"{memory(line.memory_bytes)} in total"
            )
    for sentence in filter(None, [*cost.time_because, view.allows, view.language, *cost.because]):
        context.say(f"- {plain(sentence)}")
