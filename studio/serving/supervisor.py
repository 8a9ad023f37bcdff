"""Processes of engines: started, checked, restarted once when they die, and ended with the gateway."""

import asyncio
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import httpx2

from studio.machine.environment import child_environment
from studio.machine.processes import end_group, module_command
from studio.schema.errors import StudioError
from studio.schema.serving import EngineState, Generation, ServedModel
from studio.serving.engines import Engine

State = Literal["starting", "ready", "restarting", "failed", "stopped"]
START_SECONDS = 900.0
"""Time for loading a model."""
RESTART_AFTER = 600.0
"""Seconds within which an engine that died is not restarted a second time. One that hung always is."""
PORTS = 3
"""Ports that are tried when another program takes the one that was free."""
GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""
POLL = 0.2
_log = logging.getLogger("studio.serving")


class EngineProcess:
    """One process of an engine, for one model or for several of one base."""

    def __init__(
        self, engine: Engine, models: Sequence[ServedModel], folders: Mapping[str, Path], reason: str, log: Path
    ) -> None:
        self.engine, self.models, self.folders, self.reason, self.log = engine, tuple(models), folders, reason, log
        self.state: State = "starting"
        self.restarts = 0
        self.port = 0
        self.secret = secrets.token_urlsafe(24)
        self.client = httpx2.AsyncClient(timeout=httpx2.Timeout(None, connect=5.0), trust_env=False)
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._restarted_at = -RESTART_AFTER

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """What each request to it carries."""
        return {"Authorization": f"Bearer {self.secret}"}

    def view(self) -> EngineState:
        """It as /health shows it."""
        names = tuple(each.name for each in self.models)
        return EngineState(models=names, engine=self.engine.name, reason=self.reason, state=self.state)

    def start(self) -> None:
        """Start it, and keep it running until `stop`."""
        self._task = asyncio.create_task(self._keep_running())

    async def wait_ready(self) -> bool:
        """Wait until it can be used. False when it failed."""
        while self.state in ("starting", "restarting"):
            await asyncio.sleep(POLL)
        return self.state == "ready"

    def kill(self) -> None:
        """End it at once, because it hangs. It is restarted, however often that was."""
        self._restarted_at = -RESTART_AFTER
        if (pid := self.pid) is not None:
            end_group(pid, signal.SIGKILL)

    async def stop(self) -> None:
        """End it for good."""
        self.state = "stopped"
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._end()
        await self.client.aclose()

    async def _keep_running(self) -> None:
        while True:
            ending = await self._run()
            models = ", ".join(each.name for each in self.models)
            _log.error("The engine %s of %s has ended (%s).", self.engine.name, models, ending)
            if time.monotonic() - self._restarted_at < RESTART_AFTER:
                self.state = "failed"
                return
            self._restarted_at = time.monotonic()
            self.restarts += 1
            self.state = "restarting"

    async def _run(self) -> str:
        """Run it until it ends. Returns its exit status, or why it could not be started."""
        for _ in range(PORTS):
            try:
                process = self._process = await self._launch()
            except (OSError, ValueError, StudioError) as error:  # for example, its run was deleted
                return f"{type(error).__name__}: {error}"
            was_ready = await self._becomes_ready(process)
            if was_ready:
                self.state = "ready"
                await process.wait()
            await self._end()
            if was_ready or not _is_taken(self.port):
                break
            _log.warning("Another program has taken port %s of the engine %s.", self.port, self.engine.name)
        return str(process.returncode)

    async def _launch(self) -> asyncio.subprocess.Process:
        self.port = _free_port()
        launch = self.engine.launch(self.models, self.folders, self.port, self.secret)
        command = module_command("studio.serving.engine_process", str(os.getpid()), quiet=True)
        environment = child_environment(visitors=True) | {"PYTHONPATH": _python_path(), **launch.environment}
        self.log.parent.mkdir(parents=True, exist_ok=True)
        # After a restart, the log still has the reason for it.
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if self.restarts else os.O_TRUNC), 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                launch.entry,
                *launch.arguments,
                cwd=launch.folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=descriptor,
                start_new_session=True,  # Ctrl-C reaches the gateway, which ends its engines
            )
        finally:
            os.close(descriptor)
        self._health = launch.health
        return process

    async def _becomes_ready(self, process: asyncio.subprocess.Process) -> bool:
        """Whether it answers its health check and a first request, before it dies or the time is up."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and process.returncode is None:
            with suppress(httpx2.HTTPError):
                answer = await self.client.get(self.url + self._health, headers=self.headers, timeout=10.0)
                if answer.status_code == 200:
                    return await self._warm_up()
            await asyncio.sleep(POLL)
        return False

    async def _warm_up(self) -> bool:
        """Load and run the model once, so that the first user does not wait for it."""
        for model in self.models:
            if model.classifies:
                path, body = "/v1/classify", {"input": ["."]}
            else:
                generation = Generation(messages=({"role": "user", "content": "."},), max_tokens=1, temperature=0.0)
                path, body = "/v1/chat/completions", self.engine.body(model, generation)
            try:
                answer = await self.client.post(self.url + path, json=body, headers=self.headers, timeout=START_SECONDS)
            except httpx2.HTTPError:
                return False
            if answer.status_code != 200 or '"error"' in answer.text[:200]:
                _log.error("The engine %s can't run %s: %s", self.engine.name, model.name, answer.text[:500])
                return False
        return True

    async def _end(self) -> None:
        """SIGTERM to the process and those that it started, and SIGKILL when they are still there."""
        process = self._process
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.returncode is None:
                end_group(process.pid, number)
                with suppress(asyncio.TimeoutError, TimeoutError):
                    await asyncio.wait_for(process.wait(), GRACE)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        self._process = None  # later, another process could have its number


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _is_taken(port: int) -> bool:
    """Whether another program uses the port, so that an engine could not."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections do not count
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _python_path() -> str:
    """The folder of the studio's package, which an engine in another working folder must find."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH", ""))))
