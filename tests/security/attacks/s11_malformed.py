"""S11: malformed requests: each is answered with 4xx and one line of the log at most."""

import json
import socket
import time

from tests.browser.served import Served
from tests.security.attack import Seen, attack, seen
from tests.security.stage import FORM, Stage, Visitor, logged, timed

JSON = {"content_type": "application/json"}
DEEP = b"[" * 100_000 + b"]" * 100_000
CHUNKS = (b"%x\r\n%s\r\n" % (1_000_000, b" " * 1_000_000)) * 6 + b"0\r\n\r\n"

REQUESTS: list[tuple[str, str, str, bytes | None, dict[str, str]]] = [
    ("a stream of a page that never was", "GET", "/gradio_api/queue/data?session_hash=x", None, {}),
    ("a stream without a page", "GET", "/gradio_api/queue/data", None, {}),
    (
        "a call of handler 99999",
        "POST",
        "/gradio_api/queue/join",
        b'{"data": [], "fn_index": 99999, "session_hash": "x"}',
        JSON,
    ),
    (
        "a call of handler -1",
        "POST",
        "/gradio_api/queue/join",
        b'{"data": [], "fn_index": -1, "session_hash": "x"}',
        JSON,
    ),
    (
        "a call of a handler that is a text",
        "POST",
        "/gradio_api/queue/join",
        b'{"data": [], "fn_index": "a", "session_hash": "x"}',
        JSON,
    ),
    ("a call without a handler", "POST", "/gradio_api/queue/join", b'{"data": []}', JSON),
    (
        "a call whose data is a number",
        "POST",
        "/gradio_api/queue/join",
        b'{"data": 7, "fn_index": 1, "session_hash": "x"}',
        JSON,
    ),
    ("a call that is null", "POST", "/gradio_api/queue/join", b"null", JSON),
    ("a call that is no JSON", "POST", "/gradio_api/queue/join", b"{", JSON),
    ("a call of deep JSON", "POST", "/gradio_api/queue/join", DEEP, JSON),
    ("a press of deep JSON", "POST", "/studio/press", DEEP, JSON),
    (
        "a press of deep JSON within its data",
        "POST",
        "/studio/press",
        b'{"page":"a","region":"data-body","said":{"act":' + b"[" * 50_000 + b"]" * 50_000 + b"}}",
        JSON,
    ),
    ("a ticket of deep JSON", "POST", "/studio/ticket", DEEP, JSON),
    ("a chat of deep JSON", "POST", "/studio/run/last/chat", DEEP, JSON),
    ("a press that is a list", "POST", "/studio/press", b"[]", JSON),
    ("a press without a page", "POST", "/studio/press", b'{"region": "data-body", "said": {}}', JSON),
    ("a press of an unknown region", "POST", "/studio/press", b'{"page": "a", "region": "x", "said": {}}', JSON),
    ("a press with NaN", "POST", "/studio/press", b'{"page": "a", "region": "data-body", "said": {"act": NaN}}', JSON),
    (
        "a press with half a character",
        "POST",
        "/studio/press",
        b'{"page": "a", "region": "data-body", "said": {"act": "\\ud800"}}',
        JSON,
    ),
    (
        "a press with a number of 5,000 digits",
        "POST",
        "/studio/press",
        b'{"page": "a", "region": "data-body", "said": {"act": "page", "value": ' + b"9" * 5_000 + b"}}",
        JSON,
    ),
    ("a press that is not UTF-8", "POST", "/studio/press", b'{"page": "\xff\xfe"}', JSON),
    ("a press without a body", "POST", "/studio/press", b"", JSON),
    ("a press as a form", "POST", "/studio/press", b"page=a", FORM),
    ("a ticket that is a number", "POST", "/studio/ticket", b"7", JSON),
    ("a ticket whose run is a list", "POST", "/studio/ticket", b'{"run": [], "format": {}}', JSON),
    ("a chunked body of 6 MB", "POST", "/gradio_api/queue/join", CHUNKS, {**JSON, "transfer_encoding": "chunked"}),
    ("a chunked press of 6 MB", "POST", "/studio/press", CHUNKS, {**JSON, "transfer_encoding": "chunked"}),
    ("a chunked ticket of 6 MB", "POST", "/studio/ticket", CHUNKS, {**JSON, "transfer_encoding": "chunked"}),
    ("a login as JSON", "POST", "/login", b"{}", JSON),
    (
        "a login with a broken boundary",
        "POST",
        "/login",
        b"--x\r\nbroken",
        {"content_type": "multipart/form-data; boundary=x"},
    ),
    ("a login without a boundary", "POST", "/login", b"x", {"content_type": "multipart/form-data"}),
    ("a login of 5,000 fields", "POST", "/login", b"&".join(b"a%d=1" % n for n in range(5_000)), FORM),
    (
        "a login with a file",
        "POST",
        "/login",
        b'--x\r\nContent-Disposition: form-data; name="password"; filename="a"\r\n\r\nx\r\n--x--\r\n',
        {"content_type": "multipart/form-data; boundary=x"},
    ),
    ("a login of 3 MB", "POST", "/login", b"password=" + b"x" * 3_000_000, FORM),
    (
        "a login in an unknown encoding",
        "POST",
        "/login",
        b"password=x",
        {"content_type": "application/x-www-form-urlencoded; charset=nonsense"},
    ),
    (
        "a login with a multipart header of 1 MB",
        "POST",
        "/login",
        b'--x\r\nContent-Disposition: form-data; name="' + b"a" * 1_000_000 + b'"\r\n\r\nx\r\n--x--\r\n',
        {"content_type": "multipart/form-data; boundary=x"},
    ),
    ("news of a run after a text", "GET", "/studio/run/last?after=abc", None, {}),
    ("news of a run after 10**40", "GET", "/studio/run/last?after=" + "9" * 40, None, {}),
    ("news of a run with a name of 5,000 letters", "GET", "/studio/run/" + "a" * 5_000, None, {}),
    ("news of a run named by zero bytes", "GET", "/studio/run/%00%00", None, {}),
    ("labels of an unknown kind", "GET", "/studio/labels/x.exe", None, {}),
    ("a report of an unknown kind", "GET", "/studio/run/last/report.exe", None, {}),
    ("a cancel that is a list", "POST", "/gradio_api/cancel", b"[]", JSON),
    (
        "a cancel of nothing",
        "POST",
        "/gradio_api/cancel",
        b'{"session_hash": "x", "fn_index": 1, "event_id": "x"}',
        JSON,
    ),
    ("a reset of nothing", "POST", "/gradio_api/reset", b'{"event_id": "x"}', JSON),
    ("a heartbeat with strange letters", "GET", "/gradio_api/heartbeat/%ff%fe", None, {}),
    ("a length that is no number", "POST", "/studio/press", b"{}", {**JSON, "content_length": "abc"}),
    ("a length below zero", "POST", "/studio/press", b"{}", {**JSON, "content_length": "-5"}),
    ("a method of its own", "EVIL", "/studio/bar", None, {}),
    ("an upload whose name is half a character", "PUT", "/studio/upload", b"a,b\n", {"x_file_name": "%ED%A0%80.csv"}),
    ("an address that is not UTF-8", "GET", "/studio/%ff%fe%80", None, {}),
    ("an address of 60,000 letters", "GET", "/" + "a" * 60_000, None, {}),
    ("a header of 70,000 letters", "GET", "/studio/bar", None, {"x_long": "a" * 70_000}),
]

