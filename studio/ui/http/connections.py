"""Connections: how long a client may take to send a request, and how many connections one address may hold.

uvicorn closes idle connections, but waits forever for the rest of a half-sent request. This is its HTTP protocol with
deadlines and limits. tests/unit/test_ui_connections.py checks that uvicorn still has what is overridden here.
"""

import asyncio
import socket
import struct
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import h11
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from studio.ui.http.proxies import Trusted, client_network, plain_address
from studio.ui.http.security import security_headers

_TICK = 0.5


@dataclass(frozen=True)
class Timeouts:
    """Seconds that a client may take."""

    header: float = 10
    """From the first byte of a request, or the beginning of a connection, to the end of its headers."""
    body_pause: float = 20
    """Without a byte of the body."""
    body_grace: float = 20
    """Before the body must come at a rate of `body_rate`."""
    body_rate: float = 1000
    """Bytes a second."""
    unread_body: float = 5
    """For the rest of a body that was refused: some clients read no answer before they sent everything."""
    write_pause: float = 60
    """Without reading anything of an answer."""


@dataclass
class ConnectionLimits:
    """Open connections: in all, and of one address."""

    total: int = 512
    address: int = 256
    """A browser holds up to 6 connections, a class of 30 behind one address 180."""
    timeouts: Timeouts = field(default_factory=Timeouts)


