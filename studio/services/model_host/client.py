"""The client of the model host: one child process that loads models for chat, prediction and evaluation.

The host may run out of memory without ending the server. Then each waiting request gets an error, and the next
request starts a new host. `HostClient.of` gives each workspace the host with that workspace's limits.
"""

import subprocess
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from studio.machine.environment import child_environment
from studio.machine.processes import module_command
from studio.schema.errors import StudioError
from studio.schema.host import REQUEST, request_line
from studio.schema.host_responses import RESPONSE, Chunk, Done, Failed, Moved
from studio.services.model_host.exchange import Exchange, host_gone
from studio.store import Home, Workspace

IDLE_MINUTES = 10
MOST_LOG = 5_000_000
"""Size of the log after which the next host starts a new one, in bytes."""
GRACE = 1.0
"""Seconds that the host may take to end when the server ends. A host that imports its libraries takes longer."""
LONG = frozenset("predict evaluate evaluate_folds export first_batch embed write judge_labels draw_curve".split())
"""Long operations. One runs at a time; a visitor may have a few waiting."""
JOB_MINUTES, WAITING_JOBS = 5.0, 2
"""Limits of a visitor: minutes of one such job, and waiting jobs beside the running ones."""
CANCEL_SECONDS = 0.2
"""Seconds between two checks whether a request was canceled, which may still wait for its turn."""
PER_ADDRESS = 4
"""Factor on the limits for all visitors with the same network address."""
PROMPT_TIMES = 4
"""Factor on a reply's tokens: the tokens that a visitor's conversation may have."""
KINDS = dict.fromkeys(("chat", "classify"), "chat") | {"load": "load"} | dict.fromkeys(LONG, "job")
"""Operation → the limit that it counts towards, for visitors."""
REFUSED = {
    "chat": ("Your last message is still being answered.", "Stop the reply, or wait until it ends."),
    "load": ("Your models are being loaded.", "Wait until they are ready."),
    "download": ("Other files of yours are still being downloaded.", "Wait until they are complete."),
    "job": ("Your last evaluation, export or other long job is still running.", "Wait until it ends."),
}


class Places:
    """Counts the chats, jobs and downloads of each visitor and of each network address."""

    def __init__(self) -> None:
        self._taken: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def take(self, kind: str, most: dict[str, int]) -> Callable[[], None]:
        """Take a place of each owner (owner → limit). Returns a function that frees them, once.

        Raises:
            StudioError `limit-reached`: when an owner has no place left.
        """
        what, hint = REFUSED[kind]
        with self._lock:
            for who, limit in most.items():
                if limit and self._taken[kind, who] >= limit:
                    raise StudioError("limit-reached", what, valid=f"{limit} at a time in this demo", hint=hint)
            self._taken.update((kind, who) for who in most)
        open_ = [list(most)]

        def give_back() -> None:
            with self._lock:
                for who in open_.pop() if open_ else ():
                    self._taken[kind, who] -= 1
                    if not self._taken[kind, who]:
                        del self._taken[kind, who]

        return give_back


def open_log(path: Path) -> IO[bytes]:
    """Open the log of the next host. A large one is renamed first and replaces the one before it."""
    if path.exists() and path.stat().st_size > MOST_LOG:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")


