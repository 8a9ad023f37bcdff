"""Call a function in a process of its own: it can be cancelled, its memory and time can be limited, and its memory is
returned to the system when it ends. process_main.py is that process, and describes what passes between the two.
"""

import hashlib
import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import IO, Any

from studio.machine.cores import THREAD_VARIABLES
from studio.machine.process_main import GRACE
from studio.machine.processes import module_command
from studio.schema.errors import StudioError
from studio.schema.numbers import memory

POLL = 0.1
"""Seconds between two looks at the cancel event and the clock."""
TAIL = 16_384
"""Bytes of the process's stderr that are kept for the log."""
_log = logging.getLogger("studio.machine")


class ProcessError(StudioError):
    """The process ended without a result of its own. Callers can catch it to describe it in their own words."""

    stderr = ""
    """The end of what the process wrote to stderr."""
    returncode: int | None = None

    @property
    def last_line(self) -> str:
        """The last line of stderr, which names the exception where there was one."""
        return self.stderr.rpartition("\n")[2]


class ProcessCancelled(ProcessError):
    """The caller cancelled it."""


class ProcessTimeout(ProcessError):
    """It took longer than its time limit."""


class ProcessOutOfMemory(ProcessError):
    """It needed more memory than it may use, or a signal ended it (as the system does when memory runs out)."""


class ProcessCrashed(ProcessError):
    """An unexpected error ended it. The log has the cause under `number`."""

    number = ""


@dataclass(frozen=True)
class ProcessLimits:
    """What a process may use."""

    memory: int | None = None
    """Bytes of address space."""
    seconds: float | None = None
    """Seconds that it may take, its start included."""
    environment: Mapping[str, str] | None = None
    """Its environment variables; None: those of this process."""
    threads: int | None = 1
    """Threads of numerical libraries; None: as the environment has it."""
    nice: int | None = None
    """How much lower its priority is than that of this process."""
    python: str | None = None
    """The Python that runs it, for example of an environment with other packages; None: that of this process."""


NO_LIMITS = ProcessLimits()


def run_in_process(
    function: str | Callable[..., Any],
    arguments: Mapping[str, Any] | None = None,
    limits: ProcessLimits = NO_LIMITS,
    *,
    progress: Callable[..., None] | None = None,
    cancel: Event | None = None,
) -> Any:
    """Call a function in a process of its own, and return its result.

    Args:
        function: A function at the top of a module, "module:name", or "path/file.py:name" for a file outside of any
            package, which then runs without the studio.
        arguments: Its keyword arguments. They and the result must be values that JSON can hold.
        limits: What the process may use.
        progress: Called here with what the function passes to its own argument `progress`, if it has one.
        cancel: Set it to end the process: SIGTERM first, and SIGKILL when it has not ended within `GRACE` seconds.

    Raises:
        StudioError: The one that the function raised, with all of its fields.
        ProcessError: The process was cancelled, reached a limit, or ended by an unexpected error.
    """
    name = function if isinstance(function, str) else f"{function.__module__}:{function.__qualname__}"
    request = {
        "arguments": dict(arguments or {}),
        "memory_limit": limits.memory,
        "nice": limits.nice,
        "progress": progress is not None,
    }
    variables = dict(os.environ if limits.environment is None else limits.environment)
    if limits.threads is not None:
        variables.update(dict.fromkeys(THREAD_VARIABLES, str(limits.threads)))
    line = json.dumps(request).encode() + b"\n"
    with (
        _started(name, variables, limits.python) as process,
        _supervised(process, cancel, limits.seconds) as supervisor,
    ):
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError):  # it ended before it could read: the exit status tells why
            process.stdin.write(line)
            process.stdin.flush()
        response = _read_responses(process.stdout, progress)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    if "result" in response:
        return response["result"]
    if "error" in response and not supervisor.reason:
        raise StudioError.from_dict(response["error"])
    raise _process_error(name, response, process.returncode, supervisor, limits.memory)


