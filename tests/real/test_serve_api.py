"""`studio serve-api` with real engines, asked by the real `openai` client and over plain HTTP.

Tiny models have the names of the starters. `make test-matrix` does the same with the starters themselves.
"""

import asyncio
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from small_trainings import tiny_starters

from studio.api import RunRequest, Studio
from studio.cli.main import run as run_command
from studio.export.agreement_check import PROMPTS
from studio.schema.report import ChatSettings
from studio.services.api_server.snippets import KEY, PROMPT, snippets
from studio.store import Home
from studio.store.api_keys import ApiKeys

SETTINGS = {"max_steps": 2, "max_length": 64, "batch_size": 2, "learning_rate": 0.002, "eval_rows": 4}
ASKED, TOKENS = PROMPTS[:8], 8
LIMIT = 16
"""Tokens of a reply for which a request names no limit."""
SYSTEM = "You answer in one short sentence."
STARTS_WITHIN, RESTARTS_WITHIN = 300.0, 120.0


@dataclass
class Server:
    """A running API server."""

    home: Path
    chat: str
    labels: str
    key: str
    process: "subprocess.Popen[bytes]"
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.status["address"].rsplit(":", 1)[1].removesuffix("/v1"))

    def client(self, key: str = "") -> openai.OpenAI:
        return openai.OpenAI(base_url=self.status["address"], api_key=key or self.key, max_retries=0, timeout=300)

    def ask(self, prompt: str, **more: Any) -> str:
        messages: Any = [{"role": "user", "content": prompt}]
        options = {"model": self.chat, "max_tokens": TOKENS, "temperature": 0, **more}
        answer = self.client().chat.completions.create(messages=messages, **options)
        return answer.choices[0].message.content or ""

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], str]:
        """An answer over plain HTTP: status, headers, text."""
        line = HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            line.request(method, path, body or None, {"Authorization": f"Bearer {self.key}", **named})
            answer = line.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        finally:
            line.close()

    def engines(self) -> list[psutil.Process]:
        """The processes that the server has started."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def is_ready(self) -> bool:
        with suppress(OSError):
            return self.request("GET", "/ready")[0] == 200
        return False


def trained(studio: Studio, sample: str, model: str, **more: Any) -> str:
    """A run of a few real steps."""
    data = studio.datasets.open(f"sample:{sample}")
    request = RunRequest(dataset=data.id, model=model, settings={**SETTINGS, **more.pop("settings", {})}, **more)
    record = studio.runs.start(request)
    for _ in studio.runs.watch(record.id):
        pass
    assert studio.runs.get(record.id).has_result
    return record.id


@pytest.fixture(scope="module", params=["tiny", pytest.param("starters", marks=pytest.mark.matrix)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "tiny":
            cache = tmp_path_factory.mktemp("cache")
            tiny_starters(cache)
            patch.setenv("STUDIO_CACHE", str(cache))
        yield from served(Home(tmp_path_factory.mktemp("home")))


def served(home: Home) -> Iterator[Server]:
    """A server with two runs: one that writes, and a classifier."""
    with Studio(home) as studio:
        chat = trained(studio, "support-tone", "starter-chat", name="tone", settings={"system_prompt": SYSTEM})
        labels = trained(studio, "review-mood", "starter-classify", name="mood")
    key = ApiKeys(home).add("tests")
    command = [sys.executable, "-m", "studio", "--home", str(home.root), "serve-api", chat, labels, "--port", "0"]
    command += ["--max-tokens", str(LIMIT), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    server = Server(home.root, chat, labels, key, process)
    assert process.stdout is not None and process.stderr is not None
    lines: list[bytes] = []
    try:
        while not lines or lines[-1] != b"}\n":
            line = process.stdout.readline()
            assert line, process.stderr.read().decode()
            lines.append(line)
        server.status = json.loads(b"".join(lines))
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_greedy_replies_whole_and_streamed_are_those_of_the_studios_chat(server: Server) -> None:
    assert [each["engine"] for each in server.status["engines"]] == ["transformers", "studio", "transformers"]
    expected, of_base = {}, {}
    with Studio(server.home) as studio:
        for prompt in ASKED:
            settings = ChatSettings(max_new_tokens=TOKENS, temperature=0)
            for chunk in studio.chat.ask(server.chat, [{"role": "user", "content": prompt}], settings):
                if chunk.answer is not None:
                    (expected if chunk.who == "tuned" else of_base)[prompt] = chunk.answer.text
    assert {prompt: server.ask(prompt) for prompt in ASKED} == expected
    # The base model under its own name has no system prompt of a run: one that is sent makes the replies equal.
    system = {"role": "system", "content": SYSTEM}
    for prompt in ASKED[:4]:
        stream = server.client().chat.completions.create(
            model="tone", messages=[{"role": "user", "content": prompt}], max_tokens=TOKENS, temperature=0, stream=True
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == expected[prompt]
        told: Any = [system, {"role": "user", "content": prompt}]
        base = server.client().chat.completions.create(
            model="starter-chat", messages=told, max_tokens=TOKENS, temperature=0
        )
        assert base.choices[0].message.content == of_base[prompt]


def test_probabilities_are_those_of_studio_predict(server: Server, tmp_path: Path) -> None:
    texts = ["Wonderful, thank you!", "It broke after a day.", "It is a lamp.", "Never again. " * 20]
    rows, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    rows.write_text("text\n" + "".join(f'"{each}"\n' for each in texts))
    assert run_command(["--home", str(server.home), "predict", server.labels, str(rows), "--out", str(out)]) == 0
    with out.open(encoding="utf-8") as opened:
        predicted = list(csv.DictReader(opened))
    body = json.dumps({"model": "mood", "input": texts}).encode()
    status, _, text = server.request("POST", "/v1/classify", body, Content_Type="application/json")
    answer = json.loads(text)
    assert status == 200 and answer["model"] == server.labels
    for row, told in zip(predicted, answer["data"], strict=True):
        assert told["label"] == row["prediction"] == told["labels"][0]["label"]
        assert told["confidence"] == pytest.approx(float(row["confidence"]), abs=1e-4)
        assert sum(told["probs"]) == pytest.approx(1, abs=1e-4)


def test_the_code_that_the_page_shows_for_each_model_runs(server: Server) -> None:
    """curl and node are tried where they are installed. LangChain and OpenAI's package for JavaScript are not."""
    programs = {
        "curl": ["sh", "-c"],
        "Python": [sys.executable, "-c"],
        "JavaScript": ["node", "--input-type=module", "-e"],
    }
    said: dict[tuple[str, bool], str] = {}
    for model, classifies in ((server.chat, False), (server.labels, True)):
        for usage in snippets(server.status["address"], model, classifies):
            needed = {"curl": "curl", "JavaScript": "node" if classifies else "", "LangChain": ""}
            if not shutil.which(needed.get(usage.title, sys.executable)):
                continue
            command, environment = [*programs[usage.title], usage.code], {**os.environ, KEY: server.key}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stderr
            said[usage.title, classifies] = done.stdout
    assert said["Python", False].strip() == server.ask(PROMPT, max_tokens=LIMIT).strip()
    for (title, classifies), text in said.items():
        if classifies:
            assert any(label in text for label in ("positive", "negative", "neutral")), (title, text)
    if ("curl", False) in said:
        reply = json.loads(said["curl", False])["choices"][0]
        assert reply["message"]["content"] and reply["finish_reason"] in ("length", "stop")