MODES = [("demo", each) for each in REQUESTS] + [("password", each) for each in REQUESTS if each[2] == "/login"]


@attack("S11", "{0}", [(f"{each[0]} ({mode})", mode, *each[1:]) for mode, each in MODES])
def malformed(stage: Stage, payload: tuple[str, str, str, str, bytes | None, dict[str, str]]) -> Seen:
    _, mode, method, path, body, headers = payload
    served = stage.demo if mode == "demo" else stage.locked
    who = Visitor(served, stage.anna.secret if mode == "demo" else "")
    who.patience = 15
    with logged(served) as written:
        if path.startswith("/gradio_api/queue/data") or "heartbeat" in path:
            who.patience = 3
        _, answer = timed(lambda: who.ask(method, path, body, **headers))
        time.sleep(0.15)
        log = written()
    status = getattr(answer, "status", 0)
    lines = len([line for line in log.splitlines() if line.strip()])
    bad = "Traceback" in log or lines > 2 or status >= 500
    return seen(bad, f"status {status or answer!r}; {lines} lines of log: {log[-200:]!r}")


RAW: list[tuple[str, bytes]] = [
    ("bytes that are no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200),
    ("a request line alone", b"GET\r\n\r\n"),
    ("HTTP/9.9", b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n"),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n"),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n"),
    (
        "a length and chunks",
        b"POST /studio/press HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /studio/bar HTTP/1.1\r\n\r\n",
    ),
    (
        "two lengths",
        b"POST /studio/press HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nContent-Length: 50\r\n\r\nabcd",
    ),
    (
        "a chunk of a negative size",
        b"POST /studio/press HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n",
    ),
    ("a header with a zero byte", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\0b\r\n\r\n"),
    ("a header folded over lines", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n b\r\n\r\n"),
    (
        "an upgrade to a websocket",
        b"GET /studio/bar HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ),
    (
        "an upgrade to h2c",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    ),
    ("CONNECT", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n"),
    (
        "an absolute address of another host",
        b"GET http://evil.example/studio/bar HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ),
]


@attack("S11", "Sent over the line: {0}", RAW)
def raw(stage: Stage, payload: tuple[str, bytes]) -> Seen:
    served = stage.demo
    with logged(served) as written:
        answer = spoken(served, payload[1])
        time.sleep(0.15)
        log = written()
    lines = len([line for line in log.splitlines() if line.strip()])
    status = int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else 0
    two = answer.count(b"HTTP/1.1 ") > 1 and b'"bar"' in answer
    return seen(
        "Traceback" in log or lines > 2 or status >= 500 or status == 101 or two,
        f"{answer[:80]!r}; log: {log[-200:]!r}",
    )


def spoken(served: Served, content: bytes, seconds: float = 2) -> bytes:
    """What a server answers to bytes."""
    heard = b""
    with socket.create_connection(("127.0.0.1", served.port), seconds) as line:
        try:
            line.sendall(content)
            while piece := line.recv(65_536):
                heard += piece
                if len(heard) > 500_000:
                    break
        except OSError:
            pass
    return heard


@attack("S11", "1,000 malformed requests fill the log", quick=True)
def fills_the_log(stage: Stage) -> Seen:
    who = Visitor(stage.demo, stage.anna.secret)
    who.patience = 5
    with logged(stage.demo) as written:
        for number in range(250):
            who.post("/gradio_api/queue/join", {"data": [], "fn_index": 99999 + number, "session_hash": f"x{number}"})
            who.ask("POST", "/gradio_api/queue/join", b"{", **JSON)
            who.ask("POST", "/studio/press", b'{"page":"a","region":"data-body","said":{"act":"\\ud800"}}', **JSON)
            who.post("/studio/ticket", json.loads("[]"))
        log = written()
    return seen(len(log) > 50_000 or "Traceback" in log, f"{len(log):,} bytes of log; {log[-300:]!r}")
