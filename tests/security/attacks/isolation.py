"""One visitor reaches another's rows, runs, uploads or tickets by their ids."""

from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import ROWS, Stage, Visitor

ROUTES = [
    "GET /studio/run/{run}",
    "GET /studio/run/{run}?after=0",
    "GET /studio/run/{run}/log",
    "GET /studio/run/{run}/report.json",
    "GET /studio/run/{run}/report.html",
    "GET /studio/run/{run}/curve.csv",
    "GET /studio/bar?run={run}",
    "GET /studio/labels/{data}.csv",
    "GET /studio/labels/{data}.jsonl",
    "GET /studio/labels/{data}.csv?each=true",
    "POST /studio/run/{run}/warm",
    "POST /studio/run/{run}/chat",
    "POST /studio/ticket adapter",
    "POST /studio/ticket run",
    "POST /studio/ticket run-with-rows",
    "GET /?run={run}",
    "GET /studio/run/..%2F{space}%2Fruns%2F{run}",
    "GET /studio/run/../../{space}/runs/{run}/log",
]
WHO = ["another visitor", "nobody"]


def stranger(stage: Stage, kind: str) -> Visitor:
    return stage.visitor() if kind == "another visitor" else Visitor(stage.demo)


@attack("isolation", "{0}", [(f"{kind} asks {route}", kind, route) for kind in WHO for route in ROUTES], quick=3)
def anothers_run(stage: Stage, payload: tuple[str, str, str]) -> Outcome:
    _, kind, route = payload
    owner, run = stage.trained
    data = owner.datasets()[0].id
    other = stranger(stage, kind)
    method, _, rest = route.partition(" ")
    path, _, form = rest.format(run=run, data=data, space=owner.space.name).partition(" ")
    body = {"run": run, "format": form} if form else {"messages": [{"role": "user", "content": "Where?"}]}
    answer = other.get(path) if method == "GET" else other.post(path, body)
    text = answer.body.decode(errors="replace")
    things = ("stone",) if "/?run" in route else (run, "link", '"who"', "stone")
    reached = answer.status == 200 and any(each in text for each in things)
    return outcome(reached, f"{answer.status}: {text[:120]}")


ACTS = [
    ("runs-body", "open", "run"),
    ("runs-body", "rename", "run"),
    ("runs-body", "delete", "run"),
    ("runs-body", "resume", "run"),
    ("runs-body", "run-note", "run"),
    ("runs-body", "run-archive", "run"),
    ("runs-body", "run-pause", "run"),
    ("runs-body", "run-extend", "run"),
    ("runs-body", "again-start", "run"),
    ("runs-body", "run-checkpoints", "run"),
    ("runs-body", "pick", "run"),
    ("runs-body", "move", "run"),
    ("runs-body", "more", "run"),
    ("runs-body", "weigh", "run"),
    ("train-actions", "stop", "run"),
    ("train-actions", "pause", "run"),
    ("train-actions", "delete", "run"),
    ("train-actions", "finish", "run"),
    ("train-actions", "resume", "run"),
    ("train-actions", "again", "run"),
    ("chat-view", "choose", "run"),
    ("evaluate-actions", "evaluate", "run"),
    ("export-actions", "export", "run"),
    ("data-body", "reopen", "dataset"),
    ("data-body", "delete-data", "dataset"),
    ("data-body", "rename-data", "dataset"),
    ("data-body", "duplicate-data", "dataset"),
    ("data-body", "renaming-data", "dataset"),
    ("data-body", "use-made", "dataset"),
    ("method-body", "set", "start_from"),
    ("method-body", "set", "replay_from"),
]


