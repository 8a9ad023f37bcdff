"""The server in figures: start, first paint, memory at rest, and what a run costs that ten and 200 pages watch.

.venv/bin/python benchmarks/server.py
"""

import gzip
import http.client
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.events import EvaluationEvent, PhaseEvent, StepEvent
from studio.schema.runs import RunSpec
from studio.store import Home

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for the tests' Chromium
PAGES, CROWD, SECONDS, BEFORE = 10, 200, 20, 1000
"""Pages that watch, and many of them, for how long, and steps that the run has behind it."""
ASKED = {  # as Chromium asks for what is new
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
    "Connection": "keep-alive",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "same-origin",
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": "Linux",
    "sec-ch-ua": '"Chromium";v="140", "Not=A?Brand";v="24"',
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537",
}


@contextmanager
def served(home: Path) -> Iterator[tuple[psutil.Process, int, float]]:
    """A studio with that home: its process, its port, and the seconds until it answered with the page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "studio", "serve", "--home", str(home), "--port", str(port), "--no-browser"],
        stdout=subprocess.DEVNULL,
    )
    try:
        while not _answers(port):
            if process.poll() is not None:
                raise SystemExit("the studio did not start")
            time.sleep(0.02)
        yield psutil.Process(process.pid), port, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def painted(port: int) -> tuple[float, float] | None:
    """Seconds from the address to the first paint and to the first tab; None where there is no browser."""
    try:
        from playwright.sync_api import sync_playwright

        from tests.browser.served import FLAGS, chromium
    except ImportError:
        return None
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page()
        began = time.perf_counter()
        page.goto(f"http://127.0.0.1:{port}", wait_until="commit")
        page.get_by_role("tab", name="1 Model", exact=True).wait_for()
        usable = time.perf_counter() - began
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
        browser.close()
    return paint, usable


def write_run(home: Path) -> None:
    """A run in training with a curve behind it."""
    space = Home(home).workspace()
    config = TrainingConfig(task="chat", model="starter-chat", name="watched")
    data = DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"})
    run = space.runs.create(RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())).id
    space.events.append(run, PhaseEvent(phase="training", steps=100_000))
    for number in range(1, BEFORE + 1):
        space.events.append(run, _step(number))


def tell(home: Path) -> None:
    """Be the run's worker, as far as a page can see: a step a second, a check every thirty, until killed."""
    space = Home(home).workspace()
    run = space.runs.get("last").id
    space.runs.begin(run, os.getpid())
    space.runs.set_status(run, "training")
    for number in itertools.count(BEFORE + 1):
        space.events.append(run, _step(number))
        if number % 30 == 0:
            space.events.append(run, EvaluationEvent(step=number, eval_loss=2.0, best=False))
        space.runs.beat(run, "training", number, 100_000, float(number))
        time.sleep(1)


def _step(number: int) -> StepEvent:
    return StepEvent(
        step=number,
        loss=1.2345678 + 1 / number,
        learning_rate=1.9876e-4,
        grad_norm=0.98765,
        rows_per_second=5.4321,
        memory_bytes=3_800_000_000,
    )


