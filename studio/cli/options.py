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
DATA_HELP = f"A file ({', '.join(EXTENSIONS)}) or a folder of them, a dataset's id, sample:NAME, or hf:OWNER/NAME."
Data = Annotated[str, typer.Argument(help=DATA_HELP)]
OptionalData = Annotated[str | None, typer.Argument(help=DATA_HELP)]
Run = Annotated[str, typer.Argument(help="A run's id, or last.")]
Task = Annotated[str | None, typer.Option("--task", help=f"{_listed(TASKS)}. Default: detected from the columns.")]
Model = Annotated[str, typer.Option("--model", help="starter-chat, starter-classify, a Hub name, or a folder.")]
OptionalModel = Annotated[
    str | None, typer.Option("--model", help="starter-chat, starter-classify, a Hub name, or a folder.")
]
Method = Annotated[
    str | None,
    typer.Option("--method", help=f"{_listed(METHODS)}. Default: {DEFAULT_METHOD}, or full for a small encoder."),
]
Runner = Annotated[
    str,
    typer.Option(
        "--runner",
        help="Where to train: local, or a runner of an installed plugin.",
        hidden=not has_plugins("runners"),
        show_default=False,
    ),
]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="COLUMN=ROLE", help="Role of a column in the task. ROLE none: ignore it."),
]
LeaveOut = Annotated[
    list[str] | None,
    typer.Option("--leave-out", metavar="KIND", help="Leave out the rows of a finding, for example bad-line."),
]
MaxLength = Annotated[int | None, typer.Option(min=16, help="Maximum length of a row in tokens. Needs --model.")]
Validation = Annotated[str | None, typer.Option(help="A separate validation set. Rows that are in both are reported.")]
ExportFormat = Annotated[str, typer.Option("--format", help=f"{_listed(EXPORTS)}.")]
Detach = Annotated[bool, typer.Option("--detach", help="Return at once instead of waiting for the end.")]
Preset = Annotated[
    str | None, typer.Option("--preset", help="quick, balanced or thorough. Sets the values that you leave out.")
]
