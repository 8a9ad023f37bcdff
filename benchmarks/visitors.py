"""50 visitors of a public demo while one of them trains: page load times, the training's speed, and leaked data.

A page load is what Chromium requests, recorded once at the start: the page, scripts and styles, and the calls that fill
it, over six connections. The first load of a visitor is without a cache, the next ones are those of a browser that has
loaded the page before. Visitors load the page, paste rows of their own, open tabs, change
settings and pause, each from an address of their own. They share the cores with the server and the training.

During one training the visitors act for 20 seconds and rest for 20 seconds, in turns, so that the speed of the machine,
which changes from minute to minute, is the same for both. All rows of a visitor contain a marker. A response with the
marker of another visitor is a leak. So is a response to a request for another visitor's run or dataset, unless it is a
refusal.

.venv/bin/python benchmarks/visitors.py [--visitors 50] [--steps 600]
"""

import argparse
import json
import math
import random
import re
import secrets
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for the servers and visitors of the tests

from studio.schema.runs import ACTIVE
from studio.store import Workspace
from tests.real.asking import Answer
from tests.security.stage import Stage, Visitor

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession

PAGE_GOAL, SLOWED_GOAL = 3.0, 0.10
"""Seconds of a page load at the 95th percentile, and the share by which the training may be slower."""
ARRIVING = 60.0
"""Seconds in which all visitors arrive."""
PAUSE = (2.0, 8.0)
"""Seconds between two actions of a person."""
CONNECTIONS = 6
"""Connections that a browser opens to one server."""
ENCODINGS = "gzip, deflate, br, zstd"
"""As Chromium sends it."""
WARM_STEPS = 5
"""Steps that are not timed."""
TURN, SETTLED = 20.0, 2.0
"""Seconds that the visitors act, and then rest; and seconds after each change in which steps are not timed."""
RUN_SECONDS = 900.0
"""Maximum duration of the training, its time in the queue included. The limit of the demo is the same."""
MARKER = re.compile(rb"marker-[0-9a-f]{16}")
KINDS = ("script", "stylesheet")
OTHERS = ("/studio/run/{run}", "/studio/run/{run}/log", "/studio/run/{run}/report.json", "/studio/labels/{data}.csv")
"""Addresses of a run and a dataset that belong to another visitor."""


@dataclass
class Results:
    """Measurements of all visitors in all rounds. Times are in seconds."""

    loads: list[float] = field(default_factory=list)
    actions: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)
    own_markers: set[str] = field(default_factory=set)
    """Markers that their own visitors received, which shows that a marker would be found."""
    server_seconds: float = 0.0
    """Processor time of the server while visitors acted."""
    resting_share: list[float] = field(default_factory=list)
    """Processor time of the server in seconds of a second, in each turn in which they rested."""
    visitor_seconds: float = 0.0
    """Processor time of the visitors, who are threads of this process."""
    crowd_seconds: float = 0.0
    """How long the visitors acted."""
    probes: int = 0
    """Requests for what belongs to another visitor."""


@dataclass
class Turn:
    """A part of the training with or without visitors who act. Times are seconds since the epoch."""

    acting: bool
    began: float
    ended: float = 0.0

    def step_seconds(self, ends: list[float]) -> list[float]:
        """The durations of the steps that began and ended in this turn."""
        pairs = pairwise(ends)
        return [end - begin for begin, end in pairs if begin >= self.began + SETTLED and end <= self.ended]


@dataclass
class Target:
    """The run and the dataset of the visitor who trains, which the others try to open."""

    run: str = ""
    data: str = ""


class MarkedVisitor(Visitor):
    """A visitor whose responses are searched for the markers of others."""

    def __init__(self, stage: Stage, results: Results) -> None:
        super().__init__(stage.demo)
        self.marker, self.results = f"marker-{secrets.token_hex(8)}", results
        self.begin()

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Answer:
        """One request, and the search."""
        answer = super().ask(method, path, body, **headers)
        self.search(path, answer.body)
        return answer

    def search(self, path: str, content: bytes) -> None:
        """Note the markers in a response."""
        for marker in {each.decode() for each in MARKER.findall(content)}:
            if marker == self.marker:
                self.results.own_markers.add(marker)
            else:
                self.results.leaks.append(f"{path} showed {marker} to {self.marker}")

    def rows(self, count: int) -> str:
        """Rows to paste, all with the marker."""
        return "question,answer\n" + "".join(
            f"Where is {self.marker} {n}?,Shelf {n} of {self.marker}.\n" for n in range(count)
        )


