"""S11: malformed requests: each is answered with 4xx and one line of the log at most."""

import json
import socket
import time
from pathlib import Path

from studio.ui.http.security import CALL
from tests.browser.served import Served
from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import FORM, Stage, Visitor, logged, time_call

JSON = {"content_type": "application/json"}
DEEP = b"[" * 100_000 + b"]" * 100_000
CHUNKS = (b"%x\r\n%s\r\n" % (1_000_000, b" " * 1_000_000)) * 6 + b"0\r\n\r\n"


def call(
    data: bytes = b"{}", component: bytes = b"COMPONENT", name: bytes = b'"act"', session: bytes = b'"x"'
) -> bytes:
    """The body of a call of the server function; `COMPONENT` becomes the number of its component."""
    parts = (b'"component_id": ' + component, b'"fn_name": ' + name, b'"session_hash": ' + session, b'"data": ' + data)
    return b"{" + b", ".join(parts) + b"}"


def action(said: bytes = b'{"act": "draw"}', page: bytes = b'"a"', region: bytes = b'"data-body"') -> bytes:
    """The body of a call with an action of the visitor."""
    return call(b'{"secret": "SECRET", "page": ' + page + b', "region": ' + region + b', "said": ' + said + b"}")


MULTIPART = {"content_type": "multipart/form-data; boundary=x"}


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


FILES = (
    part("component_id", b"COMPONENT")
    + part("fn_name", b"act")
    + part("session_hash", b"x")
    + part("file", b"evil" * 1000, '; filename="../../evil.csv"')
    + b"--x--\r\n"
)
"""A call with a file, as Gradio's own components send it."""

CALLS: list[tuple[str, bytes, dict[str, str]]] = [
    ("of component 99999", call(component=b"99999"), JSON),
    ("of component 0", call(component=b"0"), JSON),
    ("of component 1", call(component=b"1"), JSON),
    ("of component -1", call(component=b"-1"), JSON),
    ("of component true", call(component=b"true"), JSON),
    ("of component null", call(component=b"null"), JSON),
    ("of a component that is a text", call(component=b'"COMPONENT"'), JSON),
    ("of a component that is a fraction", call(component=b"COMPONENT.0"), JSON),
    ("of a component that is a list", call(component=b"[COMPONENT]"), JSON),
    ("of component 10**4000", call(component=b"1" + b"0" * 4000), JSON),
    ("of component 10**5000", call(component=b"1" + b"0" * 5000), JSON),
    ("without a component", b'{"data": []}', JSON),
    *(
        (f"of the function {name[:30].decode()}", call(name=name), JSON)
        for name in (b'"ACT"', b'""', b'"__init__"', b'"postprocess"', b'"process_example"', b"null", b"1", b'["act"]')
    ),
    *(
        (f"with the session {name[:30].decode()}", call(session=name), JSON)
        for name in (b"null", b'""', b"1", b"[]", b'"' + b"a" * 100_000 + b'"', b'"\\ud800"', b'"../x"')
    ),
    ("whose data is a number", call(b"7"), JSON),
    ("whose data is a list", call(b"[]"), JSON),
    ("whose data is a text", call(b'"x"'), JSON),
    ("whose data is null", call(b"null"), JSON),
    ("whose data is a text of 3.9 MB", call(b'"' + b"x" * 3_900_000 + b'"'), JSON),
    ("whose data is a list of a million numbers", call(b"[" + b"1," * 1_000_000 + b"1]"), JSON),
    ("whose data is longer than 4 MB", call(b'"' + b"x" * 4_100_000 + b'"'), JSON),
    ("that is null", b"null", JSON),
    ("that is a list", b"[]", JSON),
    ("that is no JSON", b"{", JSON),
    ("of deep JSON", DEEP, JSON),
    ("of deep JSON within its data", call(DEEP), JSON),
    ("of deep JSON within an action", action(b'{"act":' + b"[" * 50_000 + b"]" * 50_000 + b"}"), JSON),
    ("of an action 60 levels deep", action(b'{"act": "draw", "value": ' + b"[" * 55 + b"]" * 55 + b"}"), JSON),
    ("without a page", call(b'{"secret": "SECRET", "region": "data-body", "said": {}}'), JSON),
    ("of an unknown region", action(region=b'"x"'), JSON),
    ("of a region that is a list", action(region=b'["data-body"]'), JSON),
    ("of a region of 1 MB", action(region=b'"' + b"x" * 1_000_000 + b'"'), JSON),
    ("of a page of 1 MB", action(page=b'"' + b"x" * 1_000_000 + b'"'), JSON),
    ("with NaN", action(b'{"act": NaN}'), JSON),
    ("with a number beyond all", action(b'{"act": "draw", "value": 1e999}'), JSON),
    ("with half a character", action(b'{"act": "\\ud800"}'), JSON),
    ("with half a character in a list", action(b'{"act": "draw", "value": ["\\udfff"], "\\ud800": 1}'), JSON),
    ("with a number of 5,000 digits", action(b'{"act": "page", "value": ' + b"9" * 5_000 + b"}"), JSON),
    ("with 10,000 fields", action(b"{" + b",".join(b'"f%d": 1' % n for n in range(10_000)) + b"}"), JSON),
    ("with one field 10,000 times", action(b"{" + b",".join(b'"act": "draw"' for _ in range(10_000)) + b"}"), JSON),
    ("that is not UTF-8", b'{"page": "\xff\xfe"}', JSON),
    ("in UTF-16", call().decode().encode("utf-16"), JSON),
    ("without a body", b"", JSON),
    ("as a form", b"page=a", FORM),
    ("as a text", action(), {"content_type": "text/plain"}),
    ("without a content type", action(), {}),
    ("with a file", FILES, MULTIPART),
    ("with a file that is called JSON", FILES, JSON),
    ("with a file of 3 MB", FILES.replace(b"evil" * 1000, b"x" * 3_000_000), MULTIPART),
    ("with 5,000 files", part("f", b"x", '; filename="a"') * 5_000 + FILES, MULTIPART),
    ("with a broken boundary", b"--x\r\nbroken", MULTIPART),
    ("without a boundary", FILES, {"content_type": "multipart/form-data"}),
    ("of 6 MB in chunks", CHUNKS, {**JSON, "transfer_encoding": "chunked"}),
    ("with a length that is no number", b"{}", {**JSON, "content_length": "abc"}),
    ("with a length below zero", b"{}", {**JSON, "content_length": "-5"}),
]
"""What is sent to the server function."""


