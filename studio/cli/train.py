"""Commands that start or resume a run and wait for its end."""

from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli.context import Context
from studio.cli.data import roles_of
from studio.cli.options import (
    Data,
    Detach,
    LeaveOut,
    Map,
    Method,
    OptionalModel,
    Preset,
    Run,
    Runner,
    Task,
    run_request,
)
from studio.cli.progress import wait
from studio.cli.read_options import open_dataset, shared_options
from studio.cli.settings import NOT_SETTINGS, ConfigFile, read_config
from studio.schema.errors import StudioError
from studio.schema.runs import RunRecord
from studio.schema.settings_check import gathered, raise_once

WENT_WRONG = frozenset({"failed", "interrupted"})


def train(
    context: Context,
    data: Data,
    settings: dict[str, Any],
    wrong: list[StudioError],
    reading: dict[str, Any],
    model: OptionalModel = None,
    task: Task = None,
    method: Method = None,
    preset: Preset = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings as YAML or JSON, or a run's config.yaml. Flags win."),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="A separate file or dataset for validation.", show_default="some rows of DATA"
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.", show_default="automatic")] = None,
    map_: Map = None,
    leave_out: LeaveOut = None,
    test_prompt: Annotated[list[str] | None, typer.Option(help="A prompt to answer before and after training.")] = None,
    runner: Runner = "local",
    detach: Detach = False,
) -> None:
    """Train a model on a dataset and wait for the end. After Ctrl-C the run continues.

    The last line on stdout is the run's id.
    """
    options = {"model": model, "task": task, "method": method, "preset": preset, "name": name}
    options = {key: value for key, value in options.items() if value is not None}
    from_file, unread = ConfigFile({}), config is not None
    if config:
        with gathered(wrong):
            from_file, unread = read_config(config), False
    if from_file.not_known:
        context.note(f"Ignored settings of another version of the studio: {', '.join(from_file.not_known)}.")
    wrong += from_file.problems
    values = {**from_file.settings, **settings, **options}
    base: str | None = values.get("model")
    rows: str | None = None
    if not base and not unread:  # a file that can't be read may have one
        hint = "Add --model NAME. `studio models` lists the names."
        wrong.append(StudioError("bad-setting", "No base model was given.", hint=hint, field="model"))
    fields = {
        "task": values.get("task"),
        "method": values.get("method"),
        "preset": values.get("preset"),
        "name": values.get("name"),
        "runner": runner,
        "leave_out": (*from_file.leave_out, *(leave_out or ())),
    }
    with gathered(wrong):
        rows = open_dataset(context, data, reading).id
    with gathered(wrong):
        fields["roles"] = {**from_file.roles, **(roles_of(map_) or {})} or None
    with gathered(wrong):
        fields["validation"] = (
            open_dataset(context, validation, shared_options(reading)).id
            if validation
            else _validation(context, from_file)
        )
    chosen = {key: value for key, value in values.items() if key not in NOT_SETTINGS}
    prompts = tuple(test_prompt or values.get("test_prompts", ()))
    if wrong:
        chosen["test_prompts"] = prompts
        request = run_request(dataset=rows, model=base or None, settings=chosen, **fields)
        raise_once([*wrong, *context.studio.planning.problems(request)])
    assert rows and base
    run = context.studio.runs.start(run_request(dataset=rows, model=base, settings=chosen, prompts=prompts, **fields))
    wait_and_report(context, run, detach)


def resume(context: Context, run: Run, detach: Detach = False) -> None:
    """Resume a paused, interrupted, stopped or failed run from its last checkpoint, and wait for the end."""
    wait_and_report(context, context.studio.runs.resume(context.studio.runs.get(run).id), detach)


def _validation(context: Context, config_file: ConfigFile) -> str | None:
    """The validation dataset of the run whose config.yaml was given, if it still exists."""
    if not config_file.validation or any(each.id == config_file.validation for each in context.studio.datasets.all()):
        return config_file.validation or None
    context.note(
        "The validation set of that run is missing. A part of these rows is used, unless you add --validation."
    )
    return None


def wait_and_report(context: Context, run: RunRecord, detach: bool) -> None:
    """Wait for the end of a run, unless `detach`. Then print its id, and how it ended."""
    if not detach:
        run = wait(context, run)
    context.answer(
        {"id": run.id, "status": run.status, "metrics": run.metrics, "reason": run.reason}, lambda: context.say(run.id)
    )
    if run.status in WENT_WRONG:
        context.note(run.reason or f"The run ended as {run.status}.")
        context.note(f"  Hint: studio log {run.id} shows the log of its process.")
        context.status = 1
