"""Arguments and options that several commands share."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from studio.data.formats import FORMATS
from studio.export import EXPORTS
from studio.machine.plugins import has_plugins
from studio.schema.config import DEFAULT_METHOD
from studio.schema.requests import RunRequest
from studio.tasks import TASKS
from studio.training.methods import METHODS


def run_request(**flags: Any) -> RunRequest:
    """The request of a run. Flags that were not given (None) have the defaults of `RunRequest`."""
    return RunRequest(**{name: value for name, value in flags.items() if value is not None})


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


EXTENSIONS = [extension.removeprefix(".") for format in FORMATS.values() for extension in format.extensions]
VALUES = {
    "DATA": f"A file ({', '.join(EXTENSIONS)}), a folder of files, a dataset's id, sample:NAME, or hf:OWNER/NAME.",
    "TASK": f"{_listed(TASKS)}.",
    "METHOD": f"{_listed(METHODS)}.",
    "FORMAT": f"{_listed(EXPORTS)}.",
}
"""Placeholder → what can be given for it, listed below the options of a command."""
if has_plugins("runners"):  # else there is no choice
    from studio.services.runners import offered_runners

    VALUES["RUNNER"] = f"{_listed(offered_runners())}."
DATA = typer.Argument(metavar="DATA", help="The rows: a file, a folder, a dataset or a sample.")
Data = Annotated[str, DATA]
OptionalData = Annotated[str | None, DATA]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or last.")]
Task = Annotated[
    str | None,
    typer.Option("--task", metavar="TASK", help="What the model learns.", show_default="from the columns"),
]
MODEL = typer.Option("--model", metavar="MODEL", help="starter-chat, starter-classify, a Hub name, or a folder.")
Model = Annotated[str, MODEL]
OptionalModel = Annotated[str | None, MODEL]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        help="How to train.",
        show_default=f"{DEFAULT_METHOD}, or full for a small encoder",
    ),
]
Runner = Annotated[
    str,
    typer.Option(
        "--runner",
        metavar="RUNNER",
        help="Where to train: local, or a runner of an installed plugin.",
        hidden=not has_plugins("runners"),
        show_default=False,
    ),
]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="COLUMN=ROLE",
        help="Role of a column. none: ignore it.",
        show_default="detected",
    ),
]
LeaveOut = Annotated[
    list[str] | None,
    typer.Option("--leave-out", metavar="KIND", help="Leave out the rows of a finding, as in bad-line."),
]
MaxLength = Annotated[
    int | None, typer.Option(min=16, help="Maximum tokens of a row. Needs --model.", show_default="automatic")
]
Validation = Annotated[
    str | None, typer.Option(metavar="DATA", help="A separate validation set. Rows in both are reported.")
]
ExportFormat = Annotated[str, typer.Option("--format", metavar="FORMAT", help="What to export.")]
Detach = Annotated[bool, typer.Option("--detach", help="Return at once instead of waiting for the end.")]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="quick, balanced or thorough. Sets what you leave out.",
        show_default="balanced",
    ),
]
