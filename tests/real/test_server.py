"""A served studio refuses what its page does not need: hosts, origins, addresses, strangers, files of the machine."""

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

from studio.ui.http.security import CALL
from studio.ui.visitors.passwords import hash_password
from tests.browser.served import Served
from tests.real.asking import component_of, config_of
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


def test_studio_alone_serves_on_7860_opens_the_browser_and_ends_by_ctrl_c_without_a_folder_left(tmp_path: Path) -> None:
    opened, browser, temporary = tmp_path / "opened", tmp_path / "browser", tmp_path / "tmp"
    temporary.mkdir()
    browser.write_text(f'#!/bin/sh\necho "$1" >> "{opened}"\n')
    browser.chmod(0o700)
    told = {"STUDIO_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "BROWSER": str(browser), "DISPLAY": ":0"}
    environment = {**os.environ, **told, "TMPDIR": str(temporary)}
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
        assert list(temporary.glob("studio-*")), "it runs in its folder"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 0 and out == f"The studio is at {shown}\n"
        assert not list(temporary.glob("studio-*"))
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def test_the_page_answers_with_a_content_policy_and_names_its_style_and_script_first(alone: httpx.Client) -> None:
    answer = alone.get("/")
    assert answer.status_code == 200
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    for kind in ("css", "js"):
        assert f"studio/static/studio.{kind}?" in answer.headers["link"]


def test_style_and_script_are_served_and_may_be_kept(alone: httpx.Client) -> None:
    link = alone.get("/").headers["link"]
    for kind in ("css", "js"):
        address = link[link.index(f"studio/static/studio.{kind}") :].split(">")[0]
        answer = alone.get(f"/{address}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert len(answer.content) > 1000


UNKNOWN = (
    "/docs",
    "/redoc",
    "/openapi.json",
    "/gradio_api/openapi.json",
    "/gradio_api/run/predict",
    "/gradio_api/runs",
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/upload_progress",
    "/gradio_api/stream/a/b/c/playlist.m3u8",
    "/gradio_api/proxy=http://127.0.0.1:1/",
    "/monitoring",
    "/monitoring/x",
    "/gradio_api/vibe-code/",
)
OF_THE_API = (
    "/config",
    "/gradio_api/info",
    "/gradio_api/call/plan",
    "/gradio_api/queue/join",
    "/gradio_api/queue/data?session_hash=page",
    "/gradio_api/cancel",
    "/gradio_api/reset",
    "/gradio_api/heartbeat/page",
    "/gradio_api/mcp/",
)
"""Addresses of the named endpoints, which the owner has and a demo has not."""


@pytest.mark.parametrize("path", UNKNOWN)
def test_addresses_that_the_page_does_not_need_do_not_exist(alone: httpx.Client, path: str) -> None:
    assert alone.get(path).status_code == 404
    assert alone.post(path, headers={"origin": str(alone.base_url).rstrip("/")}, content=b"{}").status_code == 404


@pytest.mark.parametrize("path", [*UNKNOWN, *OF_THE_API])
def test_a_demo_has_no_address_but_those_of_its_page(demo: httpx.Client, path: str) -> None:
    assert demo.get(path).status_code == 404
    assert demo.post(path, headers={"origin": str(demo.base_url).rstrip("/")}, content=b"{}").status_code == 404


def test_key_presses_have_no_address_of_their_own(alone: httpx.Client, demo: httpx.Client) -> None:
    for client in (alone, demo):
        assert client.get("/studio/press").status_code == client.post("/studio/press", json={}).status_code == 404


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
    for method, path in (
        ("PUT", "/studio/upload"),
        ("POST", "/gradio_api/component_server/"),
        ("POST", "/studio/workspace"),
    ):
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


REGIONS = (
    "page",
    "tab-model",
    "tab-data",
    "tab-runs",
    "model-body",
    "data-body",
    "method-body",
    "train-view",
    "evaluate-body",
    "chat-view",
    "export-body",
    "runs-body",
)


def secret_of(client: httpx.Client) -> str:
    """The secret of a new visitor."""
    return str(client.post("/studio/workspace").json()["secret"])


def act(client: httpx.Client, region: str, said: object, secret: object = "", **headers: str) -> httpx.Response:
    """The answer to an action of the page, as its script sends it."""
    data = {"secret": secret, "page": "abcdefghijk", "region": region, "said": said}
    component = component_of(config_of(client.get("/").text))
    call = {"component_id": component, "fn_name": "act", "session_hash": "abcdefghijk", "data": data}
    return client.post(f"{CALL}/", json=call, headers=headers)


@pytest.mark.parametrize("region", REGIONS)
def test_no_handler_works_for_a_stranger_of_a_demo(demo: httpx.Client, region: str) -> None:
    said = {"act": "sample", "value": "/etc/passwd", "name": "support-tone"}
    for secret in ("", "0" * 48, ["0" * 48], None):
        answer = act(demo, region, said, secret)
        (shown,) = answer.json()["regions"].values()
        assert answer.status_code == 200 and ("lost its workspace" in shown or "does not know" in shown)
    header = act(demo, region, said, "", **{"x-studio-workspace": secret_of(demo)})
    assert len(header.json()["regions"]) == 1, "a secret in a header does not count"


@pytest.mark.parametrize("region", REGIONS)
def test_no_handler_shows_a_visitor_a_traceback_or_a_file_of_the_machine(demo: httpx.Client, region: str) -> None:
    secret = secret_of(demo)
    acts = "page start file trust token model folder reopen sample dataset download paste row draw open".split()
    for name in acts:
        given = dict.fromkeys(("value", "ticket", "name"), "/etc/passwd") | {"dataset": "../../etc/passwd"}
        text = act(demo, region, {"act": name, **given}, secret).text
        assert "Traceback" not in text and "root:" not in text and "Something went wrong" not in text


def test_an_action_is_answered_with_the_regions_it_changed(alone: httpx.Client) -> None:
    answer = act(alone, "model-body", {"act": "task", "value": "classification"})
    assert answer.status_code == 200 and set(answer.json()) == {"regions", "beat"}
    regions = answer.json()["regions"]
    assert "model-body" in regions and "<script" not in regions["model-body"]
    refused = act(alone, "model-body", {"act": "no-such-act"}).json()["regions"]
    assert "does not know that button" in refused["notice-model"]


def test_an_action_of_a_stranger_or_from_elsewhere_does_nothing(demo: httpx.Client, alone: httpx.Client) -> None:
    said = {"act": "sample", "name": "support-tone"}
    told = act(demo, "model-body", said, "0" * 48)
    assert "lost its workspace" in told.text and "Traceback" not in told.text
    assert act(alone, "model-body", said, origin="http://evil.example").status_code == 403


def test_an_action_over_an_open_connection_is_answered_at_once(alone: httpx.Client) -> None:
    """Each piece of an answer is sent without waiting for the client to confirm the one before (40 ms)."""
    seconds = []
    for _ in range(30):
        began = time.monotonic()
        assert alone.post("/studio/workspace").status_code == 200
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.03


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
            assert client.post(f"{CALL}/", json={}).status_code == 401
            began = time.monotonic()
            assert client.post("/login", data={"password": "guess"}).status_code == 403
            assert time.monotonic() - began > 0.4
            assert client.post("/login", data={"password": "open sesame"}).status_code == 303
            assert "gradio" in client.get("/").text
            assert client.get("/studio/bar").status_code == 200
    finally:
        served.stop()