def test_32_requests_at_once_are_all_answered_right(server: Server) -> None:
    prompts = PROMPTS[:4]
    alone = {prompt: server.ask(prompt, max_tokens=2) for prompt in prompts}

    async def ask(client: openai.AsyncOpenAI, prompt: str, stream: bool) -> tuple[str, str]:
        options: Any = {"model": server.chat, "max_tokens": 2, "temperature": 0, "stream": stream}
        options["messages"] = [{"role": "user", "content": prompt}]
        answer = await client.chat.completions.create(**options)
        if not stream:
            return prompt, answer.choices[0].message.content
        return prompt, "".join([chunk.choices[0].delta.content or "" async for chunk in answer])

    async def ask_all() -> list[tuple[str, str]]:
        key, address = server.key, server.status["address"]
        async with openai.AsyncOpenAI(base_url=address, api_key=key, max_retries=0, timeout=300) as client:
            return await asyncio.gather(*(ask(client, prompts[n % 4], n % 2 == 0) for n in range(32)))

    answers = asyncio.run(ask_all())
    assert len(answers) == 32 and all(text == alone[prompt] for prompt, text in answers)


def test_choices_stop_sequences_limits_and_usage_are_as_openai_has_them(server: Server) -> None:
    client = server.client()
    said = server.ask(PROMPTS[0])
    stop = said[3:6]
    assert server.ask(PROMPTS[0], stop=[stop]) == said[: said.find(stop)]
    messages: Any = [{"role": "user", "content": PROMPTS[0]}]
    answer = client.chat.completions.create(
        model=server.chat, messages=messages, max_tokens=3, n=2, seed=1, temperature=1.5, user="anna"
    )
    assert [choice.index for choice in answer.choices] == [0, 1] and answer.usage is not None
    assert {choice.finish_reason for choice in answer.choices} <= {"length", "stop"}
    assert 2 <= answer.usage.completion_tokens <= 6 and answer.usage.prompt_tokens > 5
    text = client.completions.create(model="starter-chat", prompt="Once upon a", max_tokens=2, temperature=0)
    assert text.choices[0].text.strip() and text.object == "text_completion"
    models = {each.id for each in client.models.list().data}
    assert models == {server.chat, server.labels, "starter-chat"}


