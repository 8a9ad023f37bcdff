"""The served studio under malformed requests, foreign event streams, proxies, few descriptors and signals."""

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

from studio.ui.passwords import hash_password
from tests.browser.served import Served
from tests.real.asking import Answer, Asking

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
JOIN, DATA = "/gradio_api/queue/join", "/gradio_api/queue/data"


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


def joined(**changes: Any) -> str:
    return json.dumps({"data": [], "fn_index": 0, "session_hash": "abc", "event_data": None} | changes)


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
    (JSON, '{"data": [], "fn_index": 0, "session_hash": "abc", "event_data": ' + "[" * 200 + "]" * 200 + "}"),
    *((JSON, joined(fn_index=each)) for each in ("1", -1, 10**30, True, None, 1.5, [], {}, 99_999)),
    *((JSON, joined(session_hash=each)) for each in (None, "", 1, "\ud800", "a" * 500, "../x", ["a"], "a b")),
    *((JSON, joined(data=each)) for each in (None, "x", {}, [1] * 50)),
    *((JSON, joined(trigger_id=each)) for each in ("x", -5, 10**9, True, [])),
    ("text/plain", joined()),
    (FORM, "a=b"),
    ("", joined()),
    ("multipart/form-data", b"x"),
    ("\xff", joined()),
]


def lines_of(served: Served) -> list[str]:
    return served.log.read_text().splitlines()


def refused(served: Served, answer: Answer, before: int) -> None:
    """A sentence of its own, and no more than a line in the log."""
    assert 400 <= answer.status < 500, (answer.status, answer.text)
    assert 10 < len(answer.text) < 3000 and "Traceback" not in answer.text
    assert "Traceback" not in served.log.read_text() and len(lines_of(served)) <= before + 1


@pytest.mark.parametrize("path", [JOIN, "/gradio_api/cancel", "/gradio_api/reset"])
def test_a_malformed_body_is_refused_in_a_sentence(alone: Served, path: str) -> None:
    who, before = Asking(alone), len(lines_of(alone))
    for kind, body in BODIES:
        if "reset" not in path or kind != JSON or len(body) < 10:
            refused(alone, who.ask("POST", path, body, **({"content_type": kind} if kind else {})), before)
    assert who.do("model-body", "look"), "the page works"


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
        assert "process_completed" in who.call(who.handler(region), event)
    assert "Traceback" not in alone.log.read_text() and len(lines_of(alone)) <= before + 1


def test_what_the_page_itself_sends_passes(alone: Served) -> None:
    who = Asking(alone)
    load = next(each for each in who.config["dependencies"] if each["targets"][0][1] == "load")
    asked = {"data": [], "event_data": None, "fn_index": load["id"], "trigger_id": load["targets"][0][0]}
    assert who.post(JOIN, {**asked, "session_hash": who.page}).status == 200
    assert "process_completed" in who.get(f"{DATA}?session_hash={who.page}").text


@pytest.mark.parametrize(
    "path",
    [
        f"{DATA}?session_hash=unknown",
        DATA,
        f"{DATA}?session_hash=",
        f"{DATA}?session_hash=a&session_hash=b",
        f"{DATA}?session_hash=%ff%fe",
        f"{DATA}?session_hash=%zz",
        f"{DATA}?session_hash=a%0d%0ab",
        f"{DATA}?" + "a=1&" * 200,
        "/gradio_api/heartbeat/",
        "/gradio_api/heartbeat/a/b",
        "/gradio_api/heartbeat/%ff",
        "/gradio_api/heartbeat/" + "a" * 100,
    ],
)
def test_a_stream_that_does_not_exist_is_refused(alone: Served, path: str) -> None:
    before = len(lines_of(alone))
    refused(alone, Asking(alone).get(path), before)


@pytest.mark.parametrize("path", ["/login", "/logout", "/studio/press", "/studio/ticket", "/studio/run/last/chat"])
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
    for path in (JOIN, "/studio/ticket", "/login"):
        told = Asking(alone).ask("POST", path, pieces, transfer_encoding="chunked", content_type=JSON)
        assert told.status in (404, 413)
    assert "Traceback" not in alone.log.read_text() and len(lines_of(alone)) <= before + 1


