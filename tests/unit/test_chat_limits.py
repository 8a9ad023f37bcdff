"""A visitor's chat: its tokens and length have limits, one is answered at a time, and a client that leaves ends it."""

import asyncio
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.host_responses import Chunk, Done
from studio.schema.report import Answer, ChatSettings
from studio.schema.runs import RunSpec
from studio.services.model_host import client
from studio.services.model_host.client import HostClient
from studio.services.model_host.exchange import Exchange
from studio.ui.http.chat_routes import ReplyStream

HELLO = [{"role": "user", "content": "Where is my parcel?"}]
LONG = ChatSettings(max_new_tokens=4096)
ROWS = "question,answer\nWhere is it?,On its way.\nMay I return it?,Within thirty days.\n"


class Asked:
    """Requests as the host would get them; a test says what it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[dict[str, Any]] = []
        self.exchanges: queue.SimpleQueue[Exchange] = queue.SimpleQueue()
        self.stopped = 0

        def ask(client: HostClient, op: str, give_back: Any = lambda: None, **fields: Any) -> Exchange:
            self.requests.append({"op": op, **fields})
            exchange = Exchange(self._stop, give_back)
            self.exchanges.put(exchange)
            return exchange

        monkeypatch.setattr(HostClient, "ask", ask)

    def _stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path, workspace=f"visitor-{1:032x}", demo=True)
    yield studio
    studio.close()


def run_of(studio: Studio, model: str = "starter-chat") -> str:
    data, runs = studio.datasets.add_text(ROWS), studio.context.workspace.runs
    spec = RunSpec(
        config=TrainingConfig(task="chat", model=model, name="tone"),
        dataset=data.id,
        dataset_version=1,
        data=DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"}),
        splits=SplitSpec(),
    )
    run = runs.create(spec).id
    runs.folder(run).adapter.mkdir()
    (runs.folder(run).adapter / "adapter_config.json").write_text("{}")
    runs.set_status(run, "finished", has_result=True)
    return run


def test_a_visitors_reply_has_as_many_tokens_as_the_demo_allows_and_says_so(visitor: Studio, asked: Asked) -> None:
    replies = visitor.chat.stream(run_of(visitor), HELLO, LONG)
    request = asked.requests[-1]
    assert request["settings"].max_new_tokens == 256 and request["prompt_tokens"] == 1024
    assert request["workspace"] == visitor.context.workspace.name and request["visitor"]
    answer = Answer(text="Hi", tokens=256, seconds=1.0, how="Stopped at the limit of 256 tokens.")
    exchange = asked.exchanges.get()
    exchange.put(Chunk(id="c", who="tuned", text="Hi", done=True, answer=answer))
    exchange.put(Done(id="c"))
    (piece,) = replies
    assert piece.answer is not None
    assert piece.answer.how == "Stopped at the limit of 256 tokens. Limited to 256 tokens in this demo."


def test_a_system_prompt_counts_towards_the_length_of_a_conversation(visitor: Studio, asked: Asked) -> None:
    run = run_of(visitor)
    with pytest.raises(StudioError, match="too long") as refused:
        visitor.chat.stream(run, HELLO, LONG.model_copy(update={"system": "a" * 1_000_000}))
    assert refused.value.code == "limit-reached" and not asked.requests, "the host counts no tokens of it"
    visitor.chat.stream(run, HELLO, LONG.model_copy(update={"system": "Be brief."})).close()


def test_an_owners_reply_has_as_many_tokens_as_asked_for(tmp_path: Path, asked: Asked) -> None:
    studio = Studio(tmp_path)
    run = run_of(studio)
    several = [studio.chat.stream(run, HELLO, LONG) for _ in range(3)]
    assert asked.requests[-1]["settings"].max_new_tokens == 4096 and not asked.requests[-1]["prompt_tokens"]
    assert len(several) == 3
    studio.close()


def test_a_visitors_second_chat_waits_for_the_end_of_the_first(visitor: Studio, asked: Asked) -> None:
    run = run_of(visitor)
    first = visitor.chat.stream(run, HELLO, ChatSettings())
    with pytest.raises(StudioError) as refused:
        visitor.chat.stream(run, HELLO, ChatSettings())
    assert refused.value.code == "limit-reached" and "still being answered" in refused.value.what
    first.close()  # type: ignore[attr-defined]
    second = visitor.chat.stream(run, HELLO, ChatSettings())
    second.close()  # type: ignore[attr-defined]
    with pytest.raises(StudioError, match="too long"):
        visitor.chat.stream(run, [{"role": "user", "content": "x" * 20_000}], ChatSettings())
    with pytest.raises(StudioError):
        visitor.chat.stream("no-such-run", HELLO, ChatSettings())
    third = visitor.chat.stream(run, HELLO, ChatSettings())
    assert asked.stopped == 2 and third is not None


def test_an_imported_run_that_names_another_base_is_refused_to_a_visitor(visitor: Studio, asked: Asked) -> None:
    run = run_of(visitor, "/etc")
    for ask in (
        lambda: visitor.chat.stream(run, HELLO, LONG),
        lambda: visitor.evaluation.evaluate(run),
        lambda: visitor.chat.warm_up(run),
    ):
        with pytest.raises(StudioError) as refused:
            ask()
        assert refused.value.code == "not-allowed"
    assert not asked.requests


@pytest.mark.parametrize("begun", [False, True], ids=["before the first token", "between two tokens"])
def test_a_client_that_disconnects_ends_its_chat_at_once(visitor: Studio, asked: Asked, begun: bool) -> None:
    run = run_of(visitor)
    replies = visitor.chat.ask(run, HELLO, ChatSettings())
    sent: list[dict[str, Any]] = []

    async def leave() -> None:
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
        answering = asyncio.create_task(ReplyStream(replies)(scope, receive, send))
        if begun:
            asked.exchanges.get().put(Chunk(id="c", who="base", text="Hi"))
        await asyncio.sleep(0.1)
        gone.set()
        await asyncio.wait_for(answering, 2)

    asyncio.run(leave())
    assert asked.stopped == 1 and len(sent) == 1 + begun
    visitor.chat.ask(run, HELLO, ChatSettings()).close()


def test_labels_come_as_two_answers_and_count_as_a_chat(visitor: Studio, asked: Asked) -> None:
    run = run_of(visitor)
    visitor.chat.is_classifier = lambda run: True  # type: ignore[method-assign]
    replies = visitor.chat.ask(run, HELLO, ChatSettings())
    with pytest.raises(StudioError) as refused:
        visitor.chat.classify(run, "The lid cracked.")
    assert refused.value.code == "limit-reached" and asked.requests[-1]["op"] == "classify"
    answer = Answer(text="bug", tokens=3, seconds=0.1).model_dump()
    asked.exchanges.get().put(Done(id="c", result={"base": answer, "tuned": answer}))
    assert [(piece.who, piece.text, piece.done) for piece in replies] == [("base", "bug", True), ("tuned", "bug", True)]


def test_the_log_of_the_host_is_put_aside_when_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_LOG", 10)
    path = tmp_path / "host.log"
    for text in (b"a short one", b"b", b"c"):
        with client.open_log(path) as log:
            log.write(text)
    assert (path.read_bytes(), path.with_name("host.log.1").read_bytes()) == (b"bc", b"a short one")
