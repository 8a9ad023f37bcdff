"""The served studio under malformed requests, strangers' actions, proxies, few descriptors and signals."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from studio.ui.http.security import CALL
from studio.ui.visitors.passwords import hash_password
from tests.browser.served import Served
from tests.real.asking import Answer, Asking, component_of, config_of

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
CLOSED = ("/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset", "/studio/press")
"""Addresses of the event queue, which a demo does not have, and of key presses, which nobody has."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("front") / "home")
    yield served
    served.stop()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("front-demo") / "home", "--demo")
    yield served
    served.stop()


def visitor(served: Served) -> Asking:
    return Asking(served, Asking(served).post("/studio/workspace").json["secret"])


# --- malformed requests ---


def call(**changes: Any) -> str:
    return json.dumps({"component_id": 0, "fn_name": "act", "session_hash": "abc", "data": {}} | changes)


BODIES: list[tuple[str, str | bytes]] = [
    (JSON, ""),
    (JSON, "{"),
    (JSON, "[]"),
    (JSON, "1"),
    (JSON, "null"),
    (JSON, "{}"),
    (JSON, b"\xff\xfe{"),
    (JSON, "[" * 100_000),
    (JSON, '{"data":' * 50_000),
    (JSON, "[" * 900 + "]" * 900),
    (JSON, '{"component_id": 1, "fn_name": "act", "session_hash": "abc", "data": ' + "[" * 200 + "]" * 200 + "}"),
    *((JSON, call(component_id=each)) for each in ("1", -1, 10**30, True, None, 1.5, [], {}, 99_999)),
    *((JSON, call(fn_name=each)) for each in (None, "", 1, "\ud800", "a" * 500, "../x", ["act"], "postprocess")),
    (JSON, call(data=float("nan"))),
    ("text/plain", call()),
    (FORM, "a=b"),
    ("", call()),
    ("multipart/form-data", b"x"),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="fn_name"\r\n\r\nact\r\n--x--\r\n',
    ),
    ("\xff", call()),
]


def lines_of(served: Served) -> list[str]:
    return served.log.read_text().splitlines()


def refused(served: Served, answer: Answer, before: int) -> None:
    """A sentence of its own, and no more than a line in the log."""
    assert 400 <= answer.status < 500, (answer.status, answer.text)
    assert 10 < len(answer.text) < 3000 and "Traceback" not in answer.text
    assert "Traceback" not in served.log.read_text() and len(lines_of(served)) <= before + 1


@pytest.mark.parametrize("path", [CALL, f"{CALL}/", *CLOSED])
def test_a_malformed_body_is_refused_in_a_sentence(demo: Served, path: str) -> None:
    who, before = visitor(demo), len(lines_of(demo))
    for kind, body in BODIES:
        answer = who.ask("POST", path, body, **({"content_type": kind} if kind else {}))
        refused(demo, answer, before)
        assert path.startswith(CALL) or answer.status == 404 or path == "/studio/press"
    assert "model-body" in who.do("model-body", "draw"), "the page works"


@pytest.mark.parametrize(
    "event",
    [
        "text",
        5,
        True,
        [],
        [[1]],
        {"act": None},
        {"act": {"a": "b"}},
        {"act": "\ud800"},
        {"": ""},
        {"act": "look", "x": [1]},
        {"act": "view", "value": {"a": 1}},
        {"act": "file", "ticket": "\ud83d"},
    ],
)
def test_an_odd_event_is_answered_without_a_traceback(alone: Served, event: Any) -> None:
    who, before = Asking(alone), len(lines_of(alone))
    for region in ("model-body", "data-body", "runs-body"):
        answer = who.call({"page": who.page, "region": region, "said": event})
        assert answer.status == 200 and "regions" in answer.json and "Something went wrong" not in answer.text
    assert "Traceback" not in alone.log.read_text() and len(lines_of(alone)) <= before + 1


def test_what_the_page_itself_sends_passes(alone: Served) -> None:
    who = Asking(alone)
    answer = who.act("page", "load", run="").json
    assert "model-body" in answer["regions"] and answer["beat"]["tab"] == "model"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/queue/data?session_hash=unknown",
        "/gradio_api/queue/data",
        "/gradio_api/queue/data?session_hash=page",
        "/gradio_api/queue/data?" + "a=1&" * 200,
        "/gradio_api/queue/status",
        "/gradio_api/heartbeat/",
        "/gradio_api/heartbeat/a",
        "/gradio_api/heartbeat/%ff",
        *CLOSED,
    ],
)
def test_a_demo_has_no_event_queue(demo: Served, path: str) -> None:
    before = len(lines_of(demo))
    for answer in (Asking(demo).get(path), Asking(demo).post(path, {"session_hash": "page"})):
        refused(demo, answer, before)
        assert answer.status == 404


