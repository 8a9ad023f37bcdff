"""Connections of the API server: clients that never read or send, hidden requests, and pages of other sites."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.security.api_server import CHAT, JSON, ApiServer, chat_body
from tests.security.attack import Outcome, attack, outcome
from tests.security.attacks.api_requests import running
from tests.security.stage import Stage, time_call, wait_for

MEMORY = 80_000_000
"""Bytes by which the server may grow."""


def head(server: ApiServer, method: str, path: str, *lines: str, key: bool = True) -> bytes:
    """A request without its body."""
    sent = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines]
    sent += [f"Authorization: Bearer {server.key}"] if key else []
    return ("\r\n".join(sent) + "\r\n\r\n").encode("latin-1")


def stream(server: ApiServer, **changes: object) -> bytes:
    """A request for a streamed reply."""
    body = chat_body(server.run, stream=True, **changes)
    return head(server, "POST", CHAT, ": ".join(JSON), f"Content-Length: {len(body)}") + body


@contextmanager
def opened(server: ApiServer, number: int, content: bytes) -> Iterator[list[socket.socket]]:
    """Connections of one address that send something, and then nothing. They read nothing either."""
    lines: list[socket.socket] = []
    try:
        for _ in range(number):
            with suppress(OSError):
                line = socket.socket()
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                lines.append(line)
                line.settimeout(5)
                line.bind(("127.66.0.1", 0))
                line.connect(("127.0.0.1", server.port))
                line.sendall(content)
        yield lines
    finally:
        for line in lines:
            line.close()


def served_meanwhile(server: ApiServer, number: int, content: bytes) -> Outcome:
    """Whether another client gets a reply in time, in little memory, while the connections are open."""
    before = server.memory()
    with opened(server, number, content) as lines:
        seconds, answered = time_call(server.answers_others)
        grown = server.memory() - before
    free = wait_for(lambda: running(server) == 0, 30)
    what = f"{len(lines)} connections: another client is answered: {answered}, after {seconds:.1f} s"
    what += f"; {grown / 1e6:.0f} MB; free again: {free}"
    return outcome(answered is not True or seconds > 60 or grown > MEMORY or not free, what)


@attack("api-connections", "{0} streams are asked for and never read", [4, 40], quick=1)
def never_reads(stage: Stage, number: int) -> Outcome:
    return served_meanwhile(stage.api, number, stream(stage.api, max_tokens=64 // number, temperature=1.5))


@attack("api-connections", "A stream of 8 replies is read byte by byte")
def reads_slowly(stage: Stage) -> Outcome:
    server = stage.api
    with opened(server, 1, stream(server, n=8, max_tokens=12, temperature=1.5)) as [line]:
        read = wait_for(lambda: not line.recv(1), 5)
        answered = server.answers_others()
    return outcome(not answered or bool(read), f"another client is answered: {answered}")


HALF: list[tuple[str, str]] = [
    ("send nothing", ""),
    ("send half a request line", "POST /v1/ch"),
    ("send half of the headers", "POST /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Padding: "),
    ("send no body", "BODY"),
    ("send no body, with a wrong key", "WRONG"),
]


@attack("api-connections", "400 connections of one address {0}, and shut out others", HALF, quick=1)
def half_sent(stage: Stage, payload: tuple[str, str]) -> Outcome:
    server, content = stage.api, payload[1].encode()
    if payload[1] in ("BODY", "WRONG"):
        content = head(server, "POST", CHAT, ": ".join(JSON), "Content-Length: 100000", key=payload[1] == "BODY")
    return served_meanwhile(server, 400, content)


@attack("api-connections", "One connection sends 50,000 requests and reads no answer")
def pipelined(stage: Stage) -> Outcome:
    server = stage.api
    return served_meanwhile(server, 1, head(server, "GET", "/v1/models") * 50_000)


@attack("api-connections", "100 clients ask for {0} at once, and others wait without an end", ["replies", "streams"])
def more_than_may_wait(stage: Stage, way: str) -> Outcome:
    """So many that some are refused with 429: what waits has a limit."""
    server = stage.api
    content = stream(server, max_tokens=2)
    if way == "replies":
        body = chat_body(server.run, max_tokens=2)
        content = head(server, "POST", CHAT, ": ".join(JSON), f"Content-Length: {len(body)}") + body
    with opened(server, 100, content):
        waiting = running(server)
        free = wait_for(lambda: running(server) == 0, 120)
    return outcome(waiting > 64 + 4 or not free, f"{waiting:.0f} ran or waited; free again: {free}")


HIDDEN = "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer KEY\r\n\r\n"
"""A request that a proxy would not see, because it takes it for the body of another."""
POST = HIDDEN.replace("GET /v1/models", f"POST {CHAT}")[:-2] + "Content-Type: application/json\r\n"
SMUGGLED: list[tuple[str, str]] = [
    ("a length and chunks", f"{POST}Content-Length: 500\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
    ("chunks and a length", f"{POST}Transfer-Encoding: chunked\r\nContent-Length: 500\r\n\r\n0\r\n\r\n{HIDDEN}"),
    ("a length of 0 and chunks", f"{POST}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
    ("two lengths", f"{POST}Content-Length: 2\r\nContent-Length: 500\r\n\r\n{{}}{HIDDEN}"),
    ("two lengths in one header", f"{POST}Content-Length: 2, 500\r\n\r\n{{}}{HIDDEN}"),
    ("a length in hexadecimal digits", f"{POST}Content-Length: 0x2\r\n\r\n{{}}{HIDDEN}"),
    ("a length with a sign", f"{POST}Content-Length: +2\r\n\r\n{{}}{HIDDEN}"),
    ("a length after a space", f"{POST}Content-Length : 2\r\n\r\n{{}}{HIDDEN}"),
    ("chunks that are named twice", f"{POST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
    ("chunks and identity", f"{POST}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
    ("chunks after a tab", f"{POST}Transfer-Encoding:\tchunked\r\nContent-Length: 500\r\n\r\n0\r\n\r\n{HIDDEN}"),
    ("chunks of a negative size", f"{POST}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n{HIDDEN}"),
    (
        "a chunk whose size overflows",
        f"{POST}Transfer-Encoding: chunked\r\n\r\n{'f' * 30}\r\n{{}}\r\n{HIDDEN}",
    ),
    ("a header with a line end", f"{POST}X-A: b\rContent-Length: 2\r\n\r\n{{}}{HIDDEN}"),
    ("a header with a zero byte", f"{POST}X-A: b\0\r\nContent-Length: 2\r\n\r\n{{}}{HIDDEN}"),
    ("a header without a name", f"{POST}: b\r\nContent-Length: 2\r\n\r\n{{}}{HIDDEN}"),
    ("a header without a colon", f"{POST}Content-Length 2\r\n\r\n{{}}{HIDDEN}"),
    ("HTTP/1.0 with chunks", f"{POST.replace('1.1', '1.0', 1)}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
    ("no Host", f"{POST.replace('Host: 127.0.0.1', 'X-A: b')}Content-Length: 2\r\n\r\n{{}}{HIDDEN}"),
    ("two Hosts", f"{POST}Host: evil.example\r\nContent-Length: 2\r\n\r\n{{}}{HIDDEN}"),
    ("a method with a line end", f"GET\r\n /v1/models HTTP/1.1\r\n\r\n{HIDDEN}"),
]
"""Requests whose length two programs could read differently, or which are malformed."""


@attack("api-connections", "A request is hidden behind one with {0}", SMUGGLED, quick=3)
def smuggled(stage: Stage, payload: tuple[str, str]) -> Outcome:
    server = stage.api
    logged = len(server.log_text())
    answer = answer_to(server, payload[1].replace("KEY", server.key).encode("latin-1"))
    log = server.log_text()[logged:]
    answers, is_hidden_answered = answer.count(b"HTTP/1.1 "), server.run.encode() in answer
    wrong = is_hidden_answered or answers > 1 or b"HTTP/1.1 5" in answer.replace(b"HTTP/1.1 501", b"")
    return outcome(wrong or log.count("\n") > 2, f"{answers} answers: {answer[:150]!r}; log: {log[-200:]!r}")


def answer_to(server: ApiServer, content: bytes) -> bytes:
    """What the server answers to bytes, until it closes the connection or is silent for two seconds."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), 2) as line, suppress(OSError):
        line.sendall(content)
        while piece := line.recv(65_536):
            received += piece
    return received


