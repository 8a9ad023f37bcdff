"""S8: actions and answers that are meant for another page, and the event queue, which a demo does not have."""

import json
from http.client import HTTPConnection
from typing import Any

import psutil

from studio.ui.http.security import CALL
from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import Stage, Visitor, shown_text

LISTENERS = ["nobody", "another visitor", "an invented secret"]
QUEUE = [
    "GET /gradio_api/queue/data?session_hash={page}",
    "GET /gradio_api/queue/status",
    "GET /gradio_api/heartbeat/{page}",
    "POST /gradio_api/queue/join",
    "POST /gradio_api/queue/data",
    "POST /gradio_api/cancel",
    "POST /gradio_api/reset",
    "POST /gradio_api/call/act",
    "POST /gradio_api/run/act",
    "POST /studio/press",
]
"""How the page's actions were sent and answered before."""


def listener(stage: Stage, kind: str) -> Visitor:
    match kind:
        case "nobody":
            return Visitor(stage.demo)
        case "another visitor":
            return stage.visitor()
    return Visitor(stage.demo, "0123456789abcdef" * 3)


def victim_of(stage: Stage) -> Visitor:
    """A visitor whose open page shows rows."""
    victim = stage.visitor()
    victim.bring()
    victim.acted("data-body", "view", value="rows")
    return victim


@attack("S8", "{0} reads the answers of another page through its session_hash", LISTENERS, quick=2)
def reads_answers(stage: Stage, kind: str) -> Outcome:
    victim, outsider = victim_of(stage), listener(stage, kind)
    victim.acted("data-body", "draw")
    stream = outsider.get(f"/gradio_api/queue/data?session_hash={victim.page}")
    outsider.page = victim.page
    shown = shown_text(outsider.act("data-body", "draw")) + shown_text(outsider.act("page", "load"))
    return outcome(
        stream.status != 404 or "stone" in shown, f"stream {stream.status}; {len(shown):,} characters: {shown[:150]!r}"
    )


@attack("S8", "The address of the event queue {0} answers for another page", QUEUE, quick=2)
def queue_is_closed(stage: Stage, route: str) -> Outcome:
    victim = stage.anna
    method, _, path = route.partition(" ")
    asked = {
        "session_hash": victim.page,
        "fn_index": 0,
        "event_id": "x" * 32,
        "data": [],
        "event_data": {"act": "draw"},
    }
    statuses = []
    for who in (victim, Visitor(stage.demo), Visitor(stage.locked)):
        place = path.format(page=victim.page)
        statuses.append((who.get(place) if method == "GET" else who.post(place, asked)).status)
    return outcome(not set(statuses) <= {404, 401} or statuses[0] != 404, f"visitor, nobody, not logged in: {statuses}")


@attack("S8", "{0} joins under another page's session_hash and acts on its data", LISTENERS)
def acts_for_another(stage: Stage, kind: str) -> Outcome:
    victim, outsider = victim_of(stage), listener(stage, kind)
    outsider.page = victim.page
    joined = outsider.post("/gradio_api/queue/join", {"data": [], "fn_index": 0, "session_hash": victim.page}).status
    shown = outsider.acted("data-body", "view", value="rows") + outsider.acted("data-body", "draw")
    return outcome("stone" in shown or joined != 404, f"join {joined}; {shown[:100]}")


REGIONS = ["tab-data", "data-body", "tab-method", "method-body", "tab-runs", "runs-body", "tab-model", "page"]


@attack("S8", "Another visitor acts in {0} under the name of an open page that shows another tab", REGIONS, quick=1)
def acts_in_another_tab(stage: Stage, region: str) -> Outcome:
    victim, outsider = victim_of(stage), stage.visitor()
    name = victim.datasets()[0].name
    before = json.dumps(victim.space.drafts.get("page"))
    outsider.page = victim.page
    shown = outsider.acted(region, "draw") + outsider.acted(region, "delete-data", dataset=victim.datasets()[0].id)
    changed = json.dumps(victim.space.drafts.get("page")) != before or not victim.datasets()
    return outcome("stone" in shown or name in shown or changed, f"the victim's page changed: {changed}; {shown[:100]}")


@attack("S8", "{0} ends the work of another page by /cancel or /reset", LISTENERS)
def cancels(stage: Stage, kind: str) -> Outcome:
    victim, outsider = victim_of(stage), listener(stage, kind)
    statuses = []
    for path in ("/gradio_api/cancel", "/gradio_api/reset"):
        for number in range(3):
            asked = {"session_hash": victim.page, "fn_index": number, "event_id": "x" * 32}
            statuses.append(outsider.post(path, asked).status)
    shown = victim.acted("data-body", "view", value="rows")
    return outcome(
        "stone" not in shown or any(each != 404 for each in statuses), f"{statuses}; the victim's page: {shown[:80]}"
    )


@attack("S8", "A heartbeat under another page's session_hash ends its session", quick=False)
def heartbeats(stage: Stage) -> Outcome:
    victim = victim_of(stage)
    status = Visitor(stage.demo).get(f"/gradio_api/heartbeat/{victim.page}").status
    shown = victim.acted("data-body", "draw")
    return outcome("stone" not in shown or status != 404, f"{status}; {shown[:100]}")


@attack(
    "S8",
    "A stream without an end is opened under an invented session_hash ({0})",
    ["x", "", "a" * 5_000, "../..", "%00"],
)
def invented_streams(stage: Stage, page: str) -> Outcome:
    who = Visitor(stage.demo, stage.anna.secret)
    who.patience = 5
    answer = who.get(f"/gradio_api/queue/data?session_hash={page}")
    return outcome(answer.status != 404, f"{answer.status}: {answer.text[:100]}")