@contextmanager
def _started(name: str, variables: Mapping[str, str], python: str | None) -> Iterator["subprocess.Popen[bytes]"]:
    """The process, with its pipes. They are closed in the end; the thread that reads stderr closes that one."""
    process = subprocess.Popen(
        module_command("studio.machine.process_main", name, python=python or "", quiet=True),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=variables,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process
    finally:
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.close()


class _Supervisor:
    """Ends the process when it is cancelled or its time is up, and reads its stderr: in two threads."""

    def __init__(self, process: "subprocess.Popen[bytes]", cancel: Event | None, time_limit: float | None) -> None:
        self.process, self.cancel, self.time_limit = process, cancel, time_limit
        self.reason = ""
        """Why the process was ended: "cancelled", "timeout", or empty."""
        self.stderr = b""
        self.ended = Event()
        """The process has ended."""

    def watch(self) -> None:
        began = time.monotonic()
        while not self.ended.wait(POLL):
            if self.cancel is not None and self.cancel.is_set():
                self.reason = "cancelled"
            elif self.time_limit is not None and time.monotonic() - began > self.time_limit:
                self.reason = "timeout"
            if self.reason:
                self.end()
                return

    def end(self) -> None:
        """SIGTERM, and SIGKILL when that was not enough."""
        self.process.terminate()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def read_stderr(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as pipe:
            while chunk := os.read(pipe.fileno(), TAIL):
                self.stderr = (self.stderr + chunk)[-TAIL:]


@contextmanager
def _supervised(
    process: "subprocess.Popen[bytes]", cancel: Event | None, time_limit: float | None
) -> Iterator[_Supervisor]:
    """Within this block the process is supervised. When the block ends, the process has ended, whatever happened."""
    supervisor = _Supervisor(process, cancel, time_limit)
    threads = [Thread(target=each, daemon=True) for each in (supervisor.watch, supervisor.read_stderr)]
    for thread in threads:
        thread.start()
    try:
        yield supervisor
    finally:
        assert process.stdout is not None
        process.stdout.close()  # a process that waits until it can write ends, too
        if process.poll() is None:
            supervisor.end()
        process.wait()
        supervisor.ended.set()
        for thread in threads:
            thread.join(1.0)  # a process that the function has started may still hold stderr open


def _read_responses(lines: IO[bytes], progress: Callable[..., None] | None) -> dict[str, Any]:
    """The last response of the process; empty when it ended before it."""
    response: dict[str, Any] = {}
    for line in lines:
        response = json.loads(line) if line.endswith(b"\n") else {}
        if progress is not None and "progress" in response:
            progress(*response["progress"])
    return response


def _process_error(
    name: str, response: Mapping[str, Any], returncode: int, supervisor: _Supervisor, memory_limit: int | None
) -> ProcessError:
    """What to raise for a process that has ended without a result. The log gets the end of its stderr."""
    stderr = supervisor.stderr.decode(errors="replace").strip()
    error: ProcessError
    if supervisor.reason == "cancelled":
        error = ProcessCancelled("wrong-state", "This was canceled.", hint="You can start it again.")
    elif supervisor.reason == "timeout":
        error = ProcessTimeout(
            "limit-reached",
            f"This took longer than the limit of {supervisor.time_limit:g} seconds.",
            hint="Try again with less data.",
        )
    elif response.get("failure") == "out-of-memory" or (returncode < 0 and "failure" not in response):
        limit = f"its limit of {memory(memory_limit)}" if memory_limit else "there is"
        error = ProcessOutOfMemory(
            "out-of-memory",
            f"A process was stopped, most likely because it needed more memory than {limit}.",
            hint="Close other programs, or try again with less data.",
        )
        _log.warning("Out of memory in %s, exit status %s.\n%s", name, returncode, stderr)
    else:
        number = response.get("number") or hashlib.sha256(f"{name} {returncode}".encode()).hexdigest()[:6]
        error = ProcessCrashed(
            "unexpected",
            "An unexpected error occurred.",
            hint=f"The log has the cause. Search for {number}.",
        )
        error.number = number
        _log.error("Error %s: in %s, exit status %s.\n%s", number, name, returncode, stderr)
    error.stderr, error.returncode = stderr, returncode
    return error
