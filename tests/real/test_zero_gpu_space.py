"""The ZeroGPU Space of the studio: its app.py is started, a visitor trains and chats. Once as on any machine, once with
the parts of ZeroGPU that need no GPU: its scheduler is a server of this test, `spaces` is the real package."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from studio.export.studio_space import write_studio_space
from tests.browser.served import Served
from tests.real.asking import Answer
from tests.security.attacks.s5_chat import first_token
from tests.security.stage import Visitor

WITHOUT_A_GPU = """
import runpy
import sys
sys.modules["torch"] = None
import spaces
del sys.modules["torch"]
runpy.run_path("app.py", run_name="__main__")
"""
"""A CPU build of torch lacks functions that `spaces` replaces. Where `spaces` finds no torch, it replaces none."""
SECONDS = 400
TOKEN = "visitor.token.of-this-test"


class Space(Served):
    """The app.py of a Space that `studio space --zero-gpu` has written."""

    def __init__(self, folder: Path, *command: str, **environment: str) -> None:
        self.folder, self.command = folder, command or ("app.py",)
        own = {"GRADIO_SERVER_NAME": "127.0.0.1", "STUDIO_LIMITS": "run_minutes=10", **environment}
        super().__init__(folder.parent / "home", environment=own)

    def start(self) -> None:
        self.environment |= {"GRADIO_SERVER_PORT": str(self.port), "STUDIO_HOME": str(self.home)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.command], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(self.url, timeout=5):
                return
            time.sleep(0.2)
        raise RuntimeError(f"The Space did not start:\n{self.log.read_text()}")


class Scheduler(ThreadingHTTPServer):
    """The device API of ZeroGPU, as the package `spaces` calls it. It notes the calls, and may refuse a GPU."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.refuses = False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def called(self, name: str) -> list[dict[str, str]]:
        """The parameters of all calls of a name."""
        return [given for path, given in self.calls if path == f"/{name}"]


class _Answers(BaseHTTPRequestHandler):
    server: Scheduler

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        self.server.calls.append((parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}))
        status, answer = 200, b"{}"
        if parts.path == "/schedule" and self.server.refuses:
            status, answer = 429, json.dumps({"left": 12, "wait": 3600}).encode()
        elif parts.path == "/schedule":
            place: dict[str, Any] = {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "GPU-1", "allowToken": "t"}
            answer = json.dumps(place).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def folder(tiny_starters: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("space") / "space"
    write_studio_space(folder, zero_gpu=True)
    return folder


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Scheduler]:
    server = Scheduler()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def space(folder: Path) -> Iterator[Space]:
    space = Space(folder)
    yield space
    space.stop()


@pytest.fixture(scope="module")
def zero_gpu(folder: Path, scheduler: Scheduler, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    place = tmp_path_factory.mktemp("zero-gpu")
    (place / "cgroup").write_text("0::/space\n")
    space = Space(
        folder,
        "-c",
        WITHOUT_A_GPU,
        SPACES_ZERO_GPU="true",
        SPACES_ZERO_DEVICE_API_URL=f"http://127.0.0.1:{scheduler.server_port}",
        ZEROGPU_PROC_SELF_CGROUP_PATH=str(place / "cgroup"),
    )
    yield space
    space.stop()


class NamedVisitor(Visitor):
    """A visitor whom the proxy of Hugging Face names in a header of each request."""

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Answer:
        return super().ask(method, path, body, x_ip_token=TOKEN, **headers)


def start(who: Visitor) -> str:
    """Start a run of three steps as a visitor. Returns its id."""
    who.patience = 240
    who.begin()
    who.acted("model-body", "task", value="chat")
    who.bring()
    for number in range(3):
        who.acted("method-body", "prompt", number=number, value="")
    shown = who.start(max_steps="3", watch_share="0", max_length="64", eval_rows="2", threads="1")
    runs = who.runs()
    assert runs, shown[-3000:]
    return str(runs[0].id)


def wait_for_end(who: Visitor, run: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while who.active() and time.monotonic() < deadline:
        time.sleep(0.5)
    return who.space.runs.get(run)


def test_the_space_trains_three_steps_through_its_runner_and_answers(space: Space) -> None:
    who = Visitor(space)
    run = start(who)
    record = wait_for_end(who, run)
    assert (record.status, record.step) == ("finished", 3), record.reason
    assert who.space.runs.spec(run).runner == "zero-gpu"
    _, line = first_token(who, run, seconds=120)
    assert '"who"' in line and "error" not in line[:10], line
    children = psutil.Process(space.process.pid).children(recursive=True)
    assert children, "the process that chats is a child of the server"
    for child in children:  # the studio is not installed in a Space
        assert child.environ()["PYTHONPATH"].split(os.pathsep)[0] == str(space.folder)


def test_zero_gpu_is_asked_for_each_run_by_a_process_of_its_own_and_gets_it_back(
    zero_gpu: Space, scheduler: Scheduler
) -> None:
    assert len(scheduler.called("startup-report")) == 1
    who = NamedVisitor(zero_gpu)
    run = start(who)
    record = wait_for_end(who, run)
    assert (record.status, record.step) == ("finished", 3), record.reason
    (schedule,) = (each for each in scheduler.called("schedule") if each.get("token") == TOKEN)
    assert 30 < int(schedule["durationSeconds"]) <= 1.5 * 630
    files = [file for file in zero_gpu.home.rglob("*") if file.is_file()]
    assert not [file for file in [zero_gpu.log, *files] if TOKEN.encode() in file.read_bytes()], "a token was saved"
    (allowed,) = scheduler.called("allow")
    assert int(allowed["pid"]) != zero_gpu.process.pid
    deadline = time.monotonic() + 30
    while not scheduler.called("release") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert [each["fail"] for each in scheduler.called("release")] == ["false"]
    held = psutil.Process(int(allowed["pid"])).net_connections("tcp")
    assert zero_gpu.port not in [each.laddr.port for each in held], "the forked process holds connections of the page"


def test_a_visitor_without_quota_is_told_so_and_the_run_stops(zero_gpu: Space, scheduler: Scheduler) -> None:
    scheduler.refuses = True
    who = Visitor(zero_gpu)
    try:
        record = wait_for_end(who, start(who))
    finally:
        scheduler.refuses = False
    assert record.status == "stopped" and "ZeroGPU lent no GPU" in record.reason, record.reason