@attack("S8", "A press under another page's name changes what that page shows")
def presses_for_another(stage: Stage) -> Outcome:
    victim = stage.visitor()
    victim.bring()
    before = json.dumps(victim.space.drafts.get("page"))
    outsider = stage.visitor()
    outsider.page = victim.page
    outsider.acted("method-body", "name", value="evil")
    return outcome(json.dumps(victim.space.drafts.get("page")) != before, "the victim's draft changed")


PAGES = [
    "",
    "a" * 65,
    "a" * 100_000,
    "../x",
    "a b",
    "a\x00",
    "a\n",
    "\ud800",
    "ａ",
    "__class__",
    "*",
    "%2e",
    "default",
    None,
    7,
    True,
    ["a"],
    {"a": "b"},
]


@attack("S8", "A page named {0} shows another visitor's rows, or breaks the server", PAGES)
def odd_pages(stage: Stage, page: Any) -> Outcome:
    outsider = stage.visitor()
    victim_of(stage)
    outsider.page = page
    answer = outsider.act("data-body", "draw")
    return outcome(answer.status != 200 or "stone" in answer.text or "Something went" in answer.text, answer.text[:150])


def wrong_secrets(victim: Visitor, other: Visitor) -> dict[str, Any]:
    """Values of `secret` in an action that are not the victim's secret."""
    good = victim.secret
    return {
        "guessed": "0123456789abcdef" * 3,
        "without its last letter": good[:-1],
        "with a space": f" {good}",
        "with a line end": f"{good}\n",
        "in capitals": good.upper() if good.upper() != good else f"{good}x",
        "with the signature of another": good[:24] + other.secret[24:],
        "in a list": [good],
        "in an object": {"secret": good},
        "as a number": 7,
        "as true": True,
        "as null": None,
        "of 1 MB": good * 20_000,
        "of strange letters": "é\u202e\ud800" * 16,
        "that is the name of the workspace": victim.space.name,
        "that is the owner's workspace": "default",
        "that is a path": "../" + victim.space.name,
    }


SECRETS = [
    "guessed",
    "without its last letter",
    "with a space",
    "with a line end",
    "in capitals",
    "with the signature of another",
    "in a list",
    "in an object",
    "as a number",
    "as true",
    "as null",
    "of 1 MB",
    "of strange letters",
    "that is the name of the workspace",
    "that is the owner's workspace",
    "that is a path",
]


@attack("S8", "An action with a secret {0} opens a workspace, also with the right one in a header", SECRETS, quick=3)
def opens_with_a_wrong_secret(stage: Stage, kind: str) -> Outcome:
    victim = stage.anna
    outsider = Visitor(stage.demo)
    wrong = wrong_secrets(victim, stage.visitor())[kind]
    texts = []
    for header in ({}, {"x_studio_workspace": victim.secret}):
        for region in ("data-body", "page", "runs-body"):
            data = {"secret": wrong, "page": victim.page, "region": region, "said": {"act": "draw"}}
            answer = outsider.call(data, **header)
            texts.append(answer.text if answer.status < 500 else "status 500")
    bad = [each[:150] for each in texts if "lost its workspace" not in each]
    return outcome(bool(bad), str(bad[:2]))


@attack("S8", "An action without a secret is answered for the visitor in the header", quick=True)
def secret_in_a_header_alone(stage: Stage) -> Outcome:
    victim = stage.anna
    asked = Visitor(stage.demo).body({})
    asked["data"] = {"page": "a", "region": "data-body", "said": {"act": "draw"}}
    answer = Visitor(stage.demo).post(CALL, asked, x_studio_workspace=victim.secret)
    return outcome("stone" in answer.text or "lost its workspace" not in answer.text, answer.text[:150])


@attack("S8", "{0} invented session_hash names fill the memory of the server", ["1000", "10000"], quick=1)
def invented_sessions(stage: Stage, names: str) -> Outcome:
    number = int(names)
    served = stage.alone if number < 5_000 else stage.serve()
    who = Visitor(served, address="127.0.0.1")
    data = {"page": "a", "region": "model-body", "said": {"act": "no-such-act"}}
    line = HTTPConnection("127.0.0.1", served.port, timeout=30)

    def memory_after(numbers: range) -> int:
        for each in numbers:
            line.request(
                "POST",
                CALL + "/",
                json.dumps(who.body(data, session_hash=f"invented-{each}")),
                {"Content-Type": "application/json"},
            )
            answer = line.getresponse()
            assert answer.status == 200 and b"regions" in answer.read()
        return psutil.Process(served.process.pid).memory_info().rss

    before = memory_after(range(500))
    grown = memory_after(range(500, 500 + number)) - before
    line.close()
    return outcome(grown > 8_000_000, f"the server's memory grew by {grown / 1e6:.1f} MB with {number:,} names")


@attack("S8", "4,000 invented names of pages fill the memory of the server")
def invented_pages(stage: Stage) -> Outcome:
    served = stage.serve()
    who = Visitor(served, address="127.0.0.1")
    line = HTTPConnection("127.0.0.1", served.port, timeout=30)

    def memory_after(numbers: range) -> int:
        for each in numbers:
            data = {"page": f"page-{each}", "region": "model-body", "said": {"act": "task", "value": "chat"}}
            line.request("POST", CALL + "/", json.dumps(who.body(data)), {"Content-Type": "application/json"})
            line.getresponse().read()
        return psutil.Process(served.process.pid).memory_info().rss

    before = memory_after(range(1_500))  # more than are remembered
    grown = memory_after(range(1_500, 4_000)) - before
    line.close()
    return outcome(grown > 15_000_000, f"the server's memory grew by {grown / 1e6:.1f} MB")
