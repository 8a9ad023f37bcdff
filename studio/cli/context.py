"""What all commands share: common options, the studio, and how a result is printed.

A command is a function of a `Context` and of its own options. With `--json`, stdout has one JSON document; all other
output, also of libraries, goes to stderr.
"""

import inspect
import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from studio.cli.examples import epilog
from studio.cli.help import HelpAll, HelpCommand
from studio.cli.read_options import READING_FLAGS, parse_reading
from studio.cli.settings import parse_settings, setting_flags, valid_settings
from studio.cli.terminal import plain
from studio.schema.base import FrozenModel
from studio.schema.errors import StudioError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from studio.api import Studio

GROUPS = frozenset({"settings", "wrong", "reading"})
"""Parameters of a command that several flags are gathered into."""
HOME_HELP = "Data folder. Created if missing."
PROJECT_HELP = "Name or id of the project."


class Place(NamedTuple):
    """What the options before a command, or the environment, say about the place of the data."""

    home: Path | None = None
    project: str | None = None
    as_json: bool = False


class Context:
    """One call of a command: the studio of a project in a data folder, and the format of the answer."""

    def __init__(self, home: Path | None, as_json: bool, project: str | None = None) -> None:
        self.home, self.as_json, self.project = home, as_json, project
        self.status = 0
        """The exit status, unless an error sets another."""

    @cached_property
    def studio(self) -> "Studio":
        """The studio of this data folder, opened when first needed, with the states of its runs reconciled."""
        from studio.api import Studio

        try:
            studio = Studio(self.home, project=self.project)
            studio.reconcile()
            return studio
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise StudioError(
                "not-allowed",
                "The data folder can't be created or written to.",
                given=error.filename,
                hint="Choose another folder with --home or $STUDIO_HOME.",
            ) from error

    def close(self) -> None:
        """End the processes that this command started, except running workers."""
        if "studio" in self.__dict__:
            self.studio.close()

    @cached_property
    def notes(self) -> "Console":
        """The console for progress and notes: stderr."""
        from rich.console import Console

        return Console(stderr=True, markup=False, highlight=False, soft_wrap=True)

    @cached_property
    def out(self) -> "Console":
        """The console for results as text: stdout."""
        from rich.console import Console

        # Lines are not wrapped to a terminal's width when a program or a file reads them.
        return Console(markup=False, highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 400)

    def note(self, text: str) -> None:
        """Print a message that is not part of the result."""
        self.notes.print(plain(text))

    def say(self, text: str = "") -> None:
        """Print a line of the result."""
        self.out.print(plain(text))

    def answer(self, document: Any, show: Callable[[], None]) -> None:
        """Print the result: as a JSON document, or by `show` as text."""
        if self.as_json:
            print_json(document)
        else:
            show()

    def table(self, *titles: str, right: tuple[str, ...] = ()) -> "Table":
        """An empty table. Columns named in `right` have numbers."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for title in titles:
            table.add_column(
                title, justify="right" if title in right else "left", overflow="fold", no_wrap=title in right
            )
        return table

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[..., None]]:
        """Show a progress bar on stderr. Yields a function of (done, total, message)."""
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.description}", markup=False))
        with Progress(*columns, console=self.notes, disable=not self.notes.is_terminal, transient=True) as bar:
            task = bar.add_task(what, total=None)

            def move(done: int, total: int, words: str = "") -> None:
                bar.update(task, completed=done, total=total or None, description=plain(words) or what)

            yield move


class UnexpectedError(Exception):
    """An error that no command expects. It is the cause of this one; `home` is the data folder for its log."""

    def __init__(self, home: Path | None) -> None:
        super().__init__("unexpected")
        self.home = home


def print_json(document: Any) -> None:
    """Print a JSON document to the real stdout, in UTF-8. NaN and infinity become null."""
    text = json.dumps(_plain_values(document), ensure_ascii=False, indent=2, allow_nan=False)
    stream = sys.__stdout__
    assert stream is not None
    stream.flush()
    # A lone surrogate, which UTF-8 can't hold, becomes the escape that JSON has for it.
    stream.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")
    stream.flush()


def _plain_values(value: Any) -> Any:
    """Convert models, tuples and numbers that are not finite to JSON values."""
    if isinstance(value, FrozenModel):
        return _plain_values(value.model_dump())
    if isinstance(value, dict):
        return {str(key): _plain_values(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain_values(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


Home = Annotated[Path | None, typer.Option("--home", help=HOME_HELP, envvar="STUDIO_HOME")]
OwnHome = Annotated[Path | None, typer.Option("--home", help=HOME_HELP, show_default="$STUDIO_HOME, or your own")]
"""The same option after the command. It has priority over the one before the command, and that over the environment."""
Project = Annotated[str | None, typer.Option("--project", metavar="NAME", help=PROJECT_HELP, envvar="STUDIO_PROJECT")]
OwnProject = Annotated[
    str | None,
    typer.Option("--project", metavar="NAME", help=PROJECT_HELP, show_default="$STUDIO_PROJECT, or Default"),
]
"""The same option after the command."""
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")]


def add_command(
    app: typer.Typer,
    name: str,
    panel: str,
    function: Callable[..., Any],
    offers_json: bool = True,
    offers_project: bool = True,
) -> None:
    """Register a function of a `Context` as a command, with its examples.

    A parameter `settings` becomes a flag for each field of TrainingConfig, gathered into a dictionary. A parameter
    `reading` becomes a flag for each way to read DATA. A parameter `wrong` gets the problems of invalid settings, so
    that the command can report them with others; without it, they are raised before the command runs.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    groups = {parameter.name for parameter in own} & GROUPS

    def run(
        ctx: typer.Context, home: Path | None, as_json: bool = False, in_project: str | None = None, **options: Any
    ) -> None:
        options.pop("help_all", None)  # its callback has printed the help
        _group_options(options, groups)
        project = (in_project or ctx.obj.project) if offers_project else None
        context = Context(home or ctx.obj.home, as_json or (offers_json and ctx.obj.as_json), project)
        _call(function, context, options)
        if context.status:
            raise typer.Exit(context.status)

    parameters = _parameters(own, groups, offers_json, offers_project)
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    )
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__ = function.__doc__
    full_name = name if app.info.name == "studio" else f"{app.info.name} {name}"
    app.command(name, cls=HelpCommand, rich_help_panel=panel or None, epilog=epilog(full_name))(run)


