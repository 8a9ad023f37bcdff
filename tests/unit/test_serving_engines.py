"""The gateway with an engine that answers late, hangs, dies or can't be started, and the room for a reply."""

import asyncio
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from studio.schema.serving import Generation, ServedModel, ServeLimits, ServeRequest
from studio.serving.bodies import CHAT, check_names, sampling_of
from studio.serving.engines import ENGINES, Launch
from studio.serving.errors import ApiError
from studio.serving.gateway import Gate, Gateway
from studio.serving.models import Directory, Served
from studio.serving.server import _served
from studio.serving.supervisor import EngineProcess
from studio.serving.turns import Turns
from studio.serving.weights import FACTS, forget_unused
from studio.store import Home
from studio.ui.http.rate_limits import Buckets
from tests.scripted_engine import Scripted, lora_run

SECONDS = 60


@dataclass
class Scene:
    """A gateway with one engine."""

    served: Served
    gateway: Gateway
    client: httpx2.AsyncClient

    @property
    def engine(self) -> EngineProcess:
        return self.served.engine

    async def ask(self, text: str, **more: Any) -> httpx2.Response:
        """A reply, or labels of a classifier."""
        if self.served.model.classifies:
            return await self.client.post("/v1/classify", json={"model": self.served.model.name, "input": text})
        messages = [{"role": "user", "content": text}]
        body = {"model": self.served.model.name, "messages": messages, **more}
        return await self.client.post("/v1/chat/completions", json=body)

    async def until(self, state: str) -> None:
        async with asyncio.timeout(SECONDS):
            while self.engine.state != state:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def scene(folder: Path, slots: int = 1, classifies: bool = False, **limits: Any) -> AsyncIterator[Scene]:
    model = lora_run(folder).model_copy(update={"classifies": classifies})
    engine = EngineProcess(Scripted(), [model], {}, "", folder / "engine.log")
    served, bounds = Served(model, engine, Turns(slots, 8)), ServeLimits(**limits)
    gateway = Gateway(Directory([served]), Gate(list, True, (), Buckets(100, 100)), bounds, folder)
    transport = httpx2.ASGITransport(gateway.app())
    engine.start()
    try:
        assert await engine.wait_ready(), engine.log.read_text()
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=SECONDS) as client:
            yield Scene(served, gateway, client)
    finally:
        await engine.stop()


