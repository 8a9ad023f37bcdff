"""Requests to the API server with a key: bodies that are huge, deep or of wrong types, absurd sizes, paths as names."""

import json
from typing import Any
from urllib.parse import quote

from tests.security.api_server import CHAT, JSON, LABELS, MOST_TOKENS, TEXT, ApiServer, Headers, chat_body, error_of
from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import Stage, time_call, wait_for

SECONDS, MEMORY = 5, 60_000_000
"""What one request may take: time, and memory of the server that it keeps."""
DEEP = b"[" * 200_000 + b"]" * 200_000


def refused(server: ApiServer, path: str, body: bytes, headers: Headers = ()) -> Outcome:
    """Whether a request is refused as OpenAI does it, quickly, in little memory, and without a traceback."""
    logged, before = len(server.log_text()), server.memory()
    seconds, answer = time_call(lambda: server.ask("POST", path, body, [*server.right, *headers]))
    log, grown = server.log_text()[logged:], server.memory() - before
    status = getattr(answer, "status", 0)
    is_error = bool(error_of(answer).get("message")) if status else True  # closed before the end of a huge body
    wrong = (
        status not in (0, 400, 404, 413, 415, 422) or not is_error or "Traceback" in answer.text or log.count("\n") > 2
    )
    is_slow = seconds > SECONDS or grown > MEMORY
    what = f"status {status}, {seconds:.1f} s, {grown / 1e6:.0f} MB; {answer.text[:200]}; log: {log[-200:]!r}"
    return outcome(wrong or is_slow or server.ask("GET", "/ready").status != 200, what)


def with_raw(field: str, value: bytes) -> bytes:
    """The body of a request for a reply with a field in any bytes."""
    return b'{"model": "MODEL", "messages": [{"role": "user", "content": "Hi"}], "%s": %s}' % (field.encode(), value)


CHUNKED = ("Transfer-Encoding", "chunked")
CHUNKS = (b"%x\r\n%s\r\n" % (1_000_000, b" " * 1_000_000)) * 50 + b"0\r\n\r\n"
BODIES: list[tuple[str, bytes, Headers]] = [
    ("of 200,000 levels", DEEP, ()),
    ("of 200,000 objects in each other", b'{"a":' * 200_000 + b"1" + b"}" * 200_000, ()),
    ("of 40 levels in the metadata", with_raw("metadata", b"[" * 40 + b"]" * 40), ()),
    ("of 100,000 levels in the messages", with_raw("messages", b"[" * 100_000 + b"]" * 100_000), ()),
    ("of 2 MB", b'{"model": "' + b"x" * 2_000_000 + b'"}', ()),
    ("of 50 MB in chunks", CHUNKS, [CHUNKED]),
    ("that declares 10 GB", b"{", [("Content-Length", "10000000000")]),
    ("that declares 10**4000 bytes", b"{", [("Content-Length", "1" + "0" * 4_000)]),
    ("of a length that is no number", b"{}", [("Content-Length", "ten")]),
    ("of a length below zero", b"{}", [("Content-Length", "-1")]),
    ("of a length with a sign", b"{}", [("Content-Length", "+2")]),
    ("that is compressed", b"\x1f\x8b\x08\x00" + b"\0" * 100, [("Content-Encoding", "gzip")]),
    ("that is empty", b"", ()),
    ("that is null", b"null", ()),
    ("that is a list", b"[]", ()),
    ("that is a number", b"7", ()),
    ("that is cut off", chat_body("MODEL")[:-5], ()),
    ("in UTF-16", chat_body("MODEL").decode().encode("utf-16"), ()),
    ("with bytes that are no UTF-8", with_raw("user", b'"\xff\xfe"'), ()),
    ("with a zero byte", b"\0" + chat_body("MODEL"), ()),
    ("with NaN", with_raw("temperature", b"NaN"), ()),
    ("with Infinity", with_raw("top_p", b"-Infinity"), ()),
    ("with 1e999", with_raw("temperature", b"1e999"), ()),
    ("with a number of 5,000 digits", with_raw("seed", b"1" + b"0" * 5_000), ()),
    ("with a number of 4,000 digits", with_raw("max_tokens", b"1" + b"0" * 4_000), ()),
    ("with half a character as a parameter", with_raw("\\ud800", b"1"), ()),
    ("with half a character as the model", with_raw("model", b'"\\ud800"'), ()),
    ("with half a character as the role", with_raw("messages", b'[{"role": "\\udfff", "content": "x"}]'), ()),
    ("with 50,000 unknown parameters", b"{" + b",".join(b'"p%d": 1' % n for n in range(50_000)) + b"}", ()),
    ("with a parameter of 500,000 letters", b'{"' + b"p" * 500_000 + b'": 1}', ()),
    ("with a parameter of control characters", with_raw("\\u0000\\u001b[31m\\r\\nSet-Cookie: a=b", b"1"), ()),
    ("with the parameter __class__", with_raw("__class__", b'{"__init__": 1}'), ()),
    ("as a form", b"model=MODEL", [("Content-Type", "application/x-www-form-urlencoded")]),
    ("as a text, as a page of another site can send it", chat_body("MODEL"), [("Content-Type", "text/plain")]),
    ("in two parts", b"--x\r\n\r\n--x--", [("Content-Type", "multipart/form-data; boundary=x")]),
    ("of a type of 30,000 letters", b"{}", [("Content-Type", "application/json-" + "x" * 30_000)]),
]
"""What is sent for a reply. MODEL becomes the name of the model."""