@attack(
    "isolation",
    "Another visitor's action {0} with the id of a run or rows",
    [(f"{region} {act} ({field})", region, act, field) for region, act, field in ACTS],
)
def anothers_things(stage: Stage, payload: tuple[str, str, str, str]) -> Outcome:
    _, region, act, field = payload
    owner, run = stage.trained
    data = owner.datasets()[0].id
    before = owner.space.runs.get(run), [each.model_dump() for each in owner.datasets()], len(owner.runs())
    other = stage.visitor()
    other.sample()
    if field in ("start_from", "replay_from"):
        mixed = {"replay": "0.3"} if field == "replay_from" else {}
        shown = other.start(**{field: run if field == "start_from" else data, "max_steps": "1", **mixed})
        configs = [other.space.runs.spec(each.id).config for each in other.runs()]
        reached = any(getattr(each, field) in (run, data) for each in configs)
        other.stop_runs()
        return outcome(reached, shown[:120])
    value = run if field == "run" else data
    shown = other.acted(
        region,
        act,
        **{field: value, "value": "mine now", "format": "adapter", "to": "1", "passes": "1", "wish": "discard"},
    )
    after = owner.space.runs.get(run), [each.model_dump() for each in owner.datasets()], len(owner.runs())
    copied = any(each.id in (run, data) for each in [*other.runs(), *other.datasets()])
    other.stop_runs()
    return outcome(before != after or copied, f"changed: {before != after}, copied: {copied}; {shown[:100]}")


@attack(
    "isolation",
    "Another visitor takes an upload by its ticket ({0})",
    ["{ticket}", "../{space}/{ticket}", "{space}/{ticket}", "*", "{ticket}\x00"],
)
def anothers_upload(stage: Stage, form: str) -> Outcome:
    owner = stage.visitor()
    ticket = owner.upload("stones.csv", ROWS).json["ticket"]
    other = stage.visitor()
    shown = other.acted("data-body", "file", ticket=form.format(ticket=ticket, space=owner.space.name))
    return outcome("stone" in shown or bool(other.datasets()), shown[:120])


@attack("isolation", "A link to a file is used {0}", ["a second time", "by guessing", "with a path for its key"])
def links(stage: Stage, how: str) -> Outcome:
    owner, run = stage.trained
    link = owner.post("/studio/ticket", {"run": run, "format": "run"}).json["link"]
    if how == "a second time":
        Visitor(stage.demo).get(link)
    elif how == "by guessing":
        link = link[:-1] + ("A" if link[-1] != "A" else "B")
    else:
        link = "/studio/ticket/..%2F..%2F" + owner.space.name + "%2Fstudio.db"
    answer = Visitor(stage.demo).get(link)
    return outcome(answer.status == 200, f"{answer.status}: {answer.body[:60]!r}")


SECRETS = [
    "",
    "default",
    "0" * 48,
    "visitor-" + "0" * 32,
    "../default",
    "{space}",
    "{secret}x",
    "{secret}\x20",
    "'; DROP TABLE runs; --",
    "%00",
    "{short}",
]


@attack("isolation", "The workspace header {0} opens a workspace", SECRETS)
def workspace_names(stage: Stage, text: str) -> Outcome:
    owner = stage.anna
    name = owner.space.name
    value = text.format(space=name if name != owner.secret else "0" * 47, secret=owner.secret, short=owner.secret[:-1])
    other = Visitor(stage.demo, value.strip() if text == "{secret} " else value)
    answer = other.get("/studio/bar")
    shown = other.acted("data-body", "view", value="rows")
    same = value.strip() == owner.secret
    return outcome(not same and (answer.status == 200 or "stone" in shown), f"{answer.status}: {shown[:80]}")


@attack("isolation", "Two workspace headers in one request open the second one's")
def two_headers(stage: Stage) -> Outcome:
    from tests.security.attacks.s11_malformed import send_raw

    owner = stage.anna
    answer = send_raw(
        stage.demo,
        f"GET /studio/bar HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Studio-Workspace: {'0' * 48}\r\n"
        f"X-Studio-Workspace: x{owner.secret}\r\n"
        "Connection: close\r\n\r\n".encode(),
    )
    return outcome(b" 200 " in answer[:20], repr(answer[:60]))


@attack(
    "isolation", "A visitor sees in {0} what others do", ["the queue", "the storage panel", "the storage of models"]
)
def others_things_are_shown(stage: Stage, where: str) -> Outcome:
    owner = stage.visitor()
    owner.sample()
    owner.acted("method-body", "name", value="very-secret-name")
    owner.start(max_steps="200")
    other = stage.visitor()
    other.sample()
    if where == "the queue":
        other.start(max_steps="5")
    shown = other.acted("runs-body", "look") + other.acted("train-actions", "draw") + other.get("/studio/bar").text
    owner.stop_runs()
    other.stop_runs()
    return outcome("very-secret-name" in shown or owner.secret in shown or owner.space.name in shown, shown[:100])