@attack("S11", "A call {0}", CALLS, quick=2)
def malformed_call(stage: Stage, payload: tuple[str, bytes, dict[str, str]]) -> Outcome:
    """It is refused, or answered with a sentence on the page; nothing of it stays on the disk."""
    _, body, headers = payload
    who = Visitor(stage.demo, stage.anna.secret)
    component = str(who.component).encode()
    body = body.replace(b"COMPONENT", component).replace(b"SECRET", who.secret.encode())
    temporary = Path(stage.demo.environment["TMPDIR"])
    who.patience = 30
    with logged(stage.demo) as written:
        _, answer = time_call(lambda: who.ask("POST", CALL + "/", body, **headers))
        time.sleep(0.15)
        log = written()
    status, text = getattr(answer, "status", 0), getattr(answer, "body", b"").decode(errors="replace")
    lines = len([line for line in log.splitlines() if line.strip()])
    left = [str(path) for path in temporary.rglob("*") if path.is_file() and b"evilevil" in path.read_bytes()[:100]]
    wrong = status not in (200, 400, 413, 415, 422) or "Something went wrong" in text or "Traceback" in text + log
    return outcome(
        wrong or lines > 2 or bool(left), f"status {status or answer!r}; {lines} lines of log: {log[-200:]!r}"
    )