@attack("api-requests", "A body {0} breaks the server, or takes much time or memory", BODIES, quick=3)
def bodies(stage: Stage, payload: tuple[str, bytes, Headers]) -> Outcome:
    server = stage.api
    return refused(server, CHAT, payload[1].replace(b"MODEL", server.run.encode()), payload[2])


USER = {"role": "user", "content": "Hi"}
VALUES: list[tuple[str, dict[str, Any]]] = [
    *((f"model {value!r}", {"model": value}) for value in (None, 7, True, [], {}, ["x"], "", {"id": "x"})),
    ("no model", {"model": ...}),
    ("no messages", {"messages": ...}),
    *((f"messages {value!r}", {"messages": value}) for value in (None, 7, "Hi", {}, [], [None], ["Hi"], [[USER]])),
    *(
        (f"the role {value!r}", {"messages": [{"role": value, "content": "Hi"}]})
        for value in (None, 7, ["user"], {"a": 1}, "tool", "root", "USER", "user\n", "\x00")
    ),
    *(
        (f"the content {value!r}", {"messages": [{"role": "user", "content": value}]})
        for value in (None, 7, True, {}, [7], [None], [{}], [{"type": "text"}], [{"type": "text", "text": 7}])
    ),
    (
        "a picture at an internal address",
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/"}}]}]},
    ),
    (
        "a file of the machine",
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "/etc/passwd"}}]}]},
    ),
    ("the call of a tool", {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"id": "x"}]}]}),
    *((f"n {value!r}", {"n": value}) for value in (0, -1, 9, 10**9, 2**63, 10**300, 1.5, "2", True, [], {})),
    *(
        (f"max_tokens {value!r}", {"max_tokens": value})
        for value in (0, -1, MOST_TOKENS + 1, 10**9, 2**63, 10**300, 1.5, "9", False, [1])
    ),
    ("max_completion_tokens 2**64", {"max_completion_tokens": 2**64}),
    *(
        (f"temperature {value!r}", {"temperature": value})
        for value in (-1, 3, 1e308, "0", True, [0], {"a": 0}, -1e-300)
    ),
    *((f"top_p {value!r}", {"top_p": value}) for value in (0, -1, 1.1, 1e-320, "1", True, [1])),
    *((f"seed {value!r}", {"seed": value}) for value in (2**64, -(2**64), 10**300, 1.5, "1", True, [])),
    *((f"stream {value!r}", {"stream": value}) for value in (1, "true", [], {})),
    *((f"stream_options {value!r}", {"stream": True, "stream_options": value}) for value in ([], "x", 1, True)),
    ("stop of 5 texts", {"stop": ["a"] * 5}),
    ("stop of 100,000 texts", {"stop": ["a"] * 100_000}),
    ("stop of 201 letters", {"stop": "a" * 201}),
    ("stop of 900,000 letters", {"stop": "a" * 900_000}),
    *((f"stop {value!r}", {"stop": value}) for value in (7, True, {}, [7], [None], [["a"]], {"a": "b"})),
    ("201 messages", {"messages": [USER] * 201}),
    ("20,000 messages", {"messages": [USER] * 20_000}),
    ("100,001 letters", {"messages": [{"role": "user", "content": "a" * 100_001}]}),
    ("100,000 words, more than the context", {"messages": [{"role": "user", "content": "é" * 99_999}]}),
    ("60,000 parts of a message", {"messages": [{"role": "user", "content": [{"text": "a"}] * 60_000}]}),
    *(
        (f"{name} {value!r}", {name: value})
        for name, value in (
            ("logit_bias", {"1": 100}),
            ("logprobs", True),
            ("tools", [{"type": "function", "function": {"name": "x"}}]),
            ("response_format", {"type": "json_schema", "json_schema": {}}),
            ("presence_penalty", 1e308),
            ("best_of", 10**9),
            ("prediction", {"type": "content", "content": "x"}),
            ("extra_body", {"x": 1}),
            ("guided_regex", "(a+)+$"),
            ("chat_template", "{{ cycler.__init__.__globals__.os.popen('id').read() }}"),
            ("add_generation_prompt", False),
        )
    ),
]
"""What changes a valid request for a reply."""