@dataclass
class Signals:
    """What all visitors wait for."""

    acting: threading.Event = field(default_factory=threading.Event)
    """While it is set they act, otherwise they rest."""
    stopped: threading.Event = field(default_factory=threading.Event)


class Person(threading.Thread):
    """A visitor who acts as people do, until `stopped` is set."""

    def __init__(
        self, who: MarkedVisitor, files: tuple[list[str], list[str]], target: Target, signals: Signals
    ) -> None:
        super().__init__(daemon=True)
        self.first, self.next = files
        self.loaded = False
        self.who, self.target, self.signals, self.results = who, target, signals, who.results
        self.random = random.Random(who.address)

    def run(self) -> None:
        self.signals.acting.wait()
        self.signals.stopped.wait(self.random.uniform(0, ARRIVING))
        self.signals.acting.wait()
        self.load()
        self.act("paste rows", "data-body", "paste", pasted=self.who.rows(30))
        acts = [
            lambda: self.act("open step 1", "model-body", "draw"),
            lambda: self.act("open step 2", "data-body", "draw"),
            lambda: self.act("open step 3", "method-body", "draw"),
            lambda: self.act("open the runs", "runs-body", "draw"),
            lambda: self.act("turn the page", "data-body", "page", value="2"),
            lambda: self.act(
                "change a setting", "method-body", "set", name="seed", value=str(self.random.randrange(99))
            ),
            self.load,
            self.load,
            self.probe,
        ]
        try:
            while not self.signals.stopped.is_set():
                self.random.choice(acts)()
        except Exception as error:
            self.results.failed[f"{type(error).__name__}: {error}"] += 1
            raise

    def pause(self) -> None:
        """The time between two actions of a person, and a rest where all rest."""
        self.signals.stopped.wait(self.random.uniform(*PAUSE))
        self.signals.acting.wait()

    def act(self, name: str, region: str, act: str, /, **values: str) -> None:
        """One action of the page."""
        began, good = time.monotonic(), False
        with suppress(OSError):
            answer = self.who.press(region, act, **values)
            good = answer.status == 200 and not re.search(rb"limit-reached|Something went wrong", answer.body)
        self.results.actions.append(time.monotonic() - began)
        self.results.failed[name] += not good
        self.pause()

    def load(self) -> None:
        """Load the page with its files."""
        files, self.loaded = (self.next if self.loaded else self.first), True
        began, good = time.monotonic(), False
        with suppress(OSError):
            good = self.who.get("/").status == 200
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                parts = [files[number::CONNECTIONS] for number in range(CONNECTIONS)]
                good = all(pool.map(self.fetch, parts)) and good
            good = self.who.get("/studio/bar?run=").status == 200 and good
            good = self.who.press("page", "load", run="", fresh="yes").status == 200 and good
        self.results.loads.append(time.monotonic() - began)
        self.results.failed["load the page"] += not good
        self.pause()

    def fetch(self, paths: list[str]) -> bool:
        """Get files over one connection, as a browser does. Returns whether all were sent."""
        connection = HTTPConnection("127.0.0.1", self.who.served.port, timeout=60, source_address=(self.who.address, 0))
        good = True
        try:
            for path in paths:
                connection.request("GET", path, headers={"Accept-Encoding": ENCODINGS})
                answer = connection.getresponse()
                answer.read()
                good = good and answer.status == 200
        finally:
            connection.close()
        return good

    def probe(self) -> None:
        """Request what belongs to the visitor who trains."""
        for path in OTHERS:
            address = path.format(run=self.target.run, data=self.target.data)
            with suppress(OSError):
                answer = self.who.get(address)
                self.results.probes += 1
                if answer.status == 200 and answer.body.strip():
                    self.results.leaks.append(f"{address} was sent to {self.who.marker}")
        self.pause()


