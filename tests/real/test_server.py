"""A served studio refuses what its page does not need: hosts, origins, addresses, strangers, files of the machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from studio.ui.passwords import hash_password
from tests.browser.served import Served
from tests.signals import heed_ctrl_c

STUDIO = Path(sys.executable).with_name("studio")


def asking(served: Served, **wanted: object) -> httpx.Client:
    return httpx.Client(base_url=served.url, timeout=60, trust_env=False, **wanted)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def served_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("alone") / "home", "--allow-host", "tuner.example")
    yield served
    served.stop()


@pytest.fixture(scope="module")
def alone(served_alone: Served) -> Iterator[httpx.Client]:
    with asking(served_alone) as client:
        yield client


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    served = Served(tmp_path_factory.mktemp("demo") / "home", "--demo")
    with asking(served) as client:
        yield client
    served.stop()


def test_studio_alone_serves_on_7860_opens_the_browser_and_ends_by_ctrl_c(tmp_path: Path) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> "{opened}"\n')
    browser.chmod(0o700)
    told = {"STUDIO_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "BROWSER": str(browser), "DISPLAY": ":0"}
    environment = {**os.environ, **told}
    arguments, url = [str(STUDIO)], "http://127.0.0.1:7860"
    if answers(7860):  # somebody's own studio, say: that is told, and this one tries another port
        said = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60)
        assert said.returncode == 2 and "port 7860" in said.stderr and "--port 7861" in said.stderr
        assert "Traceback" not in said.stderr and not opened.exists()
        arguments, url = [*arguments, "serve", "--port", "0"], "http://127.0.0.1:"
    process = subprocess.Popen(
        arguments,
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    try:
        until = time.monotonic() + 60
        while not opened.exists() or not opened.read_text():
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        (shown,) = opened.read_text().split()
        assert shown.startswith(url) and (shown == url or len(arguments) > 1)
        assert "gradio" in httpx.get(shown, trust_env=False, timeout=60).text
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 0 and out == f"The studio is at {shown}\n"
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def test_the_page_answers_with_a_content_policy_and_our_script_first(alone: httpx.Client) -> None:
    answer = alone.get("/")
    assert answer.status_code == 200
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.index("studio/static/studio.js") < answer.text.index(
        "<script", answer.text.index("studio.js") + 10
    )


def test_style_and_script_are_served_and_may_be_kept(alone: httpx.Client) -> None:
    page = alone.get("/").text
    for kind in ("css", "js"):
        address = page[page.index(f"studio/static/studio.{kind}") :].split('"')[0]
        answer = alone.get(f"/{address}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert len(answer.content) > 1000


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/redoc",
        "/openapi.json",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/gradio_api/call/show",
        "/gradio_api/run/predict",
        "/gradio_api/runs",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/upload_progress",
        "/gradio_api/stream/a/b/c/playlist.m3u8",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/monitoring",
        "/monitoring/x",
        "/gradio_api/component_server",
        "/gradio_api/vibe-code/",
    ],
)
def test_addresses_that_the_page_does_not_need_do_not_exist(alone: httpx.Client, path: str) -> None:
    assert alone.get(path).status_code == 404
    assert alone.post(path, headers={"origin": str(alone.base_url).rstrip("/")}, content=b"{}").status_code == 404


def test_gradios_own_upload_is_closed(alone: httpx.Client) -> None:
    assert alone.post("/gradio_api/upload", files={"files": ("a.txt", b"x")}).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "localhost.evil"])
def test_a_name_that_is_not_ours_is_refused(alone: httpx.Client, host: str) -> None:
    assert alone.get("/", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:7860", "[::1]:7860", "LOCALHOST"])
def test_names_of_this_machine_are_ours(alone: httpx.Client, host: str) -> None:
    assert alone.get("/", headers={"host": host}).status_code == 200


def test_a_name_can_be_allowed(alone: httpx.Client) -> None:
    assert alone.get("/", headers={"host": "tuner.example"}).status_code == 200
    assert alone.get("/", headers={"host": "other.example"}).status_code == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1.evil"])
def test_another_origin_can_change_nothing(alone: httpx.Client, origin: str) -> None:
    for method, path in (("PUT", "/studio/upload"), ("POST", "/gradio_api/queue/join"), ("POST", "/studio/workspace")):
        assert alone.request(method, path, headers={"origin": origin}, content=b"x").status_code == 403


def test_an_upload_is_known_by_its_ticket_and_belongs_to_who_sent_it(demo: httpx.Client) -> None:
    first, second = (demo.post("/studio/workspace").json()["secret"] for _ in range(2))
    sent = demo.put(
        "/studio/upload",
        headers={"x-studio-workspace": first, "x-file-name": "..%2F..%2Fmine.csv"},
        content=b"a,b\n1,2\n",
    )
    assert len(sent.json()["ticket"]) == 32
    assert first != second
    lost = demo.put("/studio/upload", headers={"x-studio-workspace": "0" * 48}, content=b"x")
    assert lost.json()["error"]["code"] == "not-allowed"


def test_a_visitor_keeps_a_known_secret_and_an_unknown_one_becomes_fresh(demo: httpx.Client) -> None:
    secret = demo.post("/studio/workspace").json()["secret"]
    assert demo.post("/studio/workspace", headers={"x-studio-workspace": secret}).json()["secret"] == secret
    for wrong in ("default", "../default", "0" * 48, secret.upper() + "x"):
        assert demo.post("/studio/workspace", headers={"x-studio-workspace": wrong}).json()["secret"] not in (
            wrong,
            secret,
        )


def test_a_route_of_a_demo_tells_nothing_without_a_secret(demo: httpx.Client) -> None:
    answer = demo.get("/studio/bar")
    assert answer.status_code == 403
    assert "workspace" in answer.json()["error"]["message"]


def test_an_upload_beyond_the_limit_is_refused_and_leaves_nothing(demo: httpx.Client) -> None:
    secret = demo.post("/studio/workspace").json()["secret"]
    answer = demo.put("/studio/upload", headers={"x-studio-workspace": secret}, content=b"x" * 6_000_000)
    assert answer.status_code == 413
    assert "5 MB" in answer.json()["error"]["message"]


def test_200_mb_of_csv_are_taken_in_as_they_come_and_never_held_in_memory(
    alone: httpx.Client, served_alone: Served
) -> None:
    line = f"Where is parcel 7?,{'A long story about parcels and lamps. ' * 26}\n".encode()
    piece, count = line * 1000, 205
    alone.get("/")
    before = most_memory(served_alone)
    sent = alone.put("/studio/upload", headers={"x-file-name": "large.csv"}, content=(piece for _ in range(count)))
    ticket = sent.json()["ticket"]
    (kept,) = served_alone.home.rglob(f"{ticket}/large.csv")
    assert kept.stat().st_size == len(piece) * count > 200e6
    assert most_memory(served_alone) - before < 50e6
    kept.unlink()


def most_memory(served: Served) -> int:
    """Bytes of memory that a server had at most so far."""
    told = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(told.split("VmHWM:")[1].split()[0]) * 1024


def call(client: httpx.Client, headers: dict[str, str], fn_index: int, data: list, event: dict | None = None) -> dict:
    """Do what the page's own script does for one event; what the handler returned."""
    body = {"fn_index": fn_index, "data": data, "session_hash": "abcdefghijk", "event_data": event, "trigger_id": None}
    joined = client.post("/gradio_api/queue/join", json=body, headers=headers)
    assert joined.status_code == 200, joined.text
    with client.stream(
        "GET", "/gradio_api/queue/data", params={"session_hash": "abcdefghijk"}, headers=headers
    ) as lines:
        for line in lines.iter_lines():
            said = json.loads(line[5:]) if line.startswith("data:") else {}
            if said.get("msg") == "process_completed":
                return said["output"]
    raise AssertionError("no answer")