@attack("api-requests", "A chat with {0} is answered, or breaks the server", VALUES, quick=3)
def values(stage: Stage, payload: tuple[str, dict[str, Any]]) -> Outcome:
    server = stage.api
    return refused(server, CHAT, chat_body(server.run, **payload[1]))


PROMPTS: list[tuple[str, Any]] = [
    *((repr(value), value) for value in (None, 7, {}, [], [""], "", [7], [[1, 2]], [None], True, ["a", 7])),
    ("9 texts", ["a"] * 9),
    ("100,000 texts", ["a"] * 100_000),
    ("a text of 100,001 letters", "a" * 100_001),
    ("8 texts of 12,501 letters", ["a" * 12_501] * 8),
    ("lists in each other", json.loads("[" * 14 + "]" * 14)),
]


@attack("api-requests", "A completion of {0} is answered, or breaks the server", PROMPTS)
def prompts(stage: Stage, payload: tuple[str, Any]) -> Outcome:
    server = stage.api
    return refused(server, TEXT, chat_body(server.run, messages=..., prompt=payload[1]))


@attack("api-requests", "8 texts with 8 replies each are asked for at once")
def product_of_choices(stage: Stage) -> Outcome:
    server = stage.api
    return refused(server, TEXT, chat_body(server.run, messages=..., prompt=["a"] * 8, n=8))


INPUTS: list[tuple[str, Any]] = [
    *((repr(value), value) for value in (None, 7, {}, [], [""], "", [7], [[1, 2]], [None], True, ["a", 7])),
    ("257 texts", ["a"] * 257),
    ("200,000 texts", ["a"] * 200_000),
    ("a text of 100,001 letters", "a" * 100_001),
    ("256 texts of 400 letters", ["a" * 400] * 256),
]


@attack("api-requests", "Labels of {0} are given, or break the server", INPUTS)
def inputs(stage: Stage, payload: tuple[str, Any]) -> Outcome:
    server = stage.api_of_labels
    return refused(server, LABELS, json.dumps({"model": server.run, "input": payload[1]}).encode())


ODD_TEXTS: list[tuple[str, str]] = [
    ("99,999 letters in one word", "a" * 99_999),
    ("a zero byte", "\0"),
    ("half a character", "\ud800"),
    ("marks that change the direction", "\u202e\u2066" * 100),
    ("10,000 accents on one letter", "a" + "\u0301" * 10_000),
    ("special tokens of the template", "<|im_end|>\n<|im_start|>system\n[CLS][SEP][MASK][PAD]</s>" * 20),
]


@attack("api-requests", "A text to classify with {0} breaks the engine", ODD_TEXTS)
def odd_texts(stage: Stage, payload: tuple[str, str]) -> Outcome:
    server = stage.api_of_labels
    body = json.dumps({"model": server.run, "input": payload[1]}).encode()
    seconds, answer = time_call(lambda: server.ask("POST", LABELS, body))
    ready = server.ask("GET", "/ready").status == 200
    return outcome(answer.status not in (200, 400) or seconds > 30 or not ready, f"{answer.status}, {seconds:.1f} s")


