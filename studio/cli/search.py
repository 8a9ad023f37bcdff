"""The command for hyperparameter searches."""

import time
from typing import Annotated, Any

import typer

from studio.cli.context import Context
from studio.cli.data import roles_of
from studio.cli.options import Detach, LeaveOut, Map, Method, OptionalData, OptionalModel, Preset, Task, run_request
from studio.schema.errors import StudioError
from studio.schema.requests import SearchRequest
from studio.schema.search import SearchView

LOOK_SECONDS = 1.0


def search(
    context: Context,
    settings: dict[str, Any],
    reading: dict[str, Any],
    data: OptionalData = None,
    model: OptionalModel = None,
    task: Task = None,
    method: Method = None,
    preset: Preset = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Number of trials.", show_default="10, or as many as --minutes allows"),
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(help="Time limit in minutes for the whole search. 0: no limit."),
    ] = 0.0,
    map_: Map = None,
    leave_out: LeaveOut = None,
    on: Annotated[
        str | None, typer.Option("--on", metavar="ID", help="Continue an earlier search: its id, or last.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="With --on: start no more trials.")] = False,
    detach: Detach = False,
) -> None:
    """Search for better settings: learning rate, epochs, batch size and rank. Each trial is a run of its own.

    After Ctrl-C the running trial continues. --on continues the search.
    """
    studio = context.studio
    if on:
        view = studio.search.stop(on) if stop else studio.search.advance(on)
    elif data and model:
        request = run_request(
            dataset=studio.datasets.open(data, **reading).id,
            model=model,
            task=task,
            method=method,
            preset=preset,
            settings=settings,
            roles=roles_of(map_),
            leave_out=leave_out,
        )
        view = studio.search.start(SearchRequest(run=request, trials=trials, minutes=minutes))
    else:
        raise StudioError(
            "bad-setting", "A search needs data and a model.", hint="To continue an earlier search: --on last"
        )
    try:
        last = ""
        while view.status == "running" and not detach:
            if view.sentence != last:
                last = view.sentence
                context.note(last)
            time.sleep(LOOK_SECONDS)
            studio.reconcile()
            view = studio.search.advance(view.spec.id)
    except KeyboardInterrupt:
        context.note(f"The running trial continues. Continue the search with: studio search --on {view.spec.id}")
    context.answer(document(view), lambda: _show(context, view))
    if view.status == "finished" and view.best is None:
        context.note("No trial has finished, so there are no better settings.")
        context.status = 1


def document(view: SearchView) -> dict[str, Any]:
    """A search as a JSON document."""
    best = next((trial for trial in view.trials if trial.number == view.best), None)
    return {
        "id": view.spec.id,
        "status": view.status,
        "best": best.model_dump() if best else None,
        "trials": [trial.model_dump() for trial in view.trials],
    }


def _show(context: Context, view: SearchView) -> None:
    names = list(view.spec.first)
    table = context.table(
        "Trial", "State", "Loss", *(name.replace("_", " ") for name in names), "Run", right=("Trial", "Loss")
    )
    for trial in view.trials:
        best = ", best" if trial.number == view.best else ""
        table.add_row(
            str(trial.number + 1),
            trial.state + best,
            f"{trial.value:.4f}" if trial.value is not None else "",
            *(f"{trial.settings[name]:g}" if name in trial.settings else "" for name in names),
            trial.run,
        )
    context.out.print(table)
    context.say(view.sentence)
    context.say(view.spec.id)