OTHER_LINES: list[tuple[str, str]] = [
    ("a handshake of TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\0" * 200),
    ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("HTTP/9.9", "GET /v1/models HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n"),
    ("CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n"),
    ("an address of another host", "GET http://evil.example/v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    (
        "an upgrade to a websocket",
        "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ),
    ("a header of 100,000 letters", f"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: {'a' * 100_000}\r\n\r\n"),
    ("10,000 headers", "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n" + "X-A: b\r\n" * 10_000 + "\r\n"),
    ("an address of 100,000 letters", f"GET /{'a' * 100_000} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
]


@attack("api-connections", "Sent over the line: {0}", OTHER_LINES)
def other_lines(stage: Stage, payload: tuple[str, str]) -> Outcome:
    server = stage.api
    logged = len(server.log_text())
    answer = answer_to(server, payload[1].encode("latin-1"))
    log = server.log_text()[logged:]
    status = int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else 0
    wrong = status >= 500 or status in (101, 200) or server.run.encode() in answer
    return outcome(wrong or log.count("\n") > 2, f"{answer[:100]!r}; log: {log[-200:]!r}")


FOREIGN: list[tuple[str, list[tuple[str, str]]]] = [
    ("under the name evil.example", [("Host", "evil.example")]),
    ("under the name evil.example:PORT", [("Host", "evil.example:PORT")]),
    ("under the name localhost.evil.example", [("Host", "localhost.evil.example")]),
    ("under the name 127.0.0.1.evil.example", [("Host", "127.0.0.1.evil.example")]),
    ("under the name evil.example#localhost", [("Host", "evil.example#localhost")]),
    ("under the name localhost@evil.example", [("Host", "localhost@evil.example")]),
    ("under an empty name", [("Host", "")]),
    ("under the name 0.0.0.0", [("Host", "0.0.0.0:PORT")]),
    ("from https://evil.example", [("Host", "127.0.0.1:PORT"), ("Origin", "https://evil.example")]),
    ("from http://127.0.0.1.evil.example", [("Host", "127.0.0.1:PORT"), ("Origin", "http://127.0.0.1.evil.example")]),
    ("from a file", [("Host", "127.0.0.1:PORT"), ("Origin", "null")]),
    ("from an empty origin", [("Host", "127.0.0.1:PORT"), ("Origin", "")]),
    ("from another port of this machine", [("Host", "127.0.0.1:PORT"), ("Origin", "http://127.0.0.1:1")]),
    ("as a proxy would forward it", [("Host", "evil.example"), ("X-Forwarded-Host", "localhost")]),
]


@attack("api-connections", "A page of another site asks a server without a key, {0}", FOREIGN, quick=2)
def foreign_pages(stage: Stage, payload: tuple[str, list[tuple[str, str]]]) -> Outcome:
    """Also with the content types that a browser sends without asking first."""
    server = stage.api_without_key
    named = [f"{name}: {value.replace('PORT', str(server.port))}" for name, value in payload[1]]
    named.append("Connection: close")
    body = chat_body(server.run)
    answers = [answer_to(server, "\r\n".join(["GET /v1/models HTTP/1.1", *named, "", ""]).encode())]
    for kind in ("application/json", "text/plain"):
        lines = [f"POST {CHAT} HTTP/1.1", *named, f"Content-Type: {kind}", f"Content-Length: {len(body)}", "", ""]
        answers.append(answer_to(server, "\r\n".join(lines).encode() + body))
    health = answer_to(server, "\r\n".join(["GET /health HTTP/1.1", *named, "", ""]).encode())
    statuses = [each.split(b" ")[1].decode() if b" " in each else "none" for each in answers]
    everything = b"".join([*answers, health]).lower()
    leaked = server.run.encode() in everything or b"access-control-allow" in everything
    return outcome(leaked or not set(statuses) <= {"400", "403"}, f"{statuses}; {answers[0][:150]!r}")