def every_event(client: httpx.Client) -> list[dict]:
    page = client.get("/").text
    start = page.index("window.gradio_config = ") + len("window.gradio_config = ")
    return json.JSONDecoder().raw_decode(page[start:])[0]["dependencies"]


def test_no_handler_works_for_a_stranger_of_a_demo(demo: httpx.Client) -> None:
    events = every_event(demo)
    assert len(events) > 10
    for event in events:
        asked = {
            "fn_index": event["id"],
            "data": [],
            "session_hash": "abcdefghijk",
            "event_data": {"act": "sample", "value": "/etc/passwd", "name": "support-tone"},
        }
        refused = demo.post("/gradio_api/queue/join", json=asked, headers={"x-studio-workspace": "0" * 48})
        assert refused.status_code == 403 and "lost its workspace" in refused.text


def test_no_handler_shows_a_visitor_a_traceback_or_a_file_of_the_machine(demo: httpx.Client) -> None:
    secret = demo.post("/studio/workspace").json()["secret"]
    for event in every_event(demo):
        for act in ("page", "start", "file", "trust", "token", "model"):
            asked = {"act": act, "value": "/etc/passwd", "name": "no-such-sample"}
            said = json.dumps(call(demo, {"x-studio-workspace": secret}, event["id"], [], asked))
            assert "Traceback" not in said and "root:" not in said


