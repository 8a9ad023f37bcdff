"""A public demo with 30 visitors of whom one is hostile: how long the others wait for the page and for a reply.

The hostile visitor floods the demo with page actions, wide files, workspaces, chats, runs and half-sent requests, all
from one address. The others act as people do, each from an address of their own: they open the page, use a sample, open
tabs, change settings and pause between two actions. Some chat with a trained run of their own. All on loopback.

.venv/bin/python benchmarks/load.py [--visitors 30] [--chatting 4] [--seconds 120] [--peaceful]
"""

import argparse
import random
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for the servers and visitors of the tests

from tests.security.attacks.s3_starving import wide
from tests.security.attacks.s5_chat import Chat, first_token
from tests.security.stage import Stage, Visitor

PAGE_GOAL, TOKEN_GOAL = 2.0, 10.0
"""Seconds: of the page actions at the 95th percentile, and of every first token."""
PAUSE = (2.0, 8.0)
"""Seconds between two actions of a person."""
HANDS = {"actions": 16, "uploads": 2, "workspaces": 1, "chats": 4, "runs": 1, "half-sent requests": 1}
"""Threads of the hostile visitor for each way of attack."""


@dataclass
class Waited:
    """What people waited for, in seconds, and what went wrong."""

    actions: list[tuple[str, float]] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    hostile: Counter[str] = field(default_factory=Counter)
    """Answers to the hostile visitor, by kind of attack and status."""


class Person(threading.Thread):
    """A visitor who acts as people do, until the time is over."""

    def __init__(self, who: Visitor, run: str, until: float, waited: Waited) -> None:
        super().__init__(daemon=True)
        self.who, self.run_id, self.until, self.waited = who, run, until, waited
        self.chance = random.Random(who.address)

    def run(self) -> None:
        time.sleep(self.chance.uniform(0, PAUSE[1]))
        self.act("open the page", lambda: self.who.get("/").status == 200)
        self.act("choose a task", lambda: self.good("model-body", "task", value="chat"))
        self.act("use a sample", lambda: self.good("model-body", "sample", name="support-tone"))
        acts: list[tuple[str, Callable[[], bool]]] = [
            ("open step 1", lambda: self.good("model-body", "draw")),
            ("open step 2", lambda: self.good("data-body", "draw")),
            ("open step 3", lambda: self.good("method-body", "draw")),
            ("open the runs", lambda: self.good("runs-body", "draw")),
            (
                "change a setting",
                lambda: self.good("method-body", "set", name="seed", value=str(self.chance.random())[2:6]),
            ),
            ("choose a preset", lambda: self.good("method-body", "preset", value="quick")),
            ("name the run", lambda: self.good("method-body", "name", value="my run")),
            ("turn the page", lambda: self.good("data-body", "page", value=str(self.chance.randrange(1, 100)))),
            ("ask for news", lambda: self.who.get("/studio/bar").status == 200),
        ]
        while time.monotonic() < self.until:
            if self.run_id and self.chance.random() < 0.3:
                self.chat()
            else:
                self.act(*self.chance.choice(acts))

    def act(self, name: str, do: Callable[[], bool]) -> None:
        """One action, and a pause after it."""
        if time.monotonic() > self.until:
            return
        began, good = time.monotonic(), False
        with suppress(OSError):
            good = do()
        self.waited.actions.append((name, time.monotonic() - began))
        self.waited.failed[name] += not good
        time.sleep(self.chance.uniform(*PAUSE))

    def good(self, region: str, act: str, **said: str) -> bool:
        """Whether the page was answered without a refusal."""
        answer = self.who.press(region, act, **said)
        return (
            answer.status == 200 and b"limit-reached" not in answer.body and b"Something went wrong" not in answer.body
        )

    def chat(self) -> None:
        """Ask the run, and wait for the first token."""
        spent, line = first_token(self.who, self.run_id, tokens=24, seconds=60)
        self.waited.tokens.append(spent)
        self.waited.failed["chat"] += '"who"' not in line
        time.sleep(self.chance.uniform(*PAUSE))


