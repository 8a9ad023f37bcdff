"""All commands, in the order of the help."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from studio.cli import (
    augmentation,
    coach,
    curves,
    data,
    datasets,
    estimate,
    label,
    machine,
    models,
    preview,
    queue,
    rerun,
    run_management,
    run_outputs,
    runs,
    search,
    serve,
    train,
)
from studio.cli.context import Home

MODULES = (
    serve,
    models,
    data,
    preview,
    augmentation,
    datasets,
    label,
    estimate,
    search,
    train,
    rerun,
    runs,
    queue,
    run_management,
    coach,
    curves,
    run_outputs,
    machine,
)
INTERRUPTED = 130
"""The status that typer returns for Ctrl-C."""


def build() -> typer.Typer:
    """The application with every command."""
    app = typer.Typer(
        name="studio",
        help="Fine-tune a language model on your own rows. Without a command: open the studio in the browser.",
        add_completion=False,
        no_args_is_help=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )

    @app.callback(invoke_without_command=True)
    def studio(
        ctx: typer.Context,
        home: Home = None,
        version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    ) -> None:
        ctx.obj = home
        if version:
            from studio import __version__

            typer.echo(__version__)
            raise typer.Exit
        if ctx.invoked_subcommand is None:
            serve.open_studio(home)

    for module in MODULES:
        module.register(app)
    return app


def entry() -> Callable[[Sequence[str]], int]:
    """The whole command line as a function of its arguments. It returns a status or raises, also KeyboardInterrupt."""
    command = typer.main.get_command(build())

    def run(arguments: Sequence[str]) -> int:
        status = int(command.main(args=list(arguments), prog_name="studio", standalone_mode=False) or 0)
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        return status

    return run
