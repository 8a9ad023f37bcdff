"""The API server that is started from the page: one process for the whole studio, which ends with it."""

import json
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Literal

from studio.machine.environment import child_environment
from studio.machine.processes import module_command
from studio.schema.errors import StudioError
from studio.schema.serving import ServeRequest, ServeStatus
from studio.services.context import Context
from studio.store.api_keys import hash_of, new_key
from studio.store.home import Home

STARTING_THE_API = "Starting the API server"
GRACE = 15.0
"""Seconds in which the server ends its engines."""


@dataclass(frozen=True)
class ApiServerView:
    """The API server as the page shows it."""

    state: Literal["stopped", "starting", "ready"] = "stopped"
    runs: tuple[str, ...] = ()
    """Ids of the runs that it serves."""
    status: ServeStatus | None = None
    """Its address and engines, when it is ready."""
    key: str = ""
    """The key that was made for this start. It ends with the server."""
    error: StudioError | None = None
    """Why the last start failed."""


class ApiProcess:
    """The process of the API server. All workspaces of a studio share it."""

    def __init__(self, home: Home) -> None:
        self._home, self._lock = home, Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.workspace = ""
        self.view = ApiServerView()

    def start(self, workspace: str, request: ServeRequest) -> None:
        """Start it in the background.

        Raises:
            StudioError: `wrong-state` when it runs already.
        """
        with self._lock:
            if self.view.state != "stopped":
                raise StudioError(
                    "wrong-state", "The API server is running already.", hint="Stop it first, then start it again."
                )
            key = new_key()
            request = request.model_copy(update={"key_hashes": (hash_of(key),)})
            process = subprocess.Popen(
                module_command("studio.serving"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches the studio, which ends it
                env=child_environment(visitors=False),
            )
            self.workspace, self._process = workspace, process
            self.view = ApiServerView("starting", request.runs, key=key)
            message = {"home": str(self._home.root), "workspace": workspace, "request": request.model_dump(mode="json")}
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it ended at once; `_watch` finds out
                process.stdin.write(json.dumps(message).encode() + b"\n")
                process.stdin.flush()
            Thread(target=self._watch, args=(process,), daemon=True).start()

    def stop(self) -> None:
        """End it, with its engines. Does nothing when it does not run."""
        with self._lock:
            process, self._process, self.view = self._process, None, ApiServerView()
        if process is None:
            return
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _close(process)

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        """Read what the server says, until it ends."""
        error: StudioError | None = None
        assert process.stdout is not None
        with suppress(ValueError, OSError):  # `stop` has closed the pipe
            for line in process.stdout:
                message = json.loads(line)
                if "error" in message:
                    error = StudioError.from_dict(message["error"])
                with self._lock:
                    if process is self._process and "status" in message:
                        status = ServeStatus.model_validate(message["status"])
                        self.view = ApiServerView("ready", self.view.runs, status, self.view.key)
        process.wait()
        with self._lock:
            if process is not self._process:
                return
            self._process = None
            ended = StudioError(
                "host-gone",
                "The API server has stopped.",
                hint=f"Start it again. If it stops again, look at the files api-engine in {self._home.root / 'logs'}.",
            )
            self.view = ApiServerView(error=error or ended)
        _close(process)


def _close(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None and not pipe.closed:
            with suppress(OSError):
                pipe.close()


class ApiServer:
    """The API server, for the owner of the studio."""

    def __init__(self, context: Context, process: ApiProcess) -> None:
        self.context, self._process = context, process

    @property
    def view(self) -> ApiServerView:
        """The server as it is now."""
        self.context.require_owner(STARTING_THE_API)
        return self._process.view

    def start(self, runs: tuple[str, ...], port: int = 8000) -> None:
        """Start it on this machine, with the fine-tuned models of runs and their base models, and with a new key."""
        self.context.require_owner(STARTING_THE_API)
        ids = tuple(self.context.workspace.runs.get(each).id for each in runs)
        self._process.start(self.context.workspace.name, ServeRequest(runs=ids, port=port))

    def stop(self) -> None:
        """End it."""
        self.context.require_owner(STARTING_THE_API)
        self._process.stop()
