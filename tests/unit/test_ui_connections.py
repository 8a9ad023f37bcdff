"""Connections: half-sent requests end, one address can't hold all connections, malformed requests leave one line."""

import asyncio
import inspect
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import h11
import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, StreamingResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from studio.ui.http.connections import ConnectionLimits, Connections, LimitedProtocol, Timeouts, limits_for, protocol

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
QUICK = Timeouts(header=0.6, body_pause=0.8, body_grace=1.0, body_rate=2000, unread_body=0.5, write_pause=1.0)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Says how long the body was; `/refuse` does not read it, `/slow` and `/large` take their time."""
    if scope["type"] != "http":
        return
    request = Request(scope, receive)
    if scope["path"] == "/refuse":
        answer: Any = PlainTextResponse("too long", 413)
    elif scope["path"] == "/large":

        async def pieces() -> Any:
            for _ in range(400):
                yield b"x" * 100_000

        answer = StreamingResponse(pieces())
    else:
        try:
            if scope["path"] == "/slow":
                await asyncio.sleep(2)
            answer = PlainTextResponse(f"{len(await request.body())} bytes")
        except ClientDisconnect:
            return
    await answer(scope, receive, send)


class Running:
    """A server in a thread."""

    def __init__(self, limits: ConnectionLimits, trusted: tuple[str, ...] = ()) -> None:
        self.made = protocol(limits, trusted)
        config = uvicorn.Config(
            application,
            port=0,
            http=self.made,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=30,
        )
        self.server = uvicorn.Server(config)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(64)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def line(self, data: bytes = b"") -> socket.socket:
        """A connection that sent something."""
        made = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        made.sendall(data)
        return made

    def ask(self, data: bytes) -> bytes:
        """All that comes back until the connection ends."""
        with self.line(data) as line:
            return rest(line)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)


def rest(line: socket.socket) -> bytes:
    """All that is still sent."""
    got = b""
    try:
        while part := line.recv(65536):
            got += part
    except ConnectionResetError:
        pass
    return got


def answered(line: socket.socket, wanted: bytes) -> bool:
    """Whether this comes within the line's time."""
    got = b""
    while wanted not in got and (part := line.recv(65536)):
        got += part
    return wanted in got


@contextmanager
def served(trusted: tuple[str, ...] = (), **limits: Any) -> Iterator[Running]:
    running = Running(ConnectionLimits(timeouts=QUICK, **limits), trusted)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def quick() -> Iterator[Running]:
    with served() as running:
        yield running


def test_uvicorn_still_has_what_is_overridden() -> None:
    """uvicorn changed: read its h11_impl.py again, and adapt studio/ui/http/connections.py."""
    wanted: dict[str, list[str]] = {
        "connection_made": ["self", "transport"],
        "connection_lost": ["self", "exc"],
        "data_received": ["self", "data"],
        "_should_upgrade": ["self"],
        "send_400_response": ["self", "msg"],
        "pause_writing": ["self"],
        "resume_writing": ["self"],
    }
    for name, parameters in wanted.items():
        assert list(inspect.signature(getattr(H11Protocol, name)).parameters) == parameters, f"uvicorn: {name}"
    source = inspect.getsource(H11Protocol)
    for used in ("self.conn = h11.Connection", "self.flow", "self.cycle", "self.client", "self.loop", "read_paused"):
        assert used in source + inspect.getsource(inspect.getmodule(H11Protocol).FlowControl), f"uvicorn: {used}"  # type: ignore[union-attr]
    assert h11.IDLE and h11.SEND_BODY


@pytest.mark.slow
def test_a_whole_request_is_answered_and_its_connection_used_again(quick: Running) -> None:
    with quick.line(HEAD) as line:
        assert answered(line, b"0 bytes")
        time.sleep(1.2)  # longer than the header may take: an idle connection is none of a slow request
        line.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345")
        assert answered(line, b"5 bytes")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_request_without_the_end_of_its_headers_is_closed(quick: Running, sent: bytes) -> None:
    began = time.monotonic()
    got = quick.ask(sent)
    assert 0.5 < time.monotonic() - began < 4
    assert got.startswith(b"HTTP/1.1 408") and b"took too long" in got


def test_bytes_that_trickle_in_do_not_keep_a_request_open(quick: Running) -> None:
    began = time.monotonic()
    with quick.line(b"GET / HTTP/1.1\r\n") as line:
        try:
            while time.monotonic() - began < 5:
                line.sendall(b"a: b\r\n")
                time.sleep(0.1)
        except OSError:
            pass
    assert time.monotonic() - began < 4


def test_the_second_request_of_a_connection_has_the_same_time(quick: Running) -> None:
    with quick.line(HEAD) as line:
        assert answered(line, b"0 bytes")
        line.sendall(b"GET / HTTP/1.1\r\n")
        assert b"408" in rest(line)