@attack(
    "S11", "The server function is called by {0}", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "EVIL"]
)
def other_methods(stage: Stage, method: str) -> Outcome:
    who = Visitor(stage.demo, stage.anna.secret)
    body = json.dumps(who.body({"page": "a", "region": "data-body", "said": {"act": "draw"}}))
    answers = [who.ask(method, path, body, **JSON) for path in (CALL, CALL + "/")]
    return outcome(any(each.status not in (404, 405, 501) for each in answers), str([each.status for each in answers]))


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
    ("a join that is null", "POST", "/gradio_api/queue/join", b"null", JSON),
    ("a join of deep JSON", "POST", "/gradio_api/queue/join", DEEP, JSON),
    ("a press of deep JSON", "POST", "/studio/press", DEEP, JSON),
    ("a ticket of deep JSON", "POST", "/studio/ticket", DEEP, JSON),
    ("a chat of deep JSON", "POST", "/studio/run/last/chat", DEEP, JSON),
    ("a ticket that is a number", "POST", "/studio/ticket", b"7", JSON),
    ("a ticket with NaN", "POST", "/studio/ticket", b'{"run": NaN, "format": "adapter"}', JSON),
    ("a ticket with half a character", "POST", "/studio/ticket", b'{"run": "\\ud800", "format": "adapter"}', JSON),
    ("a ticket whose run is a list", "POST", "/studio/ticket", b'{"run": [], "format": {}}', JSON),
    ("a chunked body of 6 MB", "POST", "/gradio_api/queue/join", CHUNKS, {**JSON, "transfer_encoding": "chunked"}),
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
    ("a length that is no number", "POST", "/studio/ticket", b"{}", {**JSON, "content_length": "abc"}),
    ("a length below zero", "POST", "/studio/ticket", b"{}", {**JSON, "content_length": "-5"}),
    ("a method of its own", "EVIL", "/studio/bar", None, {}),
    ("an upload whose name is half a character", "PUT", "/studio/upload", b"a,b\n", {"x_file_name": "%ED%A0%80.csv"}),
    ("an address that is not UTF-8", "GET", "/studio/%ff%fe%80", None, {}),
    ("an address of 60,000 letters", "GET", "/" + "a" * 60_000, None, {}),
    ("a header of 70,000 letters", "GET", "/studio/bar", None, {"x_long": "a" * 70_000}),
]

MODES = [("demo", each) for each in REQUESTS] + [("password", each) for each in REQUESTS if each[2] == "/login"]


@attack("S11", "{0}", [(f"{each[0]} ({mode})", mode, *each[1:]) for mode, each in MODES])
def malformed(stage: Stage, payload: tuple[str, str, str, str, bytes | None, dict[str, str]]) -> Outcome:
    _, mode, method, path, body, headers = payload
    served = stage.demo if mode == "demo" else stage.locked
    who = Visitor(served, stage.anna.secret if mode == "demo" else "")
    who.patience = 15
    with logged(served) as written:
        _, answer = time_call(lambda: who.ask(method, path, body, **headers))
        time.sleep(0.15)
        log = written()
    status = getattr(answer, "status", 0)
    lines = len([line for line in log.splitlines() if line.strip()])
    is_closed = "press" in path or path.startswith(("/gradio_api/queue", "/gradio_api/cancel", "/gradio_api/heartbeat"))
    bad = "Traceback" in log or lines > 2 or status >= 500 or (is_closed and status not in (400, 404, 413))
    return outcome(bad, f"status {status or answer!r}; {lines} lines of log: {log[-200:]!r}")


POST_CALL = b"POST /gradio_api/component_server/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
RAW: list[tuple[str, bytes]] = [
    ("bytes that are no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200),
    ("a request line alone", b"GET\r\n\r\n"),
    ("HTTP/9.9", b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n"),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n"),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n"),
    (
        "a length and chunks",
        POST_CALL + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /studio/bar HTTP/1.1\r\n\r\n",
    ),
    (
        "two lengths",
        POST_CALL + b"Content-Length: 4\r\nContent-Length: 50\r\n\r\nabcd",
    ),
    (
        "a chunk of a negative size",
        POST_CALL + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n",
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
def raw(stage: Stage, payload: tuple[str, bytes]) -> Outcome:
    served = stage.demo
    with logged(served) as written:
        answer = send_raw(served, payload[1])
        time.sleep(0.15)
        log = written()
    lines = len([line for line in log.splitlines() if line.strip()])
    status = int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else 0
    two = answer.count(b"HTTP/1.1 ") > 1 and b'"bar"' in answer
    return outcome(
        "Traceback" in log or lines > 2 or status >= 500 or status == 101 or two,
        f"{answer[:80]!r}; log: {log[-200:]!r}",
    )


def send_raw(served: Served, content: bytes, seconds: float = 2) -> bytes:
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
def fills_the_log(stage: Stage) -> Outcome:
    who = Visitor(stage.demo, stage.anna.secret)
    who.patience = 5
    with logged(stage.demo) as written:
        for number in range(250):
            who.post(CALL, who.body({}, component_id=99999 + number, session_hash=f"x{number}"))
            who.ask("POST", CALL, b"{", **JSON)
            who.call({"page": "a", "region": "data-body", "said": {"act": "\ud800"}})
            who.post("/gradio_api/queue/join", {"data": [], "fn_index": number, "session_hash": f"x{number}"})
            who.post("/studio/ticket", json.loads("[]"))
        log = written()
    return outcome(len(log) > 50_000 or "Traceback" in log, f"{len(log):,} bytes of log; {log[-300:]!r}")
