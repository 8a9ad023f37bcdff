"""S8: answers that are meant for another page."""

import json
import threading
import time
from http.client import HTTPConnection

from tests.security.attack import Seen, attack, held, seen
from tests.security.stage import Stage, Visitor


def listened(who: Visitor, page: str, seconds: float = 4) -> str:
    """What comes over the event stream of a page, by its name alone."""
    connection = HTTPConnection("127.0.0.1", who.served.port, timeout=seconds, source_address=(who.address, 0))
    headers = {"x-studio-workspace": who.secret} if who.secret else {}
    heard = b""
    until = time.monotonic() + seconds
    try:
        connection.request("GET", f"/gradio_api/queue/data?session_hash={page}", headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            return f"[status {answer.status}]"
        while time.monotonic() < until and (piece := answer.read1(65_536)):
            heard += piece
            if b"close_stream" in heard:
                break
    except OSError:
        pass
    finally:
        connection.close()
    return heard.decode(errors="replace")


def joined(who: Visitor, region: str = "data-body", **said: object) -> int:
    """The victim's page acts through the queue."""
    asked = {
        "data": [],
        "event_data": {"act": "draw", **said},
        "fn_index": who.handler(region),
        "session_hash": who.page,
    }
    return who.post("/gradio_api/queue/join", asked).status


LISTENERS = ["nobody", "another visitor", "an invented secret"]


def listener(stage: Stage, kind: str) -> Visitor:
    match kind:
        case "nobody":
            return Visitor(stage.demo)
        case "another visitor":
            return stage.visitor()
    return Visitor(stage.demo, "0123456789abcdef" * 3)


@attack("S8", "{0} reads the answers of another page through its session_hash", LISTENERS, quick=2)
def reads_answers(stage: Stage, kind: str) -> Seen:
    victim = stage.visitor()
    victim.bring()
    victim.acted("data-body", "view", value="rows")
    outsider, heard = listener(stage, kind), []
    ear = threading.Thread(target=lambda: heard.append(listened(outsider, victim.page, 6)))
    try:
        status = joined(victim)
    except (StopIteration, AssertionError):
        return held("the page has no handler in the queue")
    ear.start()
    ear.join(15)
    text = "".join(heard)
    return seen("stone" in text or '"output"' in text, f"join {status}; heard {len(text):,} characters: {text[:150]!r}")


@attack("S8", "{0} joins under another page's session_hash and acts on its data", LISTENERS)
def acts_for_another(stage: Stage, kind: str) -> Seen:
    victim = stage.visitor()
    victim.bring()
    outsider = listener(stage, kind)
    outsider.page = victim.page
    shown = outsider.acted("data-body", "view", value="rows")
    try:
        joined(outsider)
    except (StopIteration, AssertionError):
        return seen("stone" in shown, shown[:100])
    text = listened(outsider, victim.page, 3) + shown
    return seen("stone" in text, text[:150])


@attack("S8", "{0} ends the work of another page by /cancel or /reset", LISTENERS)
def cancels(stage: Stage, kind: str) -> Seen:
    victim = stage.visitor()
    victim.bring()
    outsider = listener(stage, kind)
    statuses = []
    for path in ("/gradio_api/cancel", "/gradio_api/reset"):
        for number in range(3):
            asked = {"session_hash": victim.page, "fn_index": number, "event_id": "x" * 32}
            statuses.append(outsider.post(path, asked).status)
    shown = victim.acted("data-body", "view", value="rows")
    return seen(
        "stone" not in shown or any(each >= 500 for each in statuses), f"{statuses}; the victim's page: {shown[:80]}"
    )


@attack("S8", "A heartbeat under another page's session_hash ends its session", quick=False)
def heartbeats(stage: Stage) -> Seen:
    victim = stage.visitor()
    victim.bring()
    victim.acted("data-body", "view", value="rows")
    outsider = Visitor(stage.demo)
    connection = HTTPConnection("127.0.0.1", outsider.served.port, timeout=2)
    try:
        connection.request("GET", f"/gradio_api/heartbeat/{victim.page}")
        connection.getresponse()
    except OSError:
        pass
    connection.close()
    time.sleep(1)
    shown = victim.acted("data-body", "draw")
    return seen("stone" not in shown, shown[:100])


@attack(
    "S8",
    "A stream without an end is opened under an invented session_hash ({0})",
    ["x", "", "a" * 5_000, "../..", "%00"],
)
def invented_streams(stage: Stage, page: str) -> Seen:
    answer = listened(Visitor(stage.demo), page or "", 3)
    return seen('"output"' in answer or "[status 5" in answer, answer[:100])


@attack("S8", "A press under another page's name changes what that page shows")
def presses_for_another(stage: Stage) -> Seen:
    victim = stage.visitor()
    victim.bring()
    before = json.dumps(victim.space.drafts.get("page"))
    outsider = stage.visitor()
    outsider.page = victim.page
    outsider.acted("method-body", "name", value="evil")
    return seen(json.dumps(victim.space.drafts.get("page")) != before, "the victim's draft changed")