def test_the_server_function_takes_no_other_method(alone: Served) -> None:
    before = len(lines_of(alone))
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "EVIL"):
        for path in (CALL, f"{CALL}/"):
            refused(alone, Asking(alone).ask(method, path, call(), content_type=JSON), before)


@pytest.mark.parametrize("path", ["/login", "/logout", CALL, "/studio/ticket", "/studio/run/last/chat"])
def test_an_odd_form_or_body_leaves_no_traceback(alone: Served, path: str) -> None:
    who, before = Asking(alone), len(lines_of(alone))
    for kind, body in (
        ("multipart/form-data", b"--x\r\nbroken"),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        (FORM, b"username=%ff&password=%zz"),
        (JSON, b"[" * 50_000),
        (JSON, b"\xff"),
        (JSON, '{"page": "\\ud800"}'),
        (JSON, '{"a":' * 80 + "1" + "}" * 80),
        (FORM, b"password=" + b"x" * 1_000_000),
    ):
        refused(alone, who.ask("POST", path, body, content_type=kind), before)


def test_a_chunked_body_that_is_too_long_is_refused(alone: Served) -> None:
    before = len(lines_of(alone))
    pieces = (b"%x\r\n%s\r\n" % (500_000, b" " * 500_000)) * 10 + b"0\r\n\r\n"
    for path in (CALL, "/studio/ticket", "/login"):
        told = Asking(alone).ask("POST", path, pieces, transfer_encoding="chunked", content_type=JSON)
        assert told.status in (404, 413)
    assert "Traceback" not in alone.log.read_text() and len(lines_of(alone)) <= before + 1


# --- actions of strangers ---


def test_a_page_is_answered_for_its_visitor_alone(demo: Served) -> None:
    anna, ben = visitor(demo), visitor(demo)
    anna.do("model-body", "sample", name="support-tone")
    anna.do("method-body", "name", value="a-name-of-anna")
    assert "a-name-of-anna" in anna.do("method-body", "draw")
    own = {"page": anna.page, "region": "method-body", "said": {"act": "draw"}}
    for outsider in (ben, Asking(demo), Asking(demo, "0" * 48)):
        assert "a-name-of-anna" not in outsider.call(own).text
    for secret in ([anna.secret], anna.secret[:-1], 7, None, {"secret": anna.secret}):
        told = Asking(demo).call({**own, "secret": secret}, x_studio_workspace=anna.secret)
        assert told.status == 200 and "lost its workspace" in told.text


def test_a_visitor_with_many_pages_forgets_own_pages_alone(demo: Served) -> None:
    anna, ben = visitor(demo), visitor(demo)
    anna.do("tab-runs", "open")
    for number in range(60):
        ben.page = f"page{number}"
        assert "runs-body" in ben.do("tab-runs", "open")
    assert anna.act("model-body", "look").json["beat"]["tab"] == "runs"


def test_nobody_acts_without_a_login_and_logout_ends_it(tmp_path: Path) -> None:
    (tmp_path / "hashes").write_text(f"owner {hash_password('one')}\nmember {hash_password('two')}\n")
    served = Served(tmp_path / "home", environment={"STUDIO_PASSWORD_FILE": str(tmp_path / "hashes")})
    try:
        cookies = []
        for password in ("one", "two"):
            told = Asking(served).ask("POST", "/login", f"password={password}", content_type=FORM)
            assert told.status == 303
            cookies.append(told.headers["set-cookie"].split(";")[0])
        who = Asking(served)
        who.component = component_of(config_of(who.get("/", cookie=cookies[0]).text))
        token = {"page": "mine", "region": "model-body", "said": {"act": "token", "token": "hf_evil"}}
        assert who.call(token).status == 401
        assert who.call(token, cookie="studio-session=x").status == 401
        member = who.call({**token, "role": "owner"}, cookie=cookies[1], x_studio_role="owner")
        assert member.status == 200 and not (served.home / "hub-token").exists(), "only the owner saves a token"
        assert "model-body" in who.call({**token, "said": {"act": "draw"}}, cookie=cookies[1]).text
        left = Asking(served).ask("POST", "/logout", b"", cookie=cookies[0], origin=served.url)
        assert left.status == 303
        assert who.call(token, cookie=cookies[0]).status == 401
        assert Asking(served).get("/studio/bar", cookie=cookies[0]).status == 401
        assert Asking(served).get("/studio/bar", cookie=cookies[1]).status == 200
    finally:
        served.stop()


# --- proxies ---


def root_of(answer: Answer) -> str:
    found = re.search(r'"root":\s*"([^"]*)"', answer.text)
    assert found
    return found[1]


def test_no_header_of_a_stranger_changes_the_root_of_the_page(alone: Served) -> None:
    own = root_of(Asking(alone).get("/"))
    for name, value in (
        ("x_forwarded_host", "evil.example"),
        ("x_gradio_server", "http://evil.example"),
        ("x_forwarded_proto", "https"),
        ("forwarded", "host=evil.example"),
        ("x_forwarded_prefix", "/evil"),
    ):
        told = Asking(alone).get("/", **{name: value})
        assert root_of(told) == own and "evil" not in told.text
        assert "strict-transport-security" not in told.headers


