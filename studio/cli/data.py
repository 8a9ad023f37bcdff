"""The command that checks a dataset."""

from typing import Annotated, Any

import typer

from studio.cli.context import Context
from studio.cli.options import Data, LeaveOut, Map, MaxLength, OptionalModel, Task, Validation
from studio.cli.read_options import open_dataset, shared_options
from studio.cli.terminal import plain
from studio.schema.dataset import CheckReport, DatasetRecord
from studio.schema.numbers import rows


def check(
    context: Context,
    data: Data,
    reading: dict[str, Any],
    task: Task = None,
    map_: Map = None,
    model: OptionalModel = None,
    max_length: MaxLength = None,
    leave_out: LeaveOut = None,
    validation: Validation = None,
    all_rows: Annotated[
        bool, typer.Option("--all-rows", help="Search all rows for near-duplicates, however long it takes.")
    ] = False,
    label_errors: Annotated[
        bool, typer.Option("--label-errors", help="Train a small classifier to find labels that are probably wrong.")
    ] = False,
) -> None:
    """Check a dataset: which rows can be used, and what is wrong with the others.

    The exit status is 2 if the dataset can't be used for training as it is.
    """
    from studio.data.checks.report_errors import refusal
    from studio.services.datasets.check_options import CheckOptions

    record = open_dataset(context, data, reading)
    if label_errors:
        save_roles(context, record.id, task, map_)
        with context.progress("Reading texts") as progress:
            context.studio.label_quality.judge(record.id, task, progress)
    validation_id = open_dataset(context, validation, shared_options(reading)).id if validation else None
    with context.progress("Checking the rows") as move:
        options = CheckOptions(
            roles_of(map_),
            model=model,
            max_length=max_length,
            leave_out=leave_out or (),
            whole=all_rows,
            validation=validation_id,
        )
        report = context.studio.checks.check(record.id, task, options, lambda done: move(done, record.rows))
    context.answer(report, lambda: _show_report(context, record, report))
    if error := refusal(report):
        raise error


def roles_of(map_: list[str] | None) -> dict[str, str] | None:
    """The roles in `--map`. None when it was not given."""
    from studio.data.roles import parse_map

    return parse_map(map_) if map_ else None


def save_roles(context: Context, dataset: str, task: str | None, map_: list[str] | None) -> None:
    """Save the roles in `--map` with the dataset, so that all other operations use them."""
    if roles := roles_of(map_):
        spec = context.studio.datasets.spec(dataset, task, roles)
        context.studio.datasets.set_roles(dataset, spec.task, roles)


def _show_report(context: Context, record: DatasetRecord, report: CheckReport) -> None:
    context.say(f"{record.name}: {report.usable:,} of {rows(report.rows)} can be used")
    if report.task_reason:
        context.say(report.task_reason)
    columns = context.table("Column", "Role")
    for column, role in report.columns.items():
        columns.add_row(plain(column), role or "not used")
    context.out.print(columns)
    for problem in report.problems:
        where = ", ".join(str(row) for row in problem.rows[:10]) + (" …" if problem.count > 10 else "")
        context.say(f"{problem.severity}: {problem.message} ({problem.kind}{f'; rows {where}' if where else ''})")
        if problem.fix:
            context.say(f"  Fix: {problem.fix}")
    if not report.problems:
        context.say("No problems found.")