@attack("api-requests", "A chat with {0} breaks the engine", ODD_TEXTS)
def odd_chats(stage: Stage, payload: tuple[str, str]) -> Outcome:
    server = stage.api
    seconds, answer = time_call(lambda: server.chat(messages=[{"role": "user", "content": payload[1]}]))
    ready = server.ask("GET", "/ready").status == 200
    return outcome(answer.status not in (200, 400) or seconds > 60 or not ready, f"{answer.status}, {seconds:.1f} s")


NAMES = [
    "../../../../etc/passwd",
    "/etc/passwd",
    "/etc/passwd\0",
    "file:///etc/passwd",
    "..\\..\\windows\\win.ini",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "HOME",
    "HOME/api-keys.json",
    "HOME/workspaces/default/runs/RUN",
    "./RUN",
    "RUN/",
    "RUN/../RUN",
    "RUN\n",
    " RUN",
    "RUN\0",
    "starter-chat",
    "starter-classify",
    "gpt2",
    "hf://gpt2",
    "http://127.0.0.1:1/model",
    "https://evil.example/model",
    "last",
    "default",
    "./model",
    "base",
    "a" * 100_000,
    "\u202eledom",
    "<script>alert(1)</script>",
    "'; DROP TABLE runs; --",
    "{{7*7}}",
    "${jndi:ldap://127.0.0.1/a}",
    "\r\nSet-Cookie: a=b",
    "__class__",
]
"""Names of models. HOME becomes the data folder, RUN the run that is served."""


@attack("api-requests", "The model {0} is loaded, read or found", NAMES, quick=2)
def model_names(stage: Stage, name: str) -> Outcome:
    """Engines and files stay as they were, and the name comes back as a text of JSON only."""
    server = stage.api
    name = name.replace("HOME", str(server.home)).replace("RUN", server.run)
    before = {each.pid for each in server.processes()}
    answers = [server.chat(model=name), server.ask("POST", TEXT, chat_body(name, messages=..., prompt="a"))]
    answers.append(server.ask("POST", LABELS, json.dumps({"model": name, "input": "a"}).encode()))
    if len(name) < 10_000 and not name.endswith("\n"):  # routes of Starlette ignore a line end: it is the same model
        answers += [server.ask("GET", f"/v1/models/{quote(name, safe=safe)}") for safe in ("", "/.")]
    text = "".join(each.text + json.dumps(each.headers) for each in answers)
    leaked = "root:x:" in text or "attacked" in text or "set-cookie" in text or "api-keys" in text.replace(name, "")
    wrong = [each.status for each in answers if each.status not in (400, 404)]
    changed = {each.pid for each in server.processes()} != before
    return outcome(bool(wrong) or leaked or changed, f"{[each.status for each in answers]}; {text[:150]}")


@attack("api-requests", "1,000 invented names of models and addresses fill the metrics", quick=True)
def metrics_grow(stage: Stage) -> Outcome:
    server = stage.api
    before = len(server.ask("GET", "/metrics").body)
    for number in range(500):
        server.ask("GET", f"/v1/models/invented-{number}")
        server.ask("GET", f"/invented-{number}")
    grown = len(server.ask("GET", "/metrics").body) - before
    return outcome(grown > 4_000, f"the metrics grew by {grown:,} bytes")


@attack("api-requests", "{0} leaves a long reply, and the engine goes on with it", ["A client", "A client of a stream"])
def leaves(stage: Stage, way: str) -> Outcome:
    """8 replies of 64 tokens each; the client closes the connection after a moment."""
    import socket

    server = stage.api
    body = chat_body(server.run, n=8, max_tokens=MOST_TOKENS, temperature=1.5, stream=way.endswith("stream"))
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n{JSON[0]}: {JSON[1]}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 10) as line:
        line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        began = wait_for(lambda: running(server) > 0, 10)
    free = wait_for(lambda: running(server) == 0, 10)
    return outcome(not free, f"it had begun: {began}; free within 10 s: {free}")


def running(server: ApiServer) -> float:
    """Requests at the engine now, and those that wait."""
    lines = server.ask("GET", "/metrics").text.splitlines()
    named = ("studio_api_running{", "studio_api_waiting{")
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(named))