def test_a_trusted_proxy_sets_host_and_scheme(tmp_path: Path) -> None:
    served = Served(tmp_path / "home", "--trusted-proxy", "127.0.0.1", "--allow-host", "studio.example")
    try:
        who, reported = Asking(served), {"x_forwarded_proto": "https", "x_forwarded_host": "studio.example"}
        told = who.get("/", **reported)
        assert root_of(told) == "https://studio.example" and told.headers["strict-transport-security"]
        assert root_of(who.get("/", **{**reported, "x_forwarded_host": "evil.example"})).startswith(
            "https://127.0.0.1:"
        )
        assert who.post("/studio/workspace", origin="https://studio.example", **reported).status == 200
        assert who.post("/studio/workspace", origin="http://studio.example", **reported).status == 403
        assert root_of(who.get("/", x_gradio_server="http://evil.example")) == served.url
    finally:
        served.stop()


# --- secrets, descriptors, signals ---


SHOWN = """
import json, os, subprocess, sys
from studio.ui.http import server

def run(*_):
    program = "import json, os; print(json.dumps({**os.environ}))"
    print(subprocess.check_output([sys.executable, "-c", program], text=True))

server._run = run
server.serve(server.ServeOptions(sys.argv[1], port=0, demo=sys.argv[2] == "demo", open_browser=False))
"""


@pytest.mark.parametrize("mode", ["demo", "alone"])
def test_what_a_server_starts_inherits_no_password_and_in_a_demo_no_secret(mode: str, tmp_path: Path) -> None:
    secrets = {"HF_TOKEN": "hf_private", "OPENAI_API_KEY": "private", "AWS_SECRET_ACCESS_KEY": "private"}
    done = subprocess.run(
        [sys.executable, "-c", SHOWN, str(tmp_path / "home"), mode],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **secrets, "STUDIO_PASSWORD": "pass word"},
        check=True,
    )
    inherited = json.loads(done.stdout.splitlines()[1])
    assert "STUDIO_PASSWORD" not in inherited and "pass word" not in done.stdout
    assert bool(inherited.keys() & secrets) == (mode == "alone"), "the owner's own studio keeps the token"
    assert inherited.get("HF_HUB_DISABLE_IMPLICIT_TOKEN") == ("1" if mode == "demo" else None)


def test_few_descriptors_are_enough_for_many_strangers(tmp_path: Path) -> None:
    """Issue 13, S2: 58 requests used up 256 descriptors, and the log grew to 7.5 MB."""
    command = ["-m", "studio", "serve", "--home", str(tmp_path / "home"), "--port", "0", "--no-browser", "--demo"]
    log = tmp_path / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            ["bash", "-c", 'ulimit -n 256; exec "$@"', "bash", sys.executable, *command],
            stdout=file,
            stderr=file,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
    try:
        served: Any = SimpleNamespace(port=_port_of(log, server))
        with ExitStack() as lines:
            for _ in range(100):  # half-sent requests beside them
                line = lines.enter_context(socket.create_connection(("127.0.0.1", served.port)))
                line.sendall(b"GET / HTTP/1.1\r\n")
            for _ in range(100):
                told = Asking(served).post("/studio/workspace")
                if told.status == 200:
                    assert Asking(served, told.json["secret"]).get("/studio/bar").status < 500
            assert Asking(served).get("/").status == 200
            assert len(os.listdir(f"/proc/{server.pid}/fd")) < 220
        assert "Traceback" not in log.read_text() and log.stat().st_size < 100_000
    finally:
        server.terminate()
        server.wait(20)


def _port_of(log: Path, server: subprocess.Popen[bytes]) -> int:
    """The port that a server wrote, once it answers."""
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:([0-9]+)", log.read_text())
        with suppress(OSError):
            if found and Asking(SimpleNamespace(port=int(found[1]))).get("/theme.css").status:  # type: ignore[arg-type]
                return int(found[1])
        time.sleep(0.1)
    raise RuntimeError(log.read_text())


def test_a_signal_ends_the_server_cleanly_and_leaves_no_folder(tmp_path: Path) -> None:
    """SIGTERM. tests/real/test_server.py presses Ctrl-C, in a process that is not forked."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    served = Served(tmp_path / "home", environment={"TMPDIR": str(folder)})
    try:
        assert [each.name for each in folder.iterdir() if each.name.startswith("studio-")], "it runs in its folder"
        assert Asking(served).get("/").status == 200
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(20) == 0
    finally:
        served.stop()
    assert not [each.name for each in folder.iterdir() if each.name.startswith("studio-")]
    assert "Traceback" not in served.log.read_text()