class Watcher(threading.Thread):
    """A page that watches a run: asks for what is new as often as it is told to, as js/4-live.js does."""

    def __init__(self, port: int, run: str, until: float) -> None:
        super().__init__()
        self.port, self.run_id, self.until = port, run, until
        self.bytes, self.answers, self.steps, self.seconds, self.behind, self.opened = 0, 0, 0, [0.0], 0.0, 0.0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        began = time.perf_counter()
        said = self._ask(connection, 0)  # of what a page is told when it opens only the wait counts
        self.opened = time.perf_counter() - began
        after, self.bytes, self.answers, self.steps = said["to"], 0, 0, 0
        while time.time() < self.until:
            wait = said.get("wait", 1)
            time.sleep(wait)
            began = time.perf_counter()
            said = self._ask(connection, after)
            self.seconds.append(time.perf_counter() - began)
            self.behind = max(self.behind, wait + self.seconds[-1])
            after = said["to"]
            self.steps += len(said.get("steps", []))
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, after: int) -> dict[str, Any]:
        path = f"/studio/run/{self.run_id}?after={after}&page={id(self)}"
        connection.request(
            "GET", path, headers={**ASKED, "Referer": f"http://127.0.0.1:{self.port}/?run={self.run_id}"}
        )
        answer = connection.getresponse()
        body = answer.read()
        sent = len(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n") + _size(list(ASKED.items())) + 60
        self.bytes += sent + len("HTTP/1.1 200 OK\r\n") + _size(answer.getheaders()) + len(body)
        self.answers += 1
        told: dict[str, Any] = json.loads(
            gzip.decompress(body) if answer.getheader("Content-Encoding") == "gzip" else body
        )
        return told


def _size(headers: list[tuple[str, str]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers) + 2


def watched(process: psutil.Process, port: int, home: Path, pages: int) -> dict[str, float]:
    """What so many pages cost the server while a run tells a step a second."""
    run = Home(home).workspace().runs.get("last").id
    until = time.time() + SECONDS
    watchers = [Watcher(port, run, until) for _ in range(pages)]
    for each in watchers:
        each.start()
    time.sleep(2)
    before, began = process.cpu_times(), time.time()
    for each in watchers:
        each.join()
    after, took = process.cpu_times(), time.time() - began
    used = after.user + after.system - before.user - before.system
    answers = max(1, sum(each.answers for each in watchers))
    return {
        "cpu": 100 * used / took,
        "bytes": sum(each.bytes for each in watchers) / answers,
        "steps": sum(each.steps for each in watchers) / answers,
        "opened": max(each.opened for each in watchers),
        "behind": max(each.behind for each in watchers),
        "slowest": max(max(each.seconds) for each in watchers) if watchers else 0.0,
    }


_missed: list[str] = []


def show(what: str, figure: str, goal: str, met: bool) -> None:
    """A line of the table."""
    print(f"{what:<46}{figure:>14}   {goal:<14}{'' if met else 'MISSED'}")
    if not met:
        _missed.append(what)


def main() -> int:
    """Measure and print; 1 when a goal was missed."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        write_run(home)
        starts = []
        for _ in range(3):
            with served(home) as (_, _, seconds):
                starts.append(seconds)
        print(f"{'':<46}{'measured':>14}   goal")
        show(
            "start until the page answers, middle of 3",
            f"{statistics.median(starts):.2f} s",
            "4 s",
            statistics.median(starts) <= 4,
        )
        with served(home) as (process, port, _):
            paint = painted(port)
            if paint:
                show("first paint in Chromium", f"{paint[0]:.2f} s", "2 s", paint[0] <= 2)
                show("first tab can be used", f"{paint[1]:.2f} s", "", True)
            memory = process.memory_info().rss / 1e6
            show("memory at rest", f"{memory:.0f} MB", "400 MB", memory < 400)
            torch = any("libtorch" in part.path for part in process.memory_maps())
            show("torch in the server", "yes" if torch else "no", "no", not torch)
            teller = subprocess.Popen([sys.executable, __file__, "--tell", str(home)])
            try:
                time.sleep(3)
                many = watched(process, port, home, PAGES)
                crowd = watched(process, port, home, CROWD)
            finally:
                teller.kill()
                teller.wait()
            each = many["cpu"] / PAGES
            show(f"a page that watches a run, of {PAGES}: processor", f"{each:.2f} %", "2 % of a core", each < 2)
            show("the same on the wire, both ways", f"{many['bytes']:.0f} B/s", "2,000 B/s", many["bytes"] < 2000)
            show("new steps in an answer", f"{many['steps']:.2f}", "", True)
            cost = crowd["cpu"]
            show(f"{CROWD} pages that watch it: processor", f"{cost:.0f} %", "25 % of a core", cost < 25)
            show("the most that one of them is behind", f"{crowd['behind']:.1f} s", "5 s", crowd["behind"] < 5)
            opened = crowd["opened"]
            show("the last of them, opened in one moment, after", f"{opened:.1f} s", "5 s", opened < 5)
            show("slowest answer", f"{1000 * many['slowest']:.0f} ms", "", True)
            memory = process.memory_info().rss / 1e6
            show("memory after that", f"{memory:.0f} MB", "400 MB", memory < 400)
    return 1 if _missed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--tell"]:
        tell(Path(sys.argv[2]))
    sys.exit(main())