def test_refusals_are_openais_errors_and_tell_no_path(server: Server) -> None:
    good = json.dumps({"model": server.chat, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1})
    chat, as_json = "/v1/chat/completions", {"Content_Type": "application/json"}
    cases: list[tuple[int, str, tuple[str, str, bytes], dict[str, str]]] = [
        (401, "invalid_api_key", ("POST", chat, good.encode()), {**as_json, "Authorization": "Bearer sk-studio-x"}),
        (401, "missing_api_key", ("POST", chat, good.encode()), {**as_json, "Authorization": ""}),
        (401, "missing_api_key", ("GET", "/metrics", b""), {"Authorization": "Basic abc"}),
        (404, "model_not_found", ("POST", chat, good.replace(server.chat, "gpt-4").encode()), as_json),
        (404, "model_not_found", ("POST", chat, good.replace(server.chat, "../../etc/passwd").encode()), as_json),
        (400, "wrong_endpoint", ("POST", chat, good.replace(server.chat, server.labels).encode()), as_json),
        (400, "unknown_parameter", ("POST", chat, good.replace("max_tokens", "most").encode()), as_json),
        (400, "invalid_json", ("POST", chat, b"{"), as_json),
        (415, "unsupported_media_type", ("POST", chat, good.encode()), {"Content_Type": "text/plain"}),
        (413, "request_too_large", ("POST", chat, b" " * 1_000_001), as_json),
        (404, "unknown_url", ("GET", "/load_model", b""), {}),
        (405, "method_not_allowed", ("GET", chat, b""), {}),
    ]
    for status, code, request, headers in cases:
        answered, _, text = server.request(*request, **headers)
        assert (answered, json.loads(text)["error"]["code"]) == (status, code), request[:2]
        assert str(server.home) not in text and "Traceback" not in text
    long = good.replace("Hi", "word " * 9000)
    status, _, text = server.request("POST", chat, long.encode(), **as_json)
    assert (status, json.loads(text)["error"]["code"]) == (400, "context_length_exceeded")
    status, headers, _ = server.request("OPTIONS", chat, Origin="https://evil.example")
    assert status == 405 and not any(name.startswith("access-control") for name in headers)
    health = server.request("GET", "/health", Authorization="")
    assert (health[0], json.loads(health[2])) == (200, {"status": "ok"}), "without a key, no model is named"
    health = server.request("GET", "/health")
    assert health[0] == 200 and str(server.home) not in health[2]
    assert {each["engine"] for each in json.loads(health[2])["engines"]} == {"transformers", "studio"}
    metrics = server.request("GET", "/metrics")[2]
    assert 'studio_api_engine_up{engine="transformers",model="starter-chat"} 1.0' in metrics
    assert server.key not in metrics


def test_a_key_has_a_rate_of_its_own_and_ends_when_it_is_removed(server: Server) -> None:
    keys = ApiKeys(Home(server.home))
    other = keys.add("busy")
    statuses = []
    for _ in range(200):
        status, headers, _ = server.request("GET", "/v1/models", Authorization=f"Bearer {other}")
        statuses.append(status)
        if status != 200:
            break
    assert statuses[-1] == 429 and int(headers["retry-after"]) >= 1 and len(statuses) > 100
    assert server.request("GET", "/v1/models")[0] == 200
    keys.remove("busy")
    assert server.request("GET", "/v1/models", Authorization=f"Bearer {other}")[0] == 401


def test_a_killed_engine_is_restarted_and_ctrl_c_leaves_no_process(server: Server) -> None:
    body = json.dumps({"model": "mood", "input": "Good."}).encode()
    killed = next(each for each in server.engines() if "studio.serving.own_server:main" in each.cmdline())
    killed.kill()
    killed.wait(20)
    time.sleep(0.3)
    status, headers, _ = server.request("POST", "/v1/classify", body, Content_Type="application/json")
    assert status == 503 and int(headers["retry-after"]) >= 1 and not server.is_ready()
    assert server.ask(PROMPTS[0], max_tokens=1) is not None  # the others go on
    until = time.monotonic() + RESTARTS_WITHIN
    while not server.is_ready() and time.monotonic() < until:
        time.sleep(0.5)
    assert server.request("POST", "/v1/classify", body, Content_Type="application/json")[0] == 200
    engines = server.engines()
    assert len(engines) >= 3
    os.kill(server.process.pid, signal.SIGINT)
    server.process.wait(30)
    _, alive = psutil.wait_procs(engines, timeout=10)
    assert alive == []
