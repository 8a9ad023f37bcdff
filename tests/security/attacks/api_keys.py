"""Keys of the API server: wrong ones, right ones in the wrong place, what is shown without one, where one is left."""

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from tests.security.api_server import CHAT, JSON, LABELS, TEXT, ApiServer, Headers, chat_body, error_of
from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import Stage, wait_for

STARTER = "starter-chat"


def bearer(key: str) -> Headers:
    """A header with a key."""
    return [("Authorization", f"Bearer {key}")]


def hash_of_key(server: ApiServer) -> str:
    """What the data folder has of the key."""
    saved: str = json.loads((server.home / "api-keys.json").read_text())["attacked"]["hash"]
    return saved


WRONG: list[tuple[str, Callable[[ApiServer], Headers], str]] = [
    ("no header", lambda s: [], ""),
    ("an empty header", lambda s: [("Authorization", "")], ""),
    ("Bearer and no key", lambda s: [("Authorization", "Bearer")], ""),
    ("Bearer and spaces", lambda s: [("Authorization", "Bearer    ")], ""),
    ("a key that was never made", lambda s: bearer("sk-studio-" + "A" * 43), ""),
    ("a key that was removed", lambda s: bearer(s.removed_key), ""),
    ("the key without its last letter", lambda s: bearer(s.key[:-1]), ""),
    ("the key and one letter more", lambda s: bearer(s.key + "A"), ""),
    ("the key in capitals", lambda s: bearer(s.key.upper()), ""),
    ("two keys in one header", lambda s: bearer(f"wrong, Bearer {s.key}"), ""),
    ("the hash of the key", lambda s: bearer(hash_of_key(s)), ""),
    ("the name of the key", lambda s: bearer("attacked"), ""),
    ("a key of 30,000 letters", lambda s: bearer("a" * 30_000), ""),
    ("a key of letters beyond ASCII", lambda s: bearer("\xe9\xff\xa0" * 20), ""),
    ("null", lambda s: bearer("null"), ""),
    ("the key as a password", lambda s: [("Authorization", f"Basic {_basic(s)}")], ""),
    ("the key as a token", lambda s: [("Authorization", f"Token {s.key}")], ""),
    ("the key without Bearer", lambda s: [("Authorization", s.key)], ""),
    ("the key in X-API-Key", lambda s: [("X-API-Key", s.key), ("api-key", s.key)], ""),
    ("the key in a cookie", lambda s: [("Cookie", f"key={s.key}; api_key={s.key}; Authorization=Bearer {s.key}")], ""),
    ("the key in Proxy-Authorization", lambda s: [("Proxy-Authorization", f"Bearer {s.key}")], ""),
    (
        "the key in the address",
        lambda s: [],
        "?api_key={key}&access_token={key}&Authorization=Bearer%20{key}",
    ),
    ("two headers, the wrong one first", lambda s: [*bearer("wrong"), *bearer(s.key)], ""),
    ("an address that a proxy would add", lambda s: [("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1")], ""),
    ("a user that a proxy would add", lambda s: [("X-Forwarded-User", "owner"), ("Remote-User", "owner")], ""),
]
"""What is sent in place of the right header, and after the path."""


def _basic(server: ApiServer) -> str:
    return base64.b64encode(f":{server.key}".encode()).decode()


@attack("api-keys", "{0} opens an endpoint", WRONG, quick=3)
def wrong_key(stage: Stage, payload: tuple[str, Callable[[ApiServer], Headers], str]) -> Outcome:
    server = stage.api
    headers, after = payload[1](server), payload[2].format(key=server.key)
    body = chat_body(server.run)
    answers = [server.ask("GET", path + after, headers=headers) for path in ("/v1/models", "/metrics")]
    answers += [server.ask("GET", f"/v1/models/{server.run}{after}", headers=headers)]
    answers += [server.ask("POST", path + after, body, headers) for path in (CHAT, TEXT, LABELS)]
    health = server.ask("GET", f"/health{after}", headers=headers)
    named = any(server.run in each.body.decode() for each in (*answers, health)) or b"engines" in health.body
    statuses = [each.status for each in answers]
    return outcome(named or not set(statuses) <= {400, 401, 431}, f"{statuses}; {health.text}")


@attack("api-keys", "The key in the body of a request opens an endpoint", quick=True)
def key_in_the_body(stage: Stage) -> Outcome:
    server = stage.api
    named = {"api_key": server.key, "key": server.key, "Authorization": f"Bearer {server.key}"}
    answers = [server.ask("POST", path, chat_body(server.run, **named), []) for path in (CHAT, TEXT, LABELS)]
    with_key = server.chat(**named)
    statuses = [each.status for each in answers]
    return outcome(set(statuses) != {401} or with_key.status != 400, f"{statuses}; with a key too: {with_key.status}")


OPEN = [
    "/health",
    "/ready",
    "/metrics",
    "/health?verbose=1&engines=1",
    "/health/",
    "//health",
    "/health/../metrics",
    "/health/..%2fmetrics",
    "//metrics",
    "/metrics/",
    "/METRICS",
    "/metrics?x=/health",
    "/v1/models",
    "/v1/models/",
    "/v1/models/x",
    "/v1/models/..%2f..%2fhealth",
    "/v1",
    "/",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/favicon.ico",
    "/static/../api-keys.json",
    "/api-keys.json",
    "/logs/server.log",
    "/load_model",
    "/v1/engines",
    "/debug",
]