class Host:
    """Something that sends requests to the model host."""

    def ask(self, op: str, **fields: Any) -> Exchange:
        """Send a request."""
        raise NotImplementedError

    def result(
        self,
        op: str,
        progress: Callable[[int, int, str], None] | None = None,
        cancel: threading.Event | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Send a request and wait for its result; `progress` gets (done, total, message).

        Once `cancel` is set, the host ends the work at its next step, or does not begin it. The result is what it has,
        or empty.
        """
        exchange, ended = self.ask(op, **fields), False
        try:
            while True:
                message = exchange.read(None if cancel is None else CANCEL_SECONDS)
                if isinstance(message, Moved) and progress:
                    progress(message.done, message.total, message.message)
                if cancel is not None and cancel.is_set() and not ended:
                    exchange.end()
                    ended = True
                if isinstance(message, Done):
                    return message.result
        finally:
            exchange.close()


class HostClient(Host):
    """Starts the host when it is first needed, sends requests, and hands each its own responses."""

    def __init__(self, home: Home) -> None:
        self.home, self.places = home, Places()
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: dict[str, tuple[subprocess.Popen[bytes], weakref.ref[Exchange]]] = {}
        """Weak references, so that an exchange without a reader ends."""
        self._lock = threading.RLock()
        self._number = 0

    def of(self, workspace: Workspace) -> "WorkspaceHost":
        """The host with the limits of a workspace."""
        return WorkspaceHost(self, workspace)

    def ask(self, op: str, give_back: Callable[[], None] = lambda: None, **fields: Any) -> Exchange:
        """Send a request. When the caller closes the exchange before its end, the host cancels the request."""
        with self._lock:
            self._number += 1
            name = f"{op}-{self._number}"
        try:
            line = _line(name, op, fields)
            process = self._running()

            def end() -> None:
                with suppress(StudioError):
                    self._send(process, _line(f"stop-{name}", "stop", {"target": name}))

            def stop() -> None:
                self._waiting.pop(name, None)
                end()

            exchange = Exchange(stop, give_back, end)
            self._waiting[name] = (process, weakref.ref(exchange))
            self._send(process, line)
        except BaseException:
            self._waiting.pop(name, None)
            give_back()
            raise
        return exchange

    def forget(self, folder: str) -> None:
        """Unload a run's models, if a host runs."""
        with self._lock:
            process = self._process
        if process is not None and process.poll() is None:
            self.result("unload", folder=folder)

    def close(self) -> None:
        """End the host."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            with suppress(OSError):
                assert process.stdin is not None
                process.stdin.close()
            try:
                process.wait(timeout=GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _running(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                logs = self.home.root / "logs"
                logs.mkdir(exist_ok=True)
                with open_log(logs / "host.log") as log:
                    self._process = subprocess.Popen(
                        module_command("studio.host", "--home", str(self.home.root), "--idle", str(IDLE_MINUTES)),
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        env=child_environment(visitors=True),  # it works for all workspaces, and never contacts the Hub
                    )
                threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
            return self._process

    def _send(self, process: "subprocess.Popen[bytes]", line: bytes) -> None:
        with self._lock:
            assert process.stdin is not None
            if process.stdin.closed:  # the host has ended
                raise host_gone()
            try:
                process.stdin.write(line)
                process.stdin.flush()
            except OSError as error:
                raise host_gone() from error

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            message = RESPONSE.validate_json(line)
            name = getattr(message, "id", None) or ""
            waiting = self._waiting.get(name)
            exchange = waiting[1]() if waiting else None
            if exchange is not None and isinstance(message, Chunk | Moved | Done | Failed):
                exchange.put(message)
            if not isinstance(message, Chunk | Moved):
                self._waiting.pop(name, None)
            del exchange
        process.wait()
        process.stdout.close()
        with self._lock, suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        for name, (host, listener) in list(self._waiting.items()):
            if host is process:
                self._waiting.pop(name, None)
                if (exchange := listener()) is not None:
                    exchange.put(None)


class WorkspaceHost(Host):
    """The model host for one workspace. Requests take turns with those of others; visitors have limits."""

    def __init__(self, client: HostClient, workspace: Workspace) -> None:
        self.client, self.workspace = client, workspace

    def place(self, kind: str) -> Callable[[], None]:
        """Take a place for a chat, a job or a download. Returns a function that frees it. See `Places.take`."""
        limits = self.workspace.limits
        most = {
            "chat": limits.chats_at_once,
            "load": limits.chats_at_once,
            "job": limits.jobs_at_once and limits.jobs_at_once + WAITING_JOBS,
            "download": limits.jobs_at_once and limits.jobs_at_once + WAITING_JOBS,
        }[kind]
        if not most:
            return lambda: None
        owners = {self.workspace.name: most}
        if address := self.workspace.address:
            owners[f"address {address}"] = PER_ADDRESS * most
        return self.client.places.take(kind, owners)

    def ask(self, op: str, give_back: Callable[[], None] | None = None, **fields: Any) -> Exchange:
        """Send a request. `give_back` frees the place that the caller has taken for it."""
        visitor = self.workspace.is_visitors
        if give_back is None:
            give_back = self.place(KINDS[op]) if op in KINDS else lambda: None
        options = {"workspace": self.workspace.name, "visitor": visitor}
        if visitor and op in LONG:
            options["seconds"] = JOB_MINUTES * 60
        if op == "chat":
            options["prompt_tokens"] = PROMPT_TIMES * self.workspace.limits.chat_tokens
        return self.client.ask(op, give_back, **fields, **options)


def _line(name: str, op: str, fields: dict[str, Any]) -> bytes:
    try:
        return request_line(REQUEST.validate_python({"id": name, "op": op, **fields}))
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise StudioError(
            "bad-setting",
            "The request to the model host is not valid.",
            given=place,
            valid=error.errors()[0]["msg"],
        ) from error