def test_a_path_of_the_machine_given_to_any_act_is_never_read(demo: httpx.Client) -> None:
    secret = demo.post("/studio/workspace").json()["secret"]
    for event in every_event(demo):
        for act in ("folder", "model", "file", "reopen", "sample", "dataset", "download", "paste", "row"):
            payload = {
                "act": act,
                "value": "/etc/passwd",
                "ticket": "/etc/passwd",
                "name": "/etc/passwd",
                "dataset": "../../etc/passwd",
            }
            said = json.dumps(call(demo, {"x-studio-workspace": secret}, event["id"], [], payload))
            assert "root:x:" not in said and "Traceback" not in said


def test_a_key_press_is_answered_with_the_regions_it_changed(alone: httpx.Client) -> None:
    pressed = {"page": "abcdefghijk", "region": "model-body", "said": {"act": "task", "value": "classification"}}
    answer = alone.post("/studio/press", json=pressed)
    assert answer.status_code == 200
    assert "model-body" in answer.json() and "<script" not in answer.json()["model-body"]
    refused = alone.post("/studio/press", json={**pressed, "said": {"act": "no-such-act"}}).json()
    assert "does not know that button" in refused["notice-model"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"page": "", "region": "data-body", "said": {}},
        {"page": "../x", "region": "data-body", "said": {}},
        {"page": "abc", "region": "no-such-region", "said": {}},
        {"page": "abc", "region": "data-body", "said": []},
        [],
    ],
)
def test_a_key_press_that_makes_no_sense_is_refused_in_a_sentence(alone: httpx.Client, wrong: object) -> None:
    answer = alone.post("/studio/press", json=wrong)
    assert 400 <= answer.status_code < 500 and answer.json()["error"]["message"]


def test_a_key_press_of_a_stranger_or_from_elsewhere_does_nothing(demo: httpx.Client, alone: httpx.Client) -> None:
    pressed = {"page": "abcdefghijk", "region": "data-body", "said": {"act": "sample", "name": "support-tone"}}
    told = demo.post("/studio/press", json=pressed, headers={"x-studio-workspace": "0" * 48})
    assert "lost its workspace" in told.text and "Traceback" not in told.text
    assert alone.post("/studio/press", json=pressed, headers={"origin": "http://evil.example"}).status_code == 403


def test_a_password_is_asked_for_and_let_in_by(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("password")
    (folder / "hashes").write_text(hash_password("open sesame") + "\n")
    monkeypatch.setenv("STUDIO_PASSWORD_FILE", str(folder / "hashes"))
    served = Served(folder / "home")
    try:
        with asking(served) as client:
            assert "Password" in client.get("/").text
            assert client.get("/studio/bar").status_code == 401
            assert client.post("/gradio_api/queue/join", json={}).status_code == 401
            assert client.post("/studio/press", json={}).status_code == 401
            began = time.monotonic()
            assert client.post("/login", data={"password": "guess"}).status_code == 403
            assert time.monotonic() - began > 0.4
            assert client.post("/login", data={"password": "open sesame"}).status_code == 303
            assert "gradio" in client.get("/").text
            assert client.get("/studio/bar").status_code == 200
    finally:
        served.stop()
