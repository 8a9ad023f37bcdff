"""The guard before the page: who may send requests, from where, to which addresses. Plain ASGI, so streams are kept.

Owns: trusted hosts, own origin only, security headers, the request rate of an address, the list of addresses that the
page needs (all others return 404), and the answer to an unexpected exception. It does not depend on the page's content.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.ui import languages
from studio.ui.http.bodies import MOST_BODY, TOO_LONG, Refused
from studio.ui.http.proxies import ADDRESS, ROLE, header_values, with_header
from studio.ui.http.rate_limits import Buckets
from studio.ui.logs import LOG, report

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
FRAMERS = "https://huggingface.co"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
UPLOAD = "/studio/upload"
PAGE = ("/", "/login", "/logout", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt")
FOLDERS = ("/studio/", "/assets/", "/static/", "/svelte/")
"""Addresses of the page and its files. The other addresses of Gradio return 404."""
CALL = "/gradio_api/component_server"
"""The address of the page's server function; everyone who sees the page can call it, so it checks its arguments."""
OPEN = (CALL, *(f"/gradio_api/{each}" for each in ("startup-events", "app_id", "theme.css")))
"""What else of Gradio's API the page asks for. All events go through the function, so that the queue is closed."""
API = ("info", "queue/join", "queue/data", "call", "heartbeat", "reset", "cancel", "mcp")
"""What the named endpoints for the owner need besides (ui/api.py); a demo has none."""
API_FOLDERS = tuple(f"/gradio_api/{each}" for each in API)
REQUESTS, BURST = 60.0, 3000
"""Requests a second of one address in a demo, and the burst before that. A page loads with 80 requests, and the page of
a running run asks once a second. A class of 30 behind one address loads 30 pages at once."""
BYTES_PER_REQUEST = 5_000
"""Bytes of bodies that count as one more request: 4 MB of nested JSON keep the server busy for a second."""
AT_ONCE = 256
"""Requests of one address in a demo that may be open at the same time. Behind a proxy the limit of connections does not
tell clients apart, and an event stream stays open for as long as its client likes."""
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,252}[a-z0-9_])?")
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,253})(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def space_hosts() -> list[str]:
    """Names of this Hugging Face Space; none elsewhere."""
    return [name for each in os.environ.get("SPACE_HOST", "").split(",") if (name := host_name(each))]


def trusted_hosts(allow_hosts: Sequence[str]) -> set[str]:
    """Names under which the page may be asked for; a name that resolves to us by a trick is not among them."""
    given = [each.strip() for each in allow_hosts]
    named = [each if each == "*" else host_name(f"[{each}]" if each.count(":") > 1 else each) for each in given]
    return {*LOOPBACK, *space_hosts(), *(each for each in named if each)}


def host_name(value: str) -> str:
    """The name in a Host header, without the port; empty for a header that is malformed."""
    return _host(value)[0]


def _host(value: str) -> tuple[str, str]:
    """Name and port of a Host header; empty for a header that is malformed."""
    match = _HOST.fullmatch(value.strip().lower())
    if not match or int(match[2] or 0) > 65535:
        return "", ""
    name = match[1]
    if name.startswith("["):
        try:
            name = f"[{IPv6Address(name[1:-1])}]"
        except ValueError:
            return "", ""
    elif not _NAME.fullmatch(name):
        return "", ""
    return name, match[2] or ""


def own_origin(origins: Sequence[str], host: str, scheme: str) -> bool:
    """Whether a request that changes something comes from the page itself; a program that is no browser sends none."""
    if not origins:
        return True
    sent, separator, rest = origins[0].partition("://")
    if len(origins) > 1 or not separator or sent.lower() != scheme or not _host(rest)[0]:
        return False
    (name, port), (own, own_port) = _host(rest), _host(host)
    default = _DEFAULT_PORTS.get(scheme, "")
    return (name, port or default) == (own, own_port or default)


def policy(on_space: bool) -> str:
    """The content policy: nothing from elsewhere, and only Hugging Face may frame the page, on a Space.

    'unsafe-eval' is needed: Gradio's gr.HTML compiles its template and `js_on_load` by `new Function`. Without it no
    region of the page is drawn (Gradio 6.31, tried in Chromium on 2026-11-30).
    """
    framers = f"'self' {FRAMERS}" if on_space else "'self'"
    return (
        "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data: blob:; "
        f"object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {framers}"
    )


def security_headers(on_space: bool) -> list[tuple[bytes, bytes]]:
    """Headers of every answer, refusals included."""
    return [
        (b"content-security-policy", policy(on_space).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"cross-origin" if on_space else b"same-origin"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=(), serial=(), midi=()"),
        *([] if on_space else [(b"x-frame-options", b"SAMEORIGIN")]),
    ]


STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")


@dataclass(frozen=True)
class Access:
    """What the guard lets through."""

    on_space: bool = False
    """Whether this is a Hugging Face Space, which shows the page in a frame."""
    role: str = "owner"
    """The role of a client without a login."""
    buckets: Buckets | None = None
    """They limit the requests of an address."""
    api: bool = False
    """Whether the named endpoints are offered."""
    pages: Sequence[str] = ()
    """Further addresses, such as those of a sign-in."""


class Guard:
    """Trusted host, own origin, known address, request rate, security headers."""

    def __init__(self, app: ASGIApp, allow_hosts: Sequence[str] = (), access: Access | None = None) -> None:
        access = access or Access()
        self.app = app
        self.hosts = trusted_hosts(allow_hosts)
        self.headers = security_headers(access.on_space)
        self.role, self.buckets, self.api, self.pages = access.role, access.buckets, access.api, access.pages
        self._open: Counter[str] = Counter()
        """Open requests by address, where they are limited."""

    def allowed_host(self, value: str) -> bool:
        """Whether the page may be asked for under the name in this Host header."""
        name = host_name(value)
        return bool(name) and (name in self.hosts or "*" in self.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or refuse in a sentence."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        send = self._with_headers(send, secure=scope["scheme"] == "https" and not _is_local(scope))
        address = "".join(header_values(scope["headers"], ADDRESS.encode()))
        try:
            self.check(scope)
            if self.buckets and self._open[address] >= AT_ONCE:
                raise Refused(429, "Too many requests from your network address are open. Close some pages.", wait=5)
        except Refused as refused:
            await refused.answer(languages.accepted(scope))(scope, receive, send)
            return
        scope = with_header(scope, ROLE, self.role)
        if self.buckets is None:
            await self._answer(scope, receive, send)
            return
        self._open[address] += 1
        try:
            if scope["method"] not in SAFE_METHODS and scope["path"] != UPLOAD:
                receive = _counted(receive, self.buckets, address)
            await self._answer(scope, receive, send)
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    def check(self, scope: Scope) -> None:
        """Raise `Refused` for a request that may not pass."""
        address = "".join(header_values(scope["headers"], ADDRESS.encode()))
        wait = self.buckets.take(address) if self.buckets else 0
        if wait:
            raise Refused(429, "Too many requests come from your network address. Wait a moment, then try again.", wait)
        hosts = header_values(scope["headers"], b"host")
        if len(hosts) != 1 or not self.allowed_host(hosts[0]):
            raise Refused(
                400, "The studio does not accept this host name. To allow it, start the studio with --allow-host NAME."
            )
        if scope["method"] not in SAFE_METHODS:
            self._check_origin(scope, hosts[0])
        if scope["path"] not in self.pages and not _known(scope["path"], self.api):
            raise Refused(404, "There is no page at this address.")
        sizes = header_values(scope["headers"], b"content-length")
        if scope["path"] != UPLOAD and any(not each.isdecimal() or int(each[:20]) > MOST_BODY for each in sizes):
            raise Refused(413, TOO_LONG)

    def _check_origin(self, scope: Scope, host: str) -> None:
        origins = header_values(scope["headers"], b"origin")
        if own_origin(origins, host, scope["scheme"]):
            return
        hint = ""
        if scope["scheme"] == "http" and own_origin(origins, host, "https"):
            hint = " If a proxy serves the studio over https, start it with --trusted-proxy and the proxy's address."
        raise Refused(403, f"Only the studio's own page may send this request.{hint}")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer of the application; an unexpected exception becomes a sentence with an id."""
        failed: list[Message] = []
        started = gone = False

        async def receiving() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        async def sending(message: Message) -> None:
            nonlocal started
            if failed or (message["type"] == "http.response.start" and message["status"] == 500):
                failed.append(message)  # Starlette answers an exception first, and then raises it
                return
            started = True
            await send(message)

        try:
            await self.app(scope, receiving, sending)
        except Exception as error:
            if gone:  # the client has left, and a stream that is cut off may raise anything
                LOG.info("A request ended early: %s", type(error).__name__)
                return
            number = report(error, f"{scope['method']} {scope['path'][:200]!a}")
            if not started:
                sentence = "Something went wrong. The server's log has the cause under {number}."
                sentence = languages.translated(sentence, languages.accepted(scope), number=number)
                await Refused(500, sentence).answer()(scope, receive, send)
            return
        for message in failed:
            await send(message)

    def _with_headers(self, send: Send, secure: bool) -> Send:
        own = [*self.headers, STRICT_TRANSPORT] if secure else self.headers

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {key.lower() for key, _ in message["headers"]}
                message["headers"] = [
                    # Gradio allows every origin on a public host; nobody but the page itself is to read answers.
                    *(pair for pair in message["headers"] if not pair[0].lower().startswith(b"access-control-")),
                    *(pair for pair in own if pair[0] not in known),
                ]
            await send(message)

        return sending


def _counted(receive: Receive, buckets: Buckets, address: str) -> Receive:
    """A `receive` whose bytes count like requests; it raises `Refused` when there were too many."""

    async def receiving() -> Message:
        message = await receive()
        size = len(message.get("body", b""))
        wait = buckets.take(address, size / BYTES_PER_REQUEST) if size else 0
        if wait:
            raise Refused(429, "Too much data came from your network address. Wait a moment, then try again.", wait)
        return message

    return receiving


def _is_local(scope: Scope) -> bool:
    """Whether the page is asked for by a loopback name, whose other servers must not be bound to https."""
    return is_loopback(host_name("".join(header_values(scope["headers"], b"host"))))


def _known(path: str, api: bool) -> bool:
    """Whether the page, or the named endpoints, need an address; all others of Gradio's are closed."""
    if path.startswith("/gradio_api"):
        needed = api and any(path == each or path.startswith(f"{each}/") for each in API_FOLDERS)
        return path.removesuffix("/") in OPEN or (needed and ".." not in path)
    if path == "/config":
        return api
    return path in PAGE or path.startswith(FOLDERS)
