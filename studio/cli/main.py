"""The entry point of the command line. Every end of a command becomes a status and a message."""

import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import typer

from studio.cli.terminal import plain
from studio.machine.garbage import paused_garbage_collection
from studio.schema.errors import StudioError

DONE, FAILED, REFUSED = 0, 1, 2
TRIED = frozenset({"training-failed", "out-of-memory", "host-gone", "disk-full", "no-network", "unexpected"})
"""Codes of operations that were tried and failed. All other errors refuse a request."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its status."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit status."""
    given = list(arguments if arguments is not None else sys.argv[1:])
    try:
        with paused_garbage_collection():
            from studio.cli.app import entry

            command = entry()
        status = command(given)
        sys.stdout.flush()
        return status
    except StudioError as error:
        print_error(error, given)
        return FAILED if error.code in TRIED else REFUSED
    except BrokenPipeError:
        # The reader of our output has ended (`studio runs | head`), so there is nothing more to print.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return FAILED
    except typer.Abort as error:
        # A question that was left with Ctrl-C or Ctrl-D, not answered with no, has no line end.
        print("\nNothing was done." if error.__context__ else "Nothing was done.", file=sys.stderr)
        return FAILED
    except Exception as error:
        return _usage(error, given) if hasattr(error, "format_message") else _unexpected(error)


def print_error(error: StudioError, arguments: list[str]) -> None:
    """Print an error to stderr: what happened, the given and the valid value, a hint. One block for each problem."""
    from studio.cli.app import is_command

    usual = _help_of(next(filter(is_command, arguments), ""))
    for problem in error.all():
        print(plain(problem.what), file=sys.stderr)
        valid = problem.valid
        if valid is not None and not isinstance(valid, str):
            valid = ", ".join(str(each) for each in valid) if hasattr(valid, "__iter__") else str(valid)
        for title, value in (("Given", problem.given), ("Expected", valid), ("Hint", problem.hint or usual)):
            if value is not None:
                print(f"  {title}: {plain(str(value))}", file=sys.stderr)


def _usage(error: Any, arguments: list[str]) -> int:
    """Print an error in the command itself: an unknown flag, a missing argument, a wrong type."""
    print(plain(str(error.format_message())), file=sys.stderr)
    flags = getattr(getattr(error, "param", None), "opts", [])
    for flag, value in pairwise(arguments):
        if flag in flags:
            print(f"  Given: {plain(value)}", file=sys.stderr)
    ctx = getattr(error, "ctx", None)
    print(f"  Hint: {_help_of(ctx.command_path if ctx else '')}", file=sys.stderr)
    return REFUSED


def _help_of(command: str) -> str:
    from studio.cli.app import takes_settings

    name = next(iter(command.removeprefix("studio").split()), "")
    flag = "--help-all" if takes_settings(name) else "--help"
    return f"{' '.join(filter(None, ['studio', name, flag]))} lists the arguments and options."


def _unexpected(error: Exception) -> int:
    """Log an unexpected error, and print a sentence with the path of the log."""
    from studio.store.failures import keep_failure

    mark, log = keep_failure(error.__cause__ or error, getattr(error, "home", None))
    print(f"An unexpected error occurred (no. {mark}).", file=sys.stderr)
    if log:
        print(f"  Hint: The details are in {log}. Nothing that was saved before is lost.", file=sys.stderr)
    return FAILED
