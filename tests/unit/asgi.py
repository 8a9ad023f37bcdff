"""Requests to an ASGI application without a server, from any address and with any headers, doubled ones too."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass
class Answer:
    """What was sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str:
        """All values of a header."""
        return ", ".join(value.decode() for key, value in self.headers if key.decode().lower() == name)


async def ask(
    app: ASGIApp,
    path: str = "/",
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (("host", "127.0.0.1:7860"),),
    client: str = "127.0.0.1",
    body: bytes = b"",
    scheme: str = "http",
) -> Answer:
    """One request."""
    sent: list[dict[str, Any]] = []
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "scheme": scheme,
        "client": (client, 1000),
        "server": ("127.0.0.1", 7860),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return Answer(sent[0]["status"], list(sent[0]["headers"]), b"".join(each.get("body", b"") for each in sent[1:]))


class Seen:
    """An application that notes the last request, and answers 200."""

    def __init__(self) -> None:
        self.scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"seen"})

    @property
    def headers(self) -> dict[str, str]:
        return {key.decode(): value.decode("latin-1") for key, value in self.scope["headers"]}


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to its end."""
    return asyncio.run(work)
