"""The child process of `run_in_process`: `python -m studio.machine.process_main FUNCTION`.

It reads one line of JSON from stdin, imports the function and calls it. To stdout it writes lines of JSON: {"progress":
arguments} for each call of `progress`, and at the end one of

    {"result": what the function returned}
    {"error": StudioError.to_dict()}             the function raised a StudioError
    {"failure": "out-of-memory"}                 memory ran out
    {"failure": "unexpected", "number": number}  any other error; stderr has the traceback under this number

Of the studio it imports only the limits, so that a function in a file outside of any package (the test of an export)
runs without the studio.
"""

import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import IO, Any, NoReturn

from studio.machine.process_limits import is_out_of_memory, limit_memory

GRACE = 3.0
"""Seconds that a process has to end by itself after SIGTERM."""
FLUSH_EVERY = 0.05
"""Seconds between two progress messages that are sent at once; others wait in the buffer."""


class Responses:
    """The lines of JSON for the parent."""

    def __init__(self) -> None:
        self._file: IO[str] = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what a library prints must not be among the responses
        self._flushed = 0.0

    def progress(self, *arguments: Any) -> None:
        """Report progress. This is what the function gets as its argument `progress`."""
        self.write({"progress": arguments}, flush=time.monotonic() - self._flushed >= FLUSH_EVERY)

    def write(self, response: dict[str, Any], flush: bool = True) -> None:
        """Write one line. When the parent is gone, this process exits as after SIGTERM."""
        line = json.dumps(response) + "\n"
        try:
            self._file.write(line)
            if flush:
                self._file.flush()
                self._flushed = time.monotonic()
        except BrokenPipeError:
            _exit()


def main() -> int:
    """Call the function, and write what came of it."""
    responses = Responses()
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl+C reaches the parent too, which ends this process
    request = json.loads(sys.stdin.buffer.readline())
    Thread(target=_end_with_parent, daemon=True).start()
    if request["nice"]:
        os.nice(request["nice"])
    try:
        function, arguments = load_function(sys.argv[1]), request["arguments"]
        if "progress" in inspect.signature(function).parameters:
            arguments["progress"] = responses.progress if request["progress"] else _ignore
        if request["memory_limit"]:
            limit_memory(request["memory_limit"])
        responses.write({"result": function(**arguments)})
    except Exception as error:
        responses.write(_response_to(error))
    return 0


def load_function(name: str) -> Callable[..., Any]:
    """The function of "module:name", or of "path/file.py:name" outside of any package."""
    module_name, _, function_name = name.rpartition(":")
    if not module_name.endswith(".py"):
        return getattr(importlib.import_module(module_name), function_name)
    spec = importlib.util.spec_from_file_location(Path(module_name).stem, module_name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, function_name)


def _response_to(error: Exception) -> dict[str, Any]:
    """The last line of a function that raised an error."""
    errors = sys.modules.get("studio.schema.errors")
    if errors is not None and isinstance(error, errors.StudioError):
        return {"error": error.to_dict()}
    traceback.print_exc()
    if is_out_of_memory(error):
        return {"failure": "out-of-memory"}
    frame = traceback.extract_tb(error.__traceback__)[-1]
    cause = f"{type(error).__name__} {frame.filename}:{frame.lineno}"
    return {"failure": "unexpected", "number": hashlib.sha256(cause.encode()).hexdigest()[:6]}


def _exit(*_: object) -> NoReturn:
    """Leave as from an error, so that `finally` and `with` remove what is half written."""
    sys.exit(1)


def _ignore(*_: object) -> None:
    """Progress that the parent did not ask for."""


def _end_with_parent() -> None:
    """The parent holds stdin open as long as it lives."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