def test_a_body_that_stops_is_closed(quick: Running) -> None:
    began = time.monotonic()
    assert quick.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc") == b""
    assert 0.7 < time.monotonic() - began < 4


@pytest.mark.slow
def test_a_body_that_trickles_in_is_closed_after_its_grace(quick: Running) -> None:
    began = time.monotonic()
    with quick.line(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n") as line:
        try:
            while time.monotonic() - began < 8:
                line.sendall(b"x" * 10)
                time.sleep(0.1)
        except OSError:
            pass
    assert 1 < time.monotonic() - began < 5


@pytest.mark.slow
def test_a_body_at_a_fair_rate_and_a_slow_application_are_waited_for(quick: Running) -> None:
    with quick.line(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n") as line:
        for _ in range(20):
            line.sendall(b"x" * 500)
            time.sleep(0.1)
        assert answered(line, b"10000 bytes")
    with quick.line(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000) as line:
        assert answered(line, b"300000 bytes")


def test_a_refused_body_may_be_sent_to_its_end_but_not_for_ever(quick: Running) -> None:
    with quick.line(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n") as line:
        line.sendall(b"x" * 1_000_000)
        assert answered(line, b"413")
    with quick.line(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n") as line:
        began = time.monotonic()
        try:
            while time.monotonic() - began < 8:
                line.sendall(b"x" * 1000)
                time.sleep(0.05)
        except OSError:
            pass
        assert time.monotonic() - began < 5


def test_a_client_that_does_not_read_is_closed(quick: Running) -> None:
    with quick.line(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n") as line:
        until = time.monotonic() + 10
        while not quick.made.shared.total:
            time.sleep(0.01)
        while quick.made.shared.total and time.monotonic() < until:
            time.sleep(0.1)
        assert not quick.made.shared.total, "the server closed it"
        assert len(rest(line)) < 40_000_000


@pytest.mark.slow
def test_one_address_holds_so_many_connections_and_a_trusted_proxy_as_many_as_there_are() -> None:
    slow = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
    with served(total=30, address=5) as running, ExitStack() as lines:
        busy = [lines.enter_context(running.line(slow)) for _ in range(5)]
        time.sleep(0.3)
        refused = running.ask(HEAD)
        assert refused.startswith(b"HTTP/1.1 503") and b"retry-after: 5" in refused.lower()
        assert b"content-security-policy" in refused.lower()
        assert all(answered(each, b"0 bytes") for each in busy), "those before are answered"
    with served(total=12, address=5, trusted=("127.0.0.0/8",)) as running, ExitStack() as lines:
        busy = [lines.enter_context(running.line(slow)) for _ in range(12)]
        time.sleep(0.3)
        assert running.ask(HEAD).startswith(b"HTTP/1.1 503")
        assert all(answered(each, b"0 bytes") for each in busy)


def test_half_sent_requests_make_room_for_whole_ones() -> None:
    with served(total=30, address=5) as running, ExitStack() as lines:
        for _ in range(5):
            lines.enter_context(running.line(b"GET / HT"))
        time.sleep(0.2)
        with running.line(HEAD) as line:
            assert answered(line, b"0 bytes")
        assert running.made.shared.total <= 5


def test_connections_are_counted_per_address_and_forgotten() -> None:
    class Line(LimitedProtocol):
        idle = property(lambda self: False)  # type: ignore[assignment]

        def __init__(self) -> None: ...

    connections = Connections(ConnectionLimits(total=4, address=2), trusted=["10.0.0.1"])
    lines = [Line() for _ in range(6)]
    mine, other, proxy = (connections.key(each) for each in ("203.0.113.7", "203.0.113.8", "10.0.0.1"))
    assert [connections.add(each, mine) for each in lines[:3]] == [True, True, False]
    assert connections.add(lines[3], other) and connections.add(lines[4], proxy)
    assert not connections.add(lines[5], other), "four are open"
    for each in lines:
        for key in (mine, other, proxy):
            connections.remove(each, key)
    assert connections.total == 0 and not connections._open


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"no request at all\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b""),
        (b"POST /refuse HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b""),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"200"),
        (b"GET /" + b"x" * 100_000, b"400"),
    ],
)
def test_a_malformed_request_is_refused_without_a_traceback(
    quick: Running, sent: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        with quick.line(sent) as line:
            line.settimeout(5)
            got = line.recv(65536) if status == b"200" else rest(line)
    assert got[9:12] == status or status == b""
    assert "Traceback" not in caplog.text and len(caplog.records) <= 1, caplog.text


def test_limits_leave_descriptors_for_everything_else() -> None:
    for descriptors in (64, 256, 1024, 65_536):
        limits = limits_for(descriptors)
        assert limits.address <= limits.total <= max(32, descriptors // 2)
    assert limits_for(1024).address == 256 and limits_for(256).total == 128
    check: Callable[[Timeouts], bool] = lambda each: each.header <= 10 and each.body_pause <= 20  # noqa: E731
    assert check(Timeouts())