@attack("api-keys", "Without a key, {0} names a model, an engine, a key or a path", OPEN, quick=3)
def names_without_a_key(stage: Stage, path: str) -> Outcome:
    server = stage.api
    answers = [server.ask(method, path, headers=[]) for method in ("GET", "POST", "OPTIONS", "HEAD", "TRACE")]
    text = "".join(each.text + json.dumps(each.headers) for each in answers)
    names = [
        server.run,
        STARTER,
        "engine_up",
        '"engine',
        "attacked",
        hash_of_key(server),
        str(server.home),
        "Traceback",
    ]
    return outcome(any(name in text for name in names), f"{[each.status for each in answers]}: {text[:200]}")


KEY_PLACES: list[tuple[str, Callable[[ApiServer, str], object]]] = [
    ("as a wrong key", lambda s, key: s.ask("GET", "/v1/models", headers=bearer(key))),
    ("in an address", lambda s, key: s.ask("GET", f"/v1/models?api_key={key}", headers=[])),
    ("in the path of an address", lambda s, key: s.ask("GET", f"/v1/{key}")),
    ("as the name of a model", lambda s, key: s.ask("GET", f"/v1/models/{key}")),
    ("as a parameter", lambda s, key: s.chat(**{key: 1})),
    ("as a model in a body", lambda s, key: s.chat(model=key)),
    ("as a role", lambda s, key: s.chat(messages=[{"role": key, "content": "x"}])),
    ("in a body that is no JSON", lambda s, key: s.ask("POST", CHAT, f'{{"key": "{key}"'.encode())),
    ("in a content type", lambda s, key: s.ask("POST", CHAT, b"{}", [*s.right, ("Content-Type", key)])),
    ("in a prompt", lambda s, key: s.chat(messages=[{"role": "user", "content": f"My key is {key}."}])),
    ("as a user", lambda s, key: s.chat(user=key, metadata={"key": key})),
]


@attack("api-keys", "A key that was sent {0} is in a log or shown by another endpoint", KEY_PLACES, quick=1)
def key_in_a_log(stage: Stage, payload: tuple[str, Callable[[ApiServer, str], object]]) -> Outcome:
    """Once with the key of the server, and once with one that is not valid here."""
    server, foreign = stage.api, "sk-studio-" + "F" * 43
    for key in (server.key, foreign):
        payload[1](server, key)
    shown = server.log_text()
    for path in ("/metrics", "/health", "/v1/models"):
        shown += server.ask("GET", path).text
    found = [key[:16] for key in (server.key, foreign) if key in shown]
    return outcome(bool(found), f"found: {found}")


@attack("api-keys", "A key is in the arguments or environment of a process, or in a file", quick=True)
def key_of_a_process(stage: Stage) -> Outcome:
    server = stage.api
    server.chat()
    found = []
    for process in server.processes():
        with suppress(psutil.Error):
            texts = {"arguments": " ".join(process.cmdline()), "environment": json.dumps(process.environ())}
            found += [f"{name} of {process.name()}" for name, text in texts.items() if server.key in text]
    for file in server.home.rglob("*"):
        if file.is_file() and server.key.encode() in file.read_bytes():
            found.append(str(file))
    readable = (server.home / "api-keys.json").stat().st_mode & 0o077
    return outcome(bool(found) or bool(readable), f"{found}; others may read api-keys.json: {bool(readable)}")


@attack("api-keys", "The secret between server and engine is in the engine's environment", quick=True)
def secret_of_the_engine(stage: Stage) -> Outcome:
    """An engine has forgotten it when it answers, also where the system shows the memory of the environment."""
    [_, engine, *_] = stage.api.processes()
    place = Path(f"/proc/{engine.pid}/environ")
    raw = place.read_bytes() if place.exists() else b""
    shown = [each for each in raw.split(b"\0") if each.startswith(b"STUDIO_SERVED_SECRET=") and len(each) > 30]
    return outcome(bool(shown), f"{len(shown)} variables with the secret")


@attack("api-keys", "A program of this machine asks the engine past the server, {0}", ["without a key", "with the key"])
def past_the_server(stage: Stage, way: str) -> Outcome:
    server = stage.api
    ports = [each.laddr.port for p in server.processes()[1:] for each in p.net_connections() if each.status == "LISTEN"]
    own, statuses = server.port, []
    for server.port in ports:
        headers = server.right if way == "with the key" else []
        statuses += [server.ask("POST", path, chat_body(server.run), headers).status for path in (CHAT, TEXT, LABELS)]
    server.port = own
    return outcome(not ports or any(each != 401 for each in statuses), f"{len(ports)} ports: {statuses}")


@attack("api-keys", "The error of an engine that was killed names a path or a secret")
def error_of_a_dead_engine(stage: Stage) -> Outcome:
    server = stage.api
    for process in server.processes()[1:]:
        process.kill()
    psutil.wait_procs(server.processes()[1:], timeout=5)
    answers = [server.chat(), server.chat(stream=True), server.ask("GET", "/health", headers=[])]
    recovered = wait_for(lambda: server.ask("GET", "/ready", headers=[]).status == 200, 120)
    text = "".join(each.text for each in answers)
    bad = [each for each in (str(server.home), "Traceback", "127.0.0.1", "site-packages", server.key) if each in text]
    return outcome(
        bool(bad) or not recovered or not error_of(answers[0]), f"{bad}; recovered: {recovered}; {text[:99]}"
    )


@attack("api-keys", "A page of another site reads an answer with a preflight ({0})", ["https://evil.example", "null"])
def preflight(stage: Stage, origin: str) -> Outcome:
    server = stage.api
    asked = [("Origin", origin), ("Access-Control-Request-Method", "POST")]
    answers = [server.ask("OPTIONS", CHAT, headers=asked), server.ask("GET", "/health", headers=[("Origin", origin)])]
    answers.append(server.ask("POST", CHAT, chat_body(server.run), [*asked, JSON]))
    allowed = [name for each in answers for name in each.headers if name.startswith("access-control")]
    return outcome(bool(allowed), f"{[each.status for each in answers]}; {allowed}")
