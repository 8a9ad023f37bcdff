"""Conversions and tests of exports in processes of their own, which can be interrupted."""

from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event
from typing import Any

from studio.inference.interruption import pause
from studio.machine.environment import child_environment
from studio.machine.run_in_process import ProcessError, ProcessLimits, run_in_process
from studio.schema.errors import StudioError

LOOK = 0.05
"""Seconds between two pauses while the process works."""


def run_apart(file: str, function: str, task: dict[str, Any], failure: str) -> Any:
    """Call a function of a file beside this one, in a process without the studio. Chats go on meanwhile.

    Args:
        file: Name of the file.
        function: Name of the function. It gets `task`, with `threads` added, and returns what JSON can hold.
        task: What it needs to know.
        failure: What could not be done, in a sentence, for the error.

    Raises:
        StudioError: `format-unavailable` if the process fails.
    """
    import torch

    threads, cancel = torch.get_num_threads(), Event()
    with ThreadPoolExecutor(1) as pool:
        result: Future[Any] = pool.submit(
            run_in_process,
            f"{Path(__file__).with_name(file)}:{function}",
            {"task": {**task, "threads": threads}},
            ProcessLimits(environment=child_environment(visitors=True), threads=threads),  # it needs no secret
            cancel=cancel,
        )
        try:
            while not wait((result,), LOOK).done:
                pause()
        except BaseException:
            cancel.set()
            raise
    try:
        return result.result()
    except ProcessError as error:
        raise StudioError(
            "format-unavailable",
            failure,
            given=error.last_line or f"the process ended with {error.returncode}",
            hint="Export the merged model instead, and report this problem with the name of the base model.",
        ) from error
