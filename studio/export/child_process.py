"""Calls functions of the files of this package that run without the studio: converters, and programs that load exports.

Each call runs in a process of its own. The model host can answer chats meanwhile, and end the call.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any

from studio.inference.interruption import pause
from studio.machine.environment import child_environment
from studio.machine.run_in_process import ProcessError, ProcessLimits, run_in_process
from studio.schema.errors import StudioError

INTERVAL = 0.05
"""Seconds between two pauses while the process works."""


def call_in_process(
    function: str,
    task: dict[str, Any],
    python: Path | None = None,
    seconds: float | None = None,
    progress: Callable[..., None] | None = None,
) -> Any:
    """Call a function, and return its result. It can be interrupted.

    Args:
        function: "file.py:name" of a file beside this one.
        task: What the function gets, with `threads` added. JSON must be able to hold it and the result.
        python: The Python of an environment with other packages. None: that of the studio.
        seconds: Time limit. None: no limit.
        progress: Called, in this thread, with what the function passes to its own argument `progress`.

    Raises:
        ProcessError: The process ended without a result.
    """
    import torch

    threads, cancel = torch.get_num_threads(), Event()
    reports: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
    limits = ProcessLimits(
        environment=child_environment(visitors=True),  # it needs no secret
        threads=threads,
        seconds=seconds,
        python=str(python) if python else None,
    )
    with ThreadPoolExecutor(1) as pool:
        result: Future[Any] = pool.submit(
            run_in_process,
            str(Path(__file__).with_name(function)),
            {"task": {**task, "threads": threads}},
            limits,
            progress=(lambda *values: reports.put(values)) if progress else None,
            cancel=cancel,
        )
        try:
            while not wait((result,), INTERVAL).done:
                _pass_on(reports, progress)
                pause()
        except BaseException:
            cancel.set()
            raise
    return result.result()


def _pass_on(reports: "SimpleQueue[tuple[Any, ...]]", progress: Callable[..., None] | None) -> None:
    with suppress(Empty):
        while progress is not None:
            progress(*reports.get_nowait())


def cause_of(error: ProcessError) -> str:
    """Return why a process ended without a result, in a line."""
    return error.last_line or f"the process ended with {error.returncode}"


def run_step(
    function: str,
    task: dict[str, Any],
    failure: str,
    python: Path | None = None,
    progress: Callable[..., None] | None = None,
) -> Any:
    """Do a step of an export with `call_in_process`. `failure` is the sentence of the error if the step fails.

    Raises:
        StudioError: `format-unavailable` if the process fails.
    """
    try:
        return call_in_process(function, task, python, progress=progress)
    except ProcessError as error:
        raise StudioError(
            "format-unavailable",
            failure,
            given=cause_of(error),
            hint="Export the whole model instead, and report this problem with the name of the base model.",
        ) from error