def files_of_page(url: str) -> tuple[list[str], list[str]]:
    """The scripts and styles that Chromium requests when it opens the page for the first and for the second time."""
    from playwright.sync_api import sync_playwright

    from tests.browser.served import FLAGS, chromium

    loads = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        context = browser.new_context()
        for _ in range(2):
            page = context.new_page()
            requests = Requests(context.new_cdp_session(page))
            page.goto(url)
            page.locator("#model-body h1").first.wait_for(timeout=60_000)
            page.wait_for_timeout(1000)
            loads.append([each.removeprefix(url) for each in requests.sent() if each.startswith(url)])
            page.close()
        browser.close()
    return loads[0], loads[1]


class Requests:
    """The requests of a page for scripts and styles."""

    def __init__(self, devtools: "CDPSession") -> None:
        self.asked: dict[str, str] = {}
        """Id of a request → its address."""
        self.cached: set[str] = set()
        devtools.send("Network.enable")
        devtools.on("Network.requestWillBeSent", self.ask)
        devtools.on("Network.requestServedFromCache", lambda each: self.cached.add(each["requestId"]))
        devtools.on("Network.responseReceived", self.receive)

    def ask(self, event: dict[str, Any]) -> None:
        """Note a request."""
        if event.get("type", "").lower() in KINDS:
            self.asked[event["requestId"]] = event["request"]["url"]

    def receive(self, event: dict[str, Any]) -> None:
        """Note that a response is from the browser's cache."""
        if event["response"].get("fromDiskCache"):
            self.cached.add(event["requestId"])

    def sent(self) -> list[str]:
        """The addresses that reached the server."""
        return list(dict.fromkeys(address for request, address in self.asked.items() if request not in self.cached))


def train(who: MarkedVisitor, steps: int) -> str:
    """Start a run of so many steps. Returns its id."""
    before = {run.id for run in who.runs()}
    settings = {"max_length": "64", "eval_rows": "2", "early_stopping_patience": "0", "epochs": "40"}
    shown = who.start(max_steps=str(steps), watch_share="0", **settings)
    started = [run.id for run in who.runs() if run.id not in before]
    if not started:
        raise SystemExit(f"The run did not start: {re.sub('<[^>]+>', ' ', shown)[-600:]}")
    return started[0]


def step_times(space: Workspace, run: str) -> list[float]:
    """When each step ended, in seconds."""
    return [datetime.fromisoformat(each.time).timestamp() for each in space.events.after(run, 0, kinds=("step",))]


def take_turns(
    trainer: MarkedVisitor, people: list[Person], target: Target, steps: int, signals: Signals
) -> list[Turn]:
    """Train while the visitors act and rest in turns. Returns the turns; `target` has the run."""
    run, space = train(trainer, steps), trainer.space
    target.run, target.data = run, trainer.datasets()[0].id
    for person in people:
        person.start()
    turns: list[Turn] = []
    deadline = time.monotonic() + RUN_SECONDS
    while space.runs.get(run).status in ACTIVE and time.monotonic() < deadline:
        if len(step_times(space, run)) <= WARM_STEPS:
            time.sleep(1)
            continue
        turn = Turn(bool(turns) and not turns[-1].acting, time.time())
        with watched(trainer, turn.acting):
            (signals.acting.set if turn.acting else signals.acting.clear)()
            time.sleep(TURN)
        turn.ended = time.time()
        turns.append(turn)
    record = space.runs.get(run)
    if record.status != "finished":
        raise SystemExit(f"The training is {record.status}: {record.reason}")
    return turns


@contextmanager
def watched(trainer: MarkedVisitor, acting: bool) -> Iterator[None]:
    """Add the processor time of server and visitors to the results."""
    server, results = psutil.Process(trainer.served.process.pid), trainer.results
    before, own, began = sum(server.cpu_times()[:2]), time.process_time(), time.monotonic()
    yield
    spent, seconds = sum(server.cpu_times()[:2]) - before, time.monotonic() - began
    if acting:
        results.server_seconds += spent
        results.visitor_seconds += time.process_time() - own
        results.crowd_seconds += seconds
    else:
        results.resting_share.append(spent / seconds)


