"""The API server that is attacked: `studio serve-api` with really trained runs, in a data folder of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psutil

from studio.store import Home
from studio.store.api_keys import ApiKeys
from tests.real.asking import Answer

Headers = Sequence[tuple[str, str]]
JSON = ("Content-Type", "application/json")
CHAT, TEXT, LABELS = "/v1/chat/completions", "/v1/completions", "/v1/classify"
MOST_TOKENS = 64
"""Maximum tokens of a reply of the server."""
STARTS_WITHIN = 180


class ApiServer:
    """A process of `studio serve-api`, with two keys and the studio's own engine."""

    def __init__(self, home: Path, run: str, *flags: str, environment: dict[str, str]) -> None:
        self.home, self.run = home, run
        keys = ApiKeys(Home(home))
        self.key, self.other_key, self.removed_key = (keys.add(name) for name in ("attacked", "other", "removed"))
        keys.remove("removed")
        self.log = home.parent / f"{home.name}.log"
        command = [sys.executable, "-m", "studio", "--home", str(home), "serve-api", run, "--json", "--port", "0"]
        command += ["--engine", "studio", "--no-base", "--rate", "60000", "--max-tokens", str(MOST_TOKENS), *flags]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1", **environment}
            )
        self.port = int(self._status()["address"].rsplit(":", 1)[1].removesuffix("/v1"))

    def _status(self) -> dict[str, Any]:
        """What it prints when all engines are ready."""
        assert self.process.stdout is not None
        lines: list[bytes] = []
        while not lines or lines[-1] != b"}\n":
            line = self.process.stdout.readline()
            assert line, f"the API server did not start: {self.log.read_text()[-2000:]}"
            lines.append(line)
        status: dict[str, Any] = json.loads(b"".join(lines))
        return status

    @property
    def right(self) -> Headers:
        """The header with the attacker's key."""
        return [("Authorization", f"Bearer {self.key}")]

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Headers | None = None, address: str = ""
    ) -> Answer:
        """One request from an address of this machine. `headers`: in place of the one with the key.

        A connection that is closed without an answer has the status 0.
        """
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(address or "127.0.0.1", 0))
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            sent = self.right if headers is None else headers
            for name, value in sent:
                connection.putheader(name, value.encode("latin-1", "replace"))
            names = {name.lower() for name, _ in sent}
            if body is not None and not names & {"content-length", "transfer-encoding"}:
                connection.putheader("Content-Length", str(len(body)))
            if body is not None and "content-type" not in names:
                connection.putheader(*JSON)
            connection.endheaders()
            with suppress(ConnectionError):  # refused before the end of the body
                connection.send(body or b"")
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        except (ConnectionError, HTTPException):
            return Answer(0, {}, b"")
        finally:
            connection.close()

    def chat(self, address: str = "", **changes: Any) -> Answer:
        """A request for a short reply."""
        return self.ask("POST", CHAT, chat_body(self.run, **changes), address=address)

    def answers_others(self) -> bool:
        """Whether a client with another key, of another address, gets a reply now."""
        key = [("Authorization", f"Bearer {self.other_key}")]
        with suppress(OSError):
            return self.ask("POST", CHAT, chat_body(self.run), key, "127.77.0.1").status == 200
        return False

    def processes(self) -> list[psutil.Process]:
        """The server, and its engine."""
        server = psutil.Process(self.process.pid)
        return [server, *server.children(recursive=True)]

    def memory(self) -> int:
        """Bytes that the server holds, without its engine."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def log_text(self) -> str:
        """All that server and engine have written to logs."""
        files = [self.log, *sorted((self.home / "logs").glob("*"))]
        return "".join(each.read_text(errors="replace") for each in files if each.is_file())

    def stop(self) -> None:
        """End it with its engine."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def chat_body(model: str, /, **changes: Any) -> bytes:
    """The body of a request for a reply, with changed fields. A field that is `...` is left out."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2, **changes}
    return json.dumps({name: value for name, value in body.items() if value is not ...}).encode()


def error_of(answer: Answer) -> dict[str, Any]:
    """The error of an answer in OpenAI's format, or of a request that is no HTTP. Empty: it has none."""
    if answer.text == "This is not a valid HTTP request.":
        return {"message": answer.text}
    with suppress(ValueError, AttributeError):
        error = answer.json.get("error")
        return error if isinstance(error, dict) else {}
    return {}