class Hostile:
    """A visitor who takes all that can be had, from one address."""

    def __init__(self, who: Visitor, run: str, until: float, waited: Waited) -> None:
        self.who, self.run_id, self.until, self.waited = who, run, until, waited
        self.wide = [wide("csv", longest=100_000), wide("jsonl", columns=5_000), wide("parquet", cell=3_000_000)]

    def begin(self) -> list[threading.Thread]:
        """All hands at once."""
        ways = {
            "actions": self.actions,
            "uploads": self.uploads,
            "workspaces": self.workspaces,
            "chats": self.chats,
            "runs": self.runs,
            "half-sent requests": self.half_sent,
        }
        hands = [
            threading.Thread(target=self.again, args=(name, ways[name]), daemon=True)
            for name, count in HANDS.items()
            for _ in range(count)
        ]
        for hand in hands:
            hand.start()
        return hands

    def again(self, name: str, attack: Callable[[], int]) -> None:
        """Attack until the time is over, at most 20 times a second for each hand."""
        while time.monotonic() < self.until:
            status = 0
            with suppress(OSError, ValueError, KeyError):
                status = attack()
            self.waited.hostile[f"{name}: {status or 'no answer'}"] += 1
            time.sleep(0.05)

    def actions(self) -> int:
        """The actions that take longest."""
        region, act = random.choice(
            (
                ("data-body", "draw"),
                ("method-body", "reckon"),
                ("runs-body", "draw"),
                ("data-body", "look"),
                ("model-body", "sample"),
            )
        )
        return self.who.press(region, act, name="support-tone").status

    def uploads(self) -> int:
        """Files that are wide."""
        sent = self.who.upload("wide.csv", random.choice(self.wide))
        if sent.status == 200:
            self.who.press("data-body", "file", ticket=sent.json["ticket"])
        return sent.status

    def workspaces(self) -> int:
        """Workspaces one after another, each with rows."""
        guest = Visitor(self.who.served, address=self.who.address)
        answer = guest.post("/studio/workspace")
        if answer.status == 200:
            guest.secret = answer.json["secret"]
            guest.press("data-body", "paste", pasted="question,answer\na,b\n" * 50)
        return answer.status

    def chats(self) -> int:
        """Replies as long as can be."""
        chat = Chat(self.who, self.run_id, 4096)
        chat.run()
        return chat.status

    def runs(self) -> int:
        """Runs of ten million steps, and shorter ones."""
        self.who.press("method-body", "set", name="max_steps", value=random.choice(("10000000", "2000")))
        answer = self.who.press("method-body", "start", newest=str(time.time()))
        time.sleep(1)
        return answer.status

    def half_sent(self) -> int:
        """Thirty requests that never end."""
        lines = []
        for _ in range(30):
            with suppress(OSError):
                line = socket.create_connection(
                    ("127.0.0.1", self.who.served.port), 2, source_address=(self.who.address, 0)
                )
                line.sendall(b"POST /studio/press HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n\r\n{")
                lines.append(line)
        time.sleep(5)
        for line in lines:
            line.close()
        return 200 if lines else 0


def prepare(stage: Stage, people: list[Visitor], hostile: Visitor) -> str:
    """A run that was trained once, in the workspaces of all who chat; the models are loaded."""
    run = stage.trained[1]
    for who in (*people, hostile):
        stage.copy_of_run(who)
    hostile.sample()
    first_token(people[0], run, seconds=120)
    return run


def main() -> int:
    """Print what the others waited for; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(description="A demo under load")
    parser.add_argument("--visitors", type=int, default=30, help="all of them, the hostile one included")
    parser.add_argument("--chatting", type=int, default=4, help="how many of the others chat")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--peaceful", action="store_true", help="without the hostile visitor, to compare with")
    asked = parser.parse_args()
    stage, waited = Stage(), Waited()
    try:
        others = [stage.visitor() for _ in range(max(1, asked.visitors - 1))]
        chatting = others[: max(1, asked.chatting)]
        hostile = stage.visitor()
        run = prepare(stage, chatting, hostile)
        until = time.monotonic() + asked.seconds
        hands = [] if asked.peaceful else Hostile(hostile, run, until, waited).begin()
        people = [Person(who, run if who in chatting else "", until, waited) for who in others]
        for person in people:
            person.start()
        for thread in (*people, *hands):
            thread.join(asked.seconds + 90)
        memory = sum(each.memory_info().rss for each in psutil.Process(stage.demo.process.pid).children(True)) / 1e6
    finally:
        stage.close()
    return report(waited, asked.visitors, asked.seconds, memory)


def report(waited: Waited, visitors: int, seconds: int, memory: float) -> int:
    """The figures, and whether the goals hold."""
    print(
        f"{visitors} visitors for {seconds} s, {psutil.cpu_count()} cores; "
        f"workers and model hosts take {memory:,.0f} MB at the end"
    )
    kinds = sorted({name for name, _ in waited.actions})
    print(f"\n{'':<22} {'n':>5} {'p50':>7} {'p95':>7} {'max':>7} {'failed':>7}")
    for name in ("all page actions", *kinds):
        spent = [each for kind, each in waited.actions if name in (kind, "all page actions")]
        failed = sum(waited.failed[kind] for kind in kinds) if name == "all page actions" else waited.failed[name]
        print(_line(name, spent, failed))
    print(_line("first chat token", waited.tokens, waited.failed["chat"]))
    if waited.hostile:
        print("\nAnswers to the hostile visitor:")
        print("\n".join(f"  {name:<32} {count:>6}" for name, count in sorted(waited.hostile.items())))
    actions = [each for _, each in waited.actions]
    page = percentile(actions, 95) < PAGE_GOAL if actions else False
    token = max(waited.tokens, default=float("inf")) < TOKEN_GOAL
    failed = sum(waited.failed.values())
    print(f"\nPage actions under {PAGE_GOAL:g} s at the 95th percentile: {'yes' if page else 'NO'}")
    print(f"First tokens under {TOKEN_GOAL:g} s: {'yes' if token else 'NO'}")
    print(f"No action of the others failed: {'yes' if not failed else f'NO ({failed})'}")
    return 0 if page and token and not failed else 1


def percentile(values: list[float], share: int) -> float:
    """The value below which so many of a hundred are."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1] if len(values) > 1 else values[0]


def _line(name: str, spent: list[float], failed: int) -> str:
    if not spent:
        return f"{name:<22} {0:>5}"
    middle, high = percentile(spent, 50), percentile(spent, 95)
    return f"{name:<22} {len(spent):>5} {middle:>6.2f}s {high:>6.2f}s {max(spent):>6.2f}s {failed:>7}"


if __name__ == "__main__":
    sys.exit(main())
