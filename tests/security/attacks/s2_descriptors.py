"""S2: requests that use up the server's file descriptors, and the disk by its log."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache

import psutil

from tests.browser.served import Served
from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import Stage, Visitor, log_of, time_call

DESCRIPTORS = 256


def small_demo(stage: Stage) -> Served:
    """A demo whose process may have no more than 256 files open, as under `ulimit -n 256`."""
    return stage.serve("--demo", descriptors=DESCRIPTORS)


def verdict(served: Served, failed: int, what: str) -> Outcome:
    """Whether the server still answers another visitor, failed to answer, or wrote a long log."""
    other = Visitor(served)
    other.patience = 10
    _, answer = time_call(lambda: other.get("/"))
    alive = getattr(answer, "status", 0) == 200
    log = len(log_of(served))
    opened = psutil.Process(served.process.pid).num_fds()
    words = f"{what}: {failed} answers of 500 or none, another visitor is served: {alive}"
    words += f", {opened} files open, log of {log:,} bytes"
    return outcome(failed > 0 or not alive or log > 200_000, words)


def status_of(guest: Visitor) -> int:
    """The status of a small request; 500 when there is no answer."""
    with suppress(OSError):
        return guest.get("/studio/bar").status
    return 500


@attack("S2", "100 workspaces are opened from one address at `ulimit -n 256`", quick=True)
def opens_workspaces(stage: Stage) -> Outcome:
    served = small_demo(stage)
    who, failed, made = Visitor(served), 0, set()
    who.patience = 3
    for _ in range(100):
        if failed > 3:
            break
        _, answer = time_call(lambda: who.post("/studio/workspace"))
        status = getattr(answer, "status", 500)
        failed += status >= 500
        if status != 200:
            continue
        guest = Visitor(served, answer.json["secret"], who.address)
        guest.patience = 3
        made.add(guest.secret)
        failed += status_of(guest) >= 500
    return verdict(served, failed, f"{len(made)} workspaces")


@attack("S2", "60 workspaces are used from 60 addresses at `ulimit -n 256`")
def opens_workspaces_from_many_addresses(stage: Stage) -> Outcome:
    served, failed = small_demo(stage), 0
    for _ in range(60):
        if failed > 3:
            break
        guest = Visitor(served)
        guest.patience = 5
        with suppress(OSError):
            guest.begin()
            guest.acted("data-body", "paste", pasted="question,answer\na,b\n")
        failed += status_of(guest) >= 500
    return verdict(served, failed, "60 workspaces with rows")


@attack("S2", "A secret that was never issued makes the server open a database")
def invented_secrets(stage: Stage) -> Outcome:
    served = stage.demo
    before = len(list((served.home / "workspaces").iterdir())), psutil.Process(served.process.pid).num_fds()
    for number in range(50):
        Visitor(served, f"{number:048x}").get("/studio/bar")
    after = len(list((served.home / "workspaces").iterdir())), psutil.Process(served.process.pid).num_fds()
    return outcome(
        after[0] > before[0] or after[1] > before[1] + 20,
        f"workspaces and open files before and after: {before}, {after}",
    )


@attack("S2", "Opening the page 40 times makes 40 folders on the disk")
def empty_workspaces(stage: Stage) -> Outcome:
    served = stage.demo
    before = len(list((served.home / "workspaces").iterdir()))
    for _ in range(40):
        Visitor(served, address="127.9.9.9").post("/studio/workspace")
    made = len(list((served.home / "workspaces").iterdir())) - before
    return outcome(made > 20, f"{made} folders for 40 requests")


def half_sent(
    served: Served, text: bytes, number: int, seconds: float, address: str = "127.8.0.1"
) -> tuple[int, list[socket.socket]]:
    """Open connections that never send the rest; how many are still open after so many seconds."""
    lines = []
    for _ in range(number):
        with suppress(OSError):
            line = socket.create_connection(("127.0.0.1", served.port), 5, source_address=(address, 0))
            line.sendall(text)
            lines.append(line)
    until, still = time.monotonic() + seconds, lines
    while still and time.monotonic() < until:
        time.sleep(0.5)
        still = [line for line in still if _is_open(line)]
    return len(still), lines


def _is_open(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        while True:
            if not line.recv(65_536):
                return False
    except BlockingIOError:
        return True
    except OSError:
        return False


HALF = {
    "a request line": b"GET /studio/bar HT",
    "headers": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ",
    "a body of which one byte comes": b"POST /studio/workspace HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n{",
    "an upload of which one byte comes": b"PUT /studio/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Studio-Workspace: %s\r\n"
    b"Content-Length: 900000\r\n\r\na",
    "a chunk that never ends": b"POST /gradio_api/component_server/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n{",
    "nothing at all": b"",
}


@cache
def still_open(stage: Stage) -> dict[str, int]:
    """How many of 10 connections of each kind are open after 65 seconds, each kind from an address of its own."""
    with ThreadPoolExecutor(len(HALF)) as pool:
        works = {}
        for number, (kind, text) in enumerate(HALF.items()):
            text = text % stage.anna.secret.encode() if b"%s" in text else text
            works[kind] = pool.submit(half_sent, stage.demo, text, 10, 65, f"127.8.1.{number + 1}")
    for work in works.values():
        for line in work.result()[1]:
            line.close()
    return {kind: work.result()[0] for kind, work in works.items()}


@attack("S2", "Connections that send half of {0} stay open for a minute", list(HALF))
def stays_open(stage: Stage, kind: str) -> Outcome:
    left = still_open(stage)[kind]
    return outcome(left > 0, f"{left} of 10 are still open after 65 seconds")


@attack("S2", "220 half-sent requests shut out everybody else at `ulimit -n 256`")
def half_sent_requests_shut_out(stage: Stage) -> Outcome:
    served = small_demo(stage)
    _, lines = half_sent(served, HALF["headers"], 220, 2)
    found = verdict(served, 0, f"{len(lines)} half-sent requests of one address")
    for line in lines:
        line.close()
    return found