def play(folder: Path, act: Callable[[Scene], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with scene(folder, **options) as each:
            await act(each)

    asyncio.run(run())


@pytest.mark.parametrize("stream", [True, False])
def test_the_time_to_the_first_token_is_counted_once_for_each_reply(tmp_path: Path, stream: bool) -> None:
    async def act(scene: Scene) -> None:
        answer = await scene.ask("words one two three", stream=stream)
        assert answer.status_code == 200 and "three" in answer.text
        metrics = (await scene.client.get("/metrics")).text
        assert 'studio_api_first_token_seconds_count{model="run-24"} 1.0' in metrics
        assert 'studio_api_tokens_total{kind="completion",model="run-24"} 3.0' in metrics

    play(tmp_path, act)


@pytest.mark.slow
def test_a_request_that_waits_too_long_for_its_turn_does_not_end_the_engine(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        pid = scene.engine.pid
        first, second = await asyncio.gather(scene.ask("wait 3"), scene.ask("late"))
        assert (first.status_code, second.status_code) == (503, 503)
        assert {each.json()["error"]["code"] for each in (first, second)} == {"timeout"}
        assert (scene.engine.pid, scene.engine.state) == (pid, "ready")
        assert (await scene.ask("again")).status_code == 200

    play(tmp_path, act, classifies=True, request_seconds=1)


@pytest.mark.slow
@pytest.mark.parametrize("classifies", [True, False])
def test_a_client_that_leaves_gives_up_its_place_in_the_queue(tmp_path: Path, classifies: bool) -> None:
    async def act(scene: Scene) -> None:
        busy = asyncio.create_task(scene.ask("wait 3"))
        while not scene.served.turns.running:
            await asyncio.sleep(0.05)
        sent: list[Any] = []
        late = {"input": "late"} if classifies else {"messages": [{"role": "user", "content": "late"}]}
        body = json.dumps({"model": scene.served.model.name, **late}).encode()
        received = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return received.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        path = "/v1/classify" if classifies else "/v1/chat/completions"
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
        await scene.gateway.app()(scope, receive, send)
        assert sent[0]["status"] == 499 and not busy.done()
        assert (scene.served.turns.running, scene.served.turns.waiting) == (1, 0)
        assert (await busy).status_code == 200

    play(tmp_path, act, classifies=classifies)


@pytest.mark.slow
def test_an_engine_that_hangs_is_restarted_each_time(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        pids = [scene.engine.pid]
        for _ in range(3):
            answer = await scene.ask("hang")
            assert answer.status_code == 503 and "did not answer in time" in answer.text
            await scene.until("restarting")
            await scene.until("ready")
            pids.append(scene.engine.pid)
        assert len(set(pids)) == 4
        assert (await scene.ask("words fine")).status_code == 200

    play(tmp_path, act, silent_seconds=0.5)


def test_an_engine_that_dies_twice_has_failed_and_its_log_has_both_starts(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        for state in ("ready", "failed"):
            pid = scene.engine.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            if state == "ready":
                await scene.until("restarting")
            await scene.until(state)
        assert (await scene.ask("words")).status_code == 503
        assert scene.engine.log.read_text().count("started") == 2

    play(tmp_path, act)


def test_an_engine_whose_run_was_deleted_has_failed_and_says_so(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        shutil.rmtree(scene.served.model.run.folder)
        assert scene.engine.pid is not None
        os.kill(scene.engine.pid, signal.SIGKILL)
        await scene.until("failed")
        answer = await scene.ask("words")
        assert answer.status_code == 503 and "could not be restarted" in answer.text

    play(tmp_path, act)


def test_what_an_engine_refuses_as_too_long_is_the_clients_error_and_tells_no_path(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        error = (await scene.ask("too long")).json()["error"]
        assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
        assert "8,192 tokens" in error["message"] and "/srv" not in error["message"]

    play(tmp_path, act)


def test_a_conversation_that_an_engine_refuses_is_the_clients_error(tmp_path: Path) -> None:
    """Clients send a request again after an error of the server."""

    async def act(scene: Scene) -> None:
        answer = await scene.ask("out of turn")
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, "messages") and "/srv" not in error["message"]

    play(tmp_path, act)


def test_each_prompt_of_several_choices_is_counted_once(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        prompts = ["words a b", "words a b", "words a b c d"]
        body = {"model": scene.served.model.name, "prompt": prompts, "n": 2}
        answer = (await scene.client.post("/v1/completions", json=body)).json()
        assert [each["text"] for each in answer["choices"]] == ["ab", "ab", "ab", "ab", "abcd", "abcd"]
        assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (2 + 2 + 4, 2 * (2 + 2 + 4))

    play(tmp_path, act)


def test_a_reply_that_a_stop_sequence_ends_has_its_prompt_counted(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        scene.served.tokenizer = word_tokenizer()
        answer = (await scene.ask("words a b c d", stop="c")).json()
        assert answer["choices"][0]["message"]["content"] == "ab"
        assert 5 <= answer["usage"]["prompt_tokens"] <= 100 and answer["usage"]["completion_tokens"] == 3
        whole = (await scene.ask("words a b c d")).json()
        assert whole["usage"]["prompt_tokens"] == 4, "as the engine says"

    play(tmp_path, act)


@pytest.mark.parametrize("stream", [True, False])
def test_a_reply_may_have_any_line_separator(stream: bool, tmp_path: Path) -> None:
    """JSON does not escape U+2028, U+2029 and U+0085, and only a line feed ends an event."""

    async def act(scene: Scene) -> None:
        answer = await scene.ask("words a\u2028b \u2029 c\x85d 🦉", stream=stream)
        assert answer.status_code == 200
        if stream:
            events = [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: {")]
            text = "".join(each["choices"][0]["delta"].get("content", "") for each in events)
        else:
            text = answer.json()["choices"][0]["message"]["content"]
        assert text == "a\u2028b\u2029c\x85d🦉"

    play(tmp_path, act)


@pytest.mark.parametrize(
    ("engine", "sent"),
    [
        ("vllm", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}),
        ("llama.cpp", {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}),
    ],
)
def test_an_engine_samples_as_the_chat_does_and_counts_the_tokens(
    engine: str, sent: dict[str, float], tmp_path: Path
) -> None:
    """Else the base model's own repetition penalty, or the engine's, changes the replies."""
    generation = Generation(messages=({"role": "user", "content": "Hi"},), max_tokens=5, temperature=0.0)
    body = ENGINES[engine].body(lora_run(tmp_path), generation)
    assert sent.items() <= body.items() and body["temperature"] == 0.0 and "prompt_tokens" not in body
    if engine == "vllm":
        assert body["stream_options"]["include_usage"]


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
def test_choices_of_one_request_are_written_together(stream: bool, tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        asked = time.monotonic()
        answer = await scene.ask("wait 3", n=4, stream=stream)
        assert answer.status_code == 200 and time.monotonic() - asked < 10, "one after another they take 12 seconds"
        if stream:
            events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
            choices = [choice for event in events for choice in event["choices"]]
            texts = ["".join(c["delta"].get("content", "") for c in choices if c["index"] == n) for n in range(4)]
            assert answer.text.rstrip().endswith("[DONE]")
        else:
            texts = [choice["message"]["content"] for choice in answer.json()["choices"]]
        assert texts == ["3"] * 4 and (scene.served.turns.running, scene.served.turns.waiting) == (0, 0)

    play(tmp_path, act, slots=4)


def test_openais_client_may_be_used_on_a_web_page_that_is_allowed_and_on_no_other(tmp_path: Path) -> None:
    async def ask(origin: str) -> httpx2.Response:
        gate = Gate(list, True, ("https://example.com",), Buckets(100, 100))
        app = Gateway(Directory([]), gate, ServeLimits(), tmp_path).app()
        asked = "authorization,content-type,x-stainless-lang,x-stainless-retry-count"
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked}
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return await client.options("/v1/chat/completions", headers=headers)

    answer = asyncio.run(ask("https://example.com"))
    assert answer.status_code == 200 and "x-stainless-lang" in answer.headers["access-control-allow-headers"]
    other = asyncio.run(ask("https://example.org"))
    assert other.status_code == 400 and "access-control-allow-origin" not in other.headers


def test_an_error_of_one_choice_ends_the_others(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        body = {"model": scene.served.model.name, "prompt": ["wait 30", "too long"]}
        answer = await scene.client.post("/v1/completions", json=body)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "context_length_exceeded"
        assert (scene.served.turns.running, scene.served.turns.waiting) == (0, 0)

    play(tmp_path, act, slots=2)


def test_a_client_that_does_not_read_its_stream_keeps_no_turn(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        messages = [{"role": "user", "content": "words " + "word " * 5_000}]
        body = {"model": scene.served.model.name, "messages": messages, "stream": True, "n": 2}
        received = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
        sent: list[bytes] = []
        reads = asyncio.Event()

        async def receive() -> Any:
            return received.pop() if received else await asyncio.Future()

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))
            if b"word" in sent[-1]:
                await reads.wait()

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
        asking = asyncio.create_task(scene.gateway.app()({**scope, "query_string": b""}, receive, send))
        assert (await scene.ask("words another client")).status_code == 200
        async with asyncio.timeout(SECONDS):
            while scene.served.turns.running or scene.served.turns.waiting:
                await asyncio.sleep(0.05)
        assert not asking.done() and len(sent) < 10
        reads.set()
        await asking
        events = [json.loads(line[6:]) for each in sent for line in each.decode().splitlines() if "{" in line]
        choices = [choice for event in events for choice in event["choices"]]
        for place in range(2):
            text = "".join(each["delta"].get("content", "") for each in choices if each["index"] == place)
            assert text == "word" * 5_000

    play(tmp_path, act)


class Beaten(Scripted):
    """Its first port is taken by another program before the engine listens on it."""

    def __init__(self) -> None:
        self.taken: list[socket.socket] = []

    def launch(self, models: Sequence[ServedModel], folders: Mapping[str, Path], port: int, secret: str) -> Launch:
        if not self.taken:
            other = socket.socket()
            other.bind(("127.0.0.1", port))
            self.taken.append(other)
        return super().launch(models, folders, port, secret)


def test_an_engine_whose_port_was_taken_is_started_on_another_one(tmp_path: Path) -> None:
    async def run() -> None:
        kind = Beaten()
        engine = EngineProcess(kind, [lora_run(tmp_path)], {}, "", tmp_path / "engine.log")
        engine.start()
        try:
            assert await engine.wait_ready(), engine.log.read_text()
            assert engine.restarts == 0 and engine.port != kind.taken[0].getsockname()[1]
        finally:
            await engine.stop()
            kind.taken[0].close()

    asyncio.run(run())


def word_tokenizer() -> Tokenizer:
    """A token for each word."""
    tokenizer = Tokenizer(WordLevel({"word": 0, "?": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer


@pytest.mark.parametrize("engine", ["vllm", "llama.cpp"])
def test_prompt_and_reply_fit_into_the_context_of_engines_that_refuse_longer_ones(engine: str, tmp_path: Path) -> None:
    word_tokenizer().save(str(tmp_path / "tokenizer.json"))
    limits = ServeLimits(default_new_tokens=4096)
    request = ServeRequest(runs=("run-24",), limits=limits)
    [served] = _served(Home(tmp_path / "home"), [(lora_run(tmp_path), ENGINES[engine])], request, lambda _: None)

    def generated(words: int) -> int:
        messages = [{"role": "user", "content": "word " * words}]
        body: dict[str, Any] = {"model": "m", "messages": messages}
        check_names(body, CHAT)
        return served.generation(sampling_of(body, limits), limits, messages).max_tokens

    assert generated(10) == 4096
    assert 0 < generated(8000) < 8192 - 8000
    with pytest.raises(ApiError, match="maximum context length is 8,192 tokens"):
        generated(8200)


def test_folders_that_a_killed_server_left_are_deleted_with_those_of_deleted_runs(tmp_path: Path) -> None:
    root, model, other = tmp_path / "serving", lora_run(tmp_path), tmp_path / "other-run"
    other.mkdir()
    facts = {"of another run": str(other), "of a deleted run": str(tmp_path / "deleted"), "older": model.run.folder}
    for name, run in facts.items():
        (root / name).mkdir(parents=True)
        (root / name / FACTS).write_text(json.dumps({"run_folder": run, "who": "tuned"}))
    (root / ".half.123.new" / "model").mkdir(parents=True)
    forget_unused(root, model)
    assert [each.name for each in root.iterdir()] == ["of another run"]
