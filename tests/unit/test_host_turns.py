"""Requests to the model host: workspaces take turns, visitors have limits, half a character is replaced."""

import asyncio
import gc
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from studio.host.inbox import Inbox
from studio.schema.errors import StudioError
from studio.schema.host import REQUEST, request_line
from studio.schema.host_responses import Chunk, Done
from studio.schema.limits import DEMO
from studio.services.model_host.client import PER_ADDRESS, WAITING_JOBS, Host, HostClient, Places
from studio.services.model_host.exchange import Exchange
from studio.store import Home

INFO = {"name": "m", "title": "M", "source": "folder", "kind": "causal"}
TEXTS = {"rows": {"path": "rows.parquet"}, "column": "text", "folder": "f"}


def embed(name: str, workspace: str) -> Any:
    return REQUEST.validate_python({"op": "embed", "id": name, "workspace": workspace, "info": INFO, "texts": TEXTS})


def visitor(home: Home, number: int, address: str = "") -> Any:
    workspace = home.workspace(f"visitor-{number:032x}")
    if address:
        workspace.visited(address)
    return workspace


def test_long_work_of_workspaces_is_done_in_turns() -> None:
    inbox = Inbox()
    for name, workspace in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("c1", "c"), ("b2", "b")):
        inbox.put(embed(name, workspace))
    order = []
    while (request := inbox.next_work()) is not None:
        order.append(request.id)
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_request_that_waits_can_be_taken_back() -> None:
    inbox = Inbox()
    for name in ("a1", "a2"):
        inbox.put(embed(name, "a"))
    assert inbox.remove("a1") and not inbox.remove("a1")
    request = inbox.next_work()
    assert request is not None and request.id == "a2" and inbox.next_work() is None


def test_a_visitor_has_one_chat_at_a_time_and_an_address_a_few(tmp_path: Path) -> None:
    client = HostClient(Home(tmp_path))
    first = client.of(visitor(client.home, 0, "192.0.2.1"))
    give_back = first.place("chat")
    with pytest.raises(StudioError) as refused:
        first.place("chat")
    assert refused.value.code == "limit-reached"
    assert refused.value.what == "Your last message is still being answered." and refused.value.hint
    others = [client.of(visitor(client.home, number, "192.0.2.1")) for number in range(1, PER_ADDRESS + 1)]
    for other in others[:-1]:
        other.place("chat")
    with pytest.raises(StudioError):
        others[-1].place("chat")
    client.of(visitor(client.home, 99, "192.0.2.2")).place("chat")
    give_back()
    give_back()
    others[-1].place("chat")
    with pytest.raises(StudioError):
        first.place("chat")


def test_a_visitor_has_a_few_waiting_jobs_and_an_owner_as_many_as_they_like(tmp_path: Path) -> None:
    client = HostClient(Home(tmp_path))
    one = client.of(visitor(client.home, 1))
    for _ in range(DEMO.jobs_at_once + WAITING_JOBS):
        one.place("job")
    with pytest.raises(StudioError) as refused:
        one.place("job")
    assert refused.value.code == "limit-reached"
    owner = client.of(client.home.workspace())
    for _ in range(50):
        owner.place("job")
        owner.place("chat")


def exchange(places: Places) -> tuple[Exchange, list[str]]:
    stopped: list[str] = []
    return Exchange(lambda: stopped.append("stop"), places.take("chat", {"anna": 1})), stopped


def test_an_exchange_that_is_closed_wakes_who_waits_for_it_and_gives_its_place_back() -> None:
    places = Places()
    asked, stopped = exchange(places)
    heard: list[Any] = []
    waiting = threading.Thread(target=lambda: heard.extend(asked))
    waiting.start()
    asked.close()
    waiting.join(timeout=5)
    assert not waiting.is_alive() and heard == [] and stopped == ["stop"]
    places.take("chat", {"anna": 1})


def test_a_request_that_waits_for_its_turn_is_canceled_at_once() -> None:
    class Busy(Host):
        """A host that works for somebody else, and takes a waiting request back."""

        def ask(self, op: str, **fields: Any) -> Exchange:
            asked = Exchange(lambda: None, lambda: None, lambda: asked.put(Done(id=op, stopped=True)))
            return asked

    cancel, results = threading.Event(), list[Any]()
    work = threading.Thread(target=lambda: results.append(Busy().result("predict", cancel=cancel)), daemon=True)
    work.start()
    cancel.set()
    work.join(timeout=5)
    assert results == [{}]


@pytest.mark.slow
def test_an_exchange_that_is_forgotten_ends() -> None:
    places = Places()
    asked, stopped = exchange(places)
    del asked
    gc.collect()
    assert stopped == ["stop"]
    places.take("chat", {"anna": 1})


def test_an_exchange_is_read_in_an_event_loop_without_a_thread() -> None:
    places = Places()
    asked, stopped = exchange(places)

    async def read() -> list[str]:
        before = threading.active_count()
        threading.Timer(0.05, asked.put, [Chunk(id="c", who="base", text="Hi")]).start()
        threading.Timer(0.1, asked.put, [Done(id="c")]).start()
        found = [said.event async for said in asked]
        assert threading.active_count() <= before + 2
        return found

    assert asyncio.run(read()) == ["chunk", "done"] and stopped == []
    places.take("chat", {"anna": 1})


def test_half_a_character_is_replaced_on_the_way_to_the_host() -> None:
    request = REQUEST.validate_python(
        {
            "op": "preview",
            "id": "1",
            "info": INFO,
            "task": "chat",
            "roles": {},
            "row": {"a": ["x \ud83d", {"b": "\ude00"}]},
            "system_prompt": "Be \ud83d nice 😀",
        }
    )
    read = REQUEST.validate_json(request_line(request))
    assert read.model_dump()["row"] == {"a": ["x \ufffd", {"b": "\ufffd"}]}
    assert read.model_dump()["system_prompt"] == "Be \ufffd nice 😀"


def test_what_is_no_request_is_refused_plainly_and_gives_its_place_back(tmp_path: Path) -> None:
    client = HostClient(Home(tmp_path))
    one = client.of(visitor(client.home, 1))
    with pytest.raises(StudioError) as refused:
        one.ask("classify", run={"odd": json.dumps(1)}, text="Hello")
    assert refused.value.code == "bad-setting" and client._process is None
    one.place("chat")