def slowdowns(turns: list[Turn], ends: list[float]) -> list[float]:
    """For each turn with visitors between two without: by which share its steps took longer than those beside it."""
    means = [statistics.fmean(each.step_seconds(ends) or [math.nan]) for each in turns]
    found = [
        means[at] / statistics.fmean((means[at - 1], means[at + 1])) - 1
        for at in range(1, len(turns) - 1)
        if turns[at].acting
    ]
    return [each for each in found if not math.isnan(each)]


def main() -> int:
    """Measure and print. Returns 1 when a goal was missed."""
    parser = argparse.ArgumentParser(description="A demo with many visitors during a training")
    parser.add_argument("--visitors", type=int, default=50, help="all of them, the one who trains included")
    parser.add_argument("--steps", type=int, default=600, help="steps of the training")
    options = parser.parse_args()
    stage, results = Stage(), Results()
    target, signals = Target(), Signals()
    try:
        files = files_of_page(stage.demo.url)
        first, again = (len(each) + 3 for each in files)
        print(f"A page load is {first} requests, later {again}. {psutil.cpu_count()} cores.", flush=True)
        trainer = MarkedVisitor(stage, results)
        trainer.acted("model-body", "task", value="chat")
        trainer.acted("data-body", "paste", pasted=trainer.rows(200))
        for number in range(3):
            trainer.acted("method-body", "prompt", number=number, value="")
        visitors = [MarkedVisitor(stage, results) for _ in range(options.visitors - 1)]
        people = [Person(who, files, target, signals) for who in visitors]
        turns = take_turns(trainer, people, target, options.steps, signals)
        signals.stopped.set()
        signals.acting.set()
        for person in people:
            person.join(90)
        ends = step_times(trainer.space, target.run)
    finally:
        stage.close()
    for turn in turns:
        seconds = turn.step_seconds(ends)
        who = "with visitors" if turn.acting else "alone"
        print(f"{who:<14}{len(seconds):>4} steps of {statistics.fmean(seconds or [math.nan]):.3f} s")
    return report(results, slowdowns(turns, ends), options.visitors)


def report(results: Results, slowed: list[float], visitors: int) -> int:
    """Print the measurements, and whether each goal was met."""
    for name, times in (("page loads", results.loads), ("other actions", results.actions)):
        middle, high = percentile(times, 50), percentile(times, 95)
        print(f"{name:<14} n {len(times):>5}  p50 {middle:.2f} s  p95 {high:.2f} s  max {max(times, default=0):.2f} s")
    rate = (len(results.loads) + len(results.actions)) / results.crowd_seconds
    server, own = results.server_seconds / results.crowd_seconds, results.visitor_seconds / results.crowd_seconds
    resting = statistics.fmean(results.resting_share or [math.nan])
    print(f"{rate:.1f} actions a second; processor: server {server:.0%}, visitors {own:.0%} of a core")
    print(f"While they rest: server {resting:.0%} of a core")
    mean = statistics.fmean(slowed or [math.nan])
    each = ", ".join(f"{share:.0%}" for share in slowed)
    failed = {name: count for name, count in results.failed.items() if count}
    goals = {
        f"Page loads under {PAGE_GOAL:g} s at the 95th percentile": percentile(results.loads, 95) < PAGE_GOAL,
        f"Training slowed by {SLOWED_GOAL:.0%} or less (by {mean:.1%}: {each})": mean <= SLOWED_GOAL,
        f"No data of another visitor ({results.probes} tries; {len(results.own_markers)} of {visitors} got theirs)": (
            not results.leaks and results.probes > 0 and len(results.own_markers) == visitors
        ),
        f"No action failed {json.dumps(failed) if failed else ''}".rstrip(): not failed,
    }
    for goal, met in goals.items():
        print(f"{goal}: {'yes' if met else 'NO'}")
    print("\n".join(results.leaks[:20]))
    return 0 if all(goals.values()) else 1


def percentile(values: list[float], share: int) -> float:
    """A percentile of the values. 0 if there are none."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1] if len(values) > 1 else sum(values)


if __name__ == "__main__":
    sys.exit(main())