def _group_options(options: dict[str, Any], groups: set[str]) -> None:
    """Replace the flags of settings and of reading by the dictionaries that the command takes."""
    if "wrong" in groups:
        options["settings"], options["wrong"] = parse_settings(options)
    elif "settings" in groups:
        options["settings"] = valid_settings(options)
    if "reading" in groups:
        options["reading"] = parse_reading(options)


def _call(function: Callable[..., Any], context: Context, options: dict[str, Any]) -> None:
    """Run a command. Errors that it does not expect become an `UnexpectedError`."""
    with redirect_stdout(sys.stderr if context.as_json else sys.stdout):
        try:
            function(context, **options)
        except (StudioError, typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except Exception as error:
            raise UnexpectedError(context.home) from error
        finally:
            context.close()


def _parameters(
    own: list[inspect.Parameter], groups: set[str], offers_json: bool, offers_project: bool
) -> list[inspect.Parameter]:
    """The parameters that typer makes options of: those of the command, and those that all commands share."""
    parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [each for each in own if each.name not in GROUPS]
    parameters += [_option("home", OwnHome, None)]
    parameters += [_option("in_project", OwnProject, None)] if offers_project else []
    parameters += [_option("as_json", Json, False)] if offers_json else []
    if "settings" in groups:
        parameters.append(_option("help_all", HelpAll, False))
    if "reading" in groups:
        parameters += [_option(name, flag, None) for name, flag in READING_FLAGS.items()]
    if "settings" in groups:
        parameters += [_option(name, flag, None) for name, flag in setting_flags().items()]
    return parameters


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