def limits_for(descriptors: int) -> ConnectionLimits:
    """Limits for a number of file descriptors: half of them are for databases, files and child processes."""
    total = max(16, min(2000, descriptors // 2))
    return ConnectionLimits(total=total, address=min(256, max(8, total // 2)))


class Connections:
    """All open connections of a server."""

    def __init__(self, limits: ConnectionLimits, trusted: Sequence[str] = ()) -> None:
        self.limits, self._trusted = limits, Trusted(trusted)
        self._open: dict[str, OrderedDict[LimitedProtocol, None]] = {}
        self.total = 0

    def key(self, address: str) -> str:
        """Under which name the connections of an address are counted; empty for a trusted proxy."""
        return "" if plain_address(address) in self._trusted else client_network(address)

    def add(self, connection: "LimitedProtocol", key: str) -> bool:
        """Count a connection, unless there are too many; idle ones make room."""
        if key and len(self._open.get(key, ())) >= self.limits.address and not self._make_room(key):
            return False
        if self.total >= self.limits.total:
            most = max(self._open, key=lambda each: len(self._open[each]))
            if not self._make_room(most) and not self._make_room(key):
                return False
        self._open.setdefault(key, OrderedDict())[connection] = None
        self.total += 1
        return True

    def remove(self, connection: "LimitedProtocol", key: str) -> None:
        """A connection was closed."""
        own = self._open.get(key, OrderedDict())
        if connection in own:
            del own[connection]
            self.total -= 1
            if not own:
                self._open.pop(key, None)

    def _make_room(self, key: str) -> bool:
        """Close the oldest connection of an address that waits for a request."""
        idle = next((each for each in self._open.get(key, ()) if each.idle), None)
        if idle is None:
            return False
        idle.abort()
        self.remove(idle, key)
        return True


class LimitedProtocol(H11Protocol):
    """uvicorn's HTTP protocol with deadlines for what a client sends, and limits for its connections."""

    shared: Connections
    secure_headers: Sequence[tuple[bytes, bytes]] = ()
    _key = ""
    _watch: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None
    _request_began: float | None = None
    _body_began: float | None = None
    _body_bytes = 0
    _last_byte = 0.0
    _refused_since: float | None = None

    @property
    def idle(self) -> bool:
        """Whether no request is being answered or sent, or one is half sent without its headers."""
        return self.cycle is None or (self.cycle.response_complete and self.conn.their_state is h11.IDLE)

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def reset(self) -> None:
        """Close at once, and drop what was not sent: the system keeps nothing for a client that does not read."""
        line = self.transport.get_extra_info("socket")
        if line is not None:
            with suppress(OSError):
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and expect a request."""
        super().connection_made(transport)
        self._key = self.shared.key(self.client[0] if self.client else "")
        if not self.shared.add(self, self._key):
            self._refuse(503, "Too many connections are open. Wait a moment.")
            return
        self._request_began = self.loop.time()
        self._tick()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        for handle in (self._watch, self._stuck):
            if handle:
                handle.cancel()
        self._watch = self._stuck = None
        self.shared.remove(self, self._key)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and see what is still to come."""
        if self.transport.is_closing():
            return
        now = self.loop.time()
        before = self.conn.their_state
        super().data_received(data)
        state = self.conn.their_state
        self._last_byte = now
        if state is h11.SEND_BODY:
            if before is not h11.SEND_BODY:
                self._body_began, self._body_bytes, self._refused_since = now, 0, None
            self._body_bytes += len(data)
            self._request_began = None
        elif state is h11.IDLE:
            self._body_began = None
            self._request_began = self._request_began if self._request_began is not None else now
        else:
            self._body_began = self._request_began = None
        if self._watch is None:
            self._tick()

    def _tick(self) -> None:
        """Close the connection when a deadline has passed; look again soon while something is awaited."""
        self._watch = None
        if self.transport.is_closing():
            return
        if self._request_began is None and self._body_began is None:
            return
        if self._too_slow(self.loop.time()):
            if self.cycle is None or self.cycle.response_complete:
                self._refuse(408, "The request took too long.")
            else:
                self.abort()
            return
        self._watch = self.loop.call_later(_TICK, self._tick)

    def _too_slow(self, now: float) -> bool:
        allowed = self.shared.limits.timeouts
        if self._request_began is not None:
            return now - self._request_began > allowed.header
        if self._body_began is None or self.conn.their_state is not h11.SEND_BODY:
            self._body_began = None
            return False
        if self.cycle is not None and self.cycle.response_complete:
            self._refused_since = self._refused_since or now
            return now - self._refused_since > allowed.unread_body
        if self.flow.read_paused:  # the server is slow, not the client
            self._body_began += _TICK
            self._last_byte = now
            return False
        took = now - self._body_began
        too_slow = took > allowed.body_grace and self._body_bytes < allowed.body_rate * (took - allowed.body_grace)
        return too_slow or now - self._last_byte > allowed.body_pause

    def _should_upgrade(self) -> bool:
        """There are no WebSockets here; a request for one is answered like any other."""
        return False

    def send_400_response(self, msg: str) -> None:
        """Answer a malformed request; when an answer was begun, only close."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.transport.close()
        else:
            self._refuse(400, "This is not a valid HTTP request.")

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer without the application, and close."""
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(sentence)).encode()),
            (b"connection", b"close"),
            *([(b"retry-after", b"5")] if status == 503 else []),
            *self.secure_headers,
        ]
        with suppress(h11.LocalProtocolError):  # a part of an answer was sent already
            self.transport.write(self.conn.send(h11.Response(status_code=status, headers=headers)) or b"")
            self.transport.write(self.conn.send(h11.Data(data=sentence.encode())) or b"")
            self.transport.write(self.conn.send(h11.EndOfMessage()) or b"")
        self.transport.close()

    def pause_writing(self) -> None:
        """The client does not read; give it some time."""
        super().pause_writing()
        self._stuck = self.loop.call_later(self.shared.limits.timeouts.write_pause, self.reset)

    def resume_writing(self) -> None:
        """It reads again."""
        if self._stuck:
            self._stuck.cancel()
            self._stuck = None
        super().resume_writing()


def protocol(limits: ConnectionLimits, trusted: Sequence[str] = (), on_space: bool = False) -> type[LimitedProtocol]:
    """The protocol class for `uvicorn.Config(http=…)`, with connections of its own."""
    made: dict[str, Any] = {
        "shared": Connections(limits, trusted),
        "secure_headers": tuple(security_headers(on_space)),
    }
    return type("StudioProtocol", (LimitedProtocol,), made)


class OneLength:
    """Refuses a request with both a length and chunks, and closes its connection.

    A proxy may go by the length and take the next request for a part of the body. So a request could be hidden in it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or refuse."""
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope.get("headers", ())}:
            refused = PlainTextResponse("This is not a valid HTTP request.", 400, {"Connection": "close"})
            refused.raw_headers.extend(security_headers(on_space=False))
            await refused(scope, receive, send)
            return
        await self.app(scope, receive, send)