# --- event streams ---


def begun(who: Asking) -> dict[str, Any]:
    """An action of a page whose answer was not fetched."""
    asked = {"data": [], "event_data": {"act": "look"}, "fn_index": who.handler("data-body"), "session_hash": who.page}
    told: dict[str, Any] = who.post(JOIN, asked).json
    return told


def test_the_answers_of_a_page_are_for_its_visitor_alone(demo: Served) -> None:
    anna, ben = visitor(demo), visitor(demo)
    event = begun(anna)["event_id"]
    for outsider in (ben, Asking(demo), Asking(demo, "0" * 48)):
        told = outsider.get(f"{DATA}?session_hash={anna.page}")
        assert told.status in (403, 404) and "event_id" not in told.text
        asked = {"session_hash": anna.page, "fn_index": anna.handler("data-body"), "event_id": event}
        assert outsider.post("/gradio_api/cancel", asked).status in (403, 404)
    for outsider in (Asking(demo), Asking(demo, "0" * 48)):
        assert outsider.get(f"/gradio_api/heartbeat/{anna.page}").status == 403
    ben.page = anna.page
    theirs = begun(ben)["event_id"]
    told = ben.get(f"{DATA}?session_hash={ben.page}").text
    assert theirs in told and event not in told
    told = anna.get(f"{DATA}?session_hash={anna.page}").text
    assert event in told and "process_completed" in told and theirs not in told


def test_a_visitor_with_many_pages_forgets_own_pages_alone(demo: Served) -> None:
    anna, ben = visitor(demo), visitor(demo)
    begun(anna)
    for number in range(60):
        ben.page = f"page{number}"
        assert "process_completed" in ben.do("runs-body", "look")
    told = anna.get(f"{DATA}?session_hash={anna.page}")
    assert told.status == 200 and "process_completed" in told.text
    assert ben.get(f"{DATA}?session_hash=page0").status == 404


def test_the_streams_of_two_logins_are_apart_and_logout_ends_them(tmp_path: Path) -> None:
    (tmp_path / "hashes").write_text(f"owner {hash_password('one')}\nmember {hash_password('two')}\n")
    served = Served(tmp_path / "home", environment={"STUDIO_PASSWORD_FILE": str(tmp_path / "hashes")})
    try:
        cookies = []
        for password in ("one", "two"):
            told = Asking(served).ask("POST", "/login", f"password={password}", content_type=FORM)
            assert told.status == 303
            cookies.append(told.headers["set-cookie"].split(";")[0])
        config = Asking(served).get("/", cookie=cookies[0]).text
        found = re.search(r"window\.gradio_config = (\{.*?\});</script>", config, re.DOTALL)
        assert found
        number = next(each["id"] for each in json.loads(found[1])["dependencies"] if not each["inputs"])
        asked = {"data": [], "event_data": {}, "fn_index": number, "session_hash": "mine"}
        assert Asking(served).post(JOIN, asked, cookie=cookies[0]).status == 200
        assert Asking(served).get(f"{DATA}?session_hash=mine", cookie=cookies[1]).status == 404
        assert "process_completed" in Asking(served).get(f"{DATA}?session_hash=mine", cookie=cookies[0]).text
        left = Asking(served).ask("POST", "/logout", b"", cookie=cookies[0], origin=served.url)
        assert left.status == 303
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
from studio.ui import server

def run(*_):
    program = "import json, os; print(json.dumps({**os.environ}))"
    print(subprocess.check_output([sys.executable, "-c", program], text=True))

server._run = run
server.serve(port=0, home=sys.argv[1], demo=sys.argv[2] == "demo", open_browser=False)
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly_and_leaves_no_folder(
    number: signal.Signals, tmp_path: Path, afresh: None
) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    served = Served(tmp_path / "home", environment={"TMPDIR": str(folder)})
    try:
        assert [each.name for each in folder.iterdir() if each.name.startswith("studio-")], "it runs in its folder"
        assert Asking(served).get("/").status == 200
        served.process.send_signal(number)
        assert served.process.wait(20) == 0
    finally:
        served.stop()
    assert not [each.name for each in folder.iterdir() if each.name.startswith("studio-")]
    assert "Traceback" not in served.log.read_text()
