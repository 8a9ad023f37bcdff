"""What stands before the page: who may ask, from where, for which addresses. Plain ASGI, so that streams stay streams.

Owns: trusted hosts, own origin only, the content policy, and the list of Gradio's addresses that the page needs; all
others do not exist. Knows nothing of what is shown.
"""

import os
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
FRAMERS = "https://huggingface.co"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
OPEN = (
    "/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/heartbeat/", "/gradio_api/startup-events",
    "/gradio_api/cancel", "/gradio_api/reset", "/gradio_api/app_id",
)  # fmt: skip
"""The page's own channel; whoever may see the page may use it, so every handler checks what it is given."""
CLOSED = ("/config", "/openapi.json", "/docs", "/redoc", "/monitoring", "/logout")
"""What Gradio offers outside its own prefix and the page does not need."""
UPLOAD = "/studio/upload"
MOST_BODY = 4_000_000
"""No act of a person is longer than this; files go through the upload route, which counts by itself."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def trusted_hosts(allow_hosts: Sequence[str]) -> list[str]:
    """Names under which the page may be asked for; a name that resolves to us by a trick is not among them."""
    space = os.environ.get("SPACE_HOST", "")
    given = [each.strip() for each in (*allow_hosts, *space.split(",")) if each.strip()]
    return [*LOOPBACK, *given]


def host_name(value: str) -> str:
    """The name in a Host header, without the port."""
    value = value.strip().lower()
    return value.split("]")[0] + "]" if value.startswith("[") else value.rsplit(":", 1)[0] if ":" in value else value


def policy(on_space: bool) -> str:
    """The content policy: nothing from elsewhere, and nobody frames the page but Hugging Face a Space."""
    framers = f"'self' {FRAMERS}" if on_space else "'self'"
    return (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self'; img-src 'self' data: blob:; "
        f"object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {framers}"
    )


class Guard:
    """Trusted host, own origin, known address, content policy."""

    def __init__(self, app: ASGIApp, allow_hosts: Sequence[str] = (), on_space: bool = False) -> None:
        self.app = app
        self.hosts = {each.lower() for each in trusted_hosts(allow_hosts)}
        self.headers = [
            (b"content-security-policy", policy(on_space).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
            *([] if on_space else [(b"x-frame-options", b"SAMEORIGIN")]),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or refuse in a sentence."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refused = self.refusal(scope)
        if refused and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif refused:
            await PlainTextResponse(refused[1], refused[0])(scope, receive, send)
        else:
            short = receive if scope["path"] == UPLOAD else _no_longer(receive)
            await self.app(scope, short, self._with_headers(send))

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and sentence, or None when it may pass."""
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        host = headers.get("host", "")
        if "*" not in self.hosts and host_name(host) not in self.hosts:
            return 400, "The studio is not known under this name. Start it with --allow-host NAME to allow it."
        if scope["type"] == "websocket":
            return 404, "There is nothing at this address."
        if scope["method"] not in SAFE_METHODS and not _own_origin(headers.get("origin"), host):
            return 403, "Only the studio's own page may send this."
        if not _known(scope["path"]):
            return 404, "There is nothing at this address."
        if int(headers.get("content-length") or 0) > MOST_BODY and scope["path"] != UPLOAD:
            return 413, "This is longer than anything that the page sends."
        return None

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {key.lower() for key, _ in message["headers"]}
                message["headers"] = [
                    # Gradio allows every origin on a public host; nobody but the page itself is to read answers.
                    *(pair for pair in message["headers"] if not pair[0].lower().startswith(b"access-control-")),
                    *(pair for pair in self.headers if pair[0] not in known),
                ]
            await send(message)

        return sending


def _no_longer(receive: Receive) -> Receive:
    """The same body, cut off where it grows beyond measure without having said so before."""
    size = 0

    async def receiving() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        return {"type": "http.disconnect"} if size > MOST_BODY else message

    return receiving


def _own_origin(origin: str | None, host: str) -> bool:
    """Whether a request that changes something comes from the page itself; a program that is no browser sends none."""
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def _known(path: str) -> bool:
    """Whether the page needs an address below /gradio_api; all others of Gradio's are closed."""
    if not path.startswith("/gradio_api"):
        return path.rstrip("/") not in CLOSED and not path.startswith("/monitoring/")
    return path.startswith(OPEN) or path.rstrip("/") in (each.rstrip("/") for each in OPEN)
