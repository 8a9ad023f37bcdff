"""The named endpoints for the owner of the machine, by Gradio's own client: a run from a plan to a prediction."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from studio.ui.visitors.passwords import hash_password
from tests.browser.served import Served
from tests.real.asking import Asking

NAMES = {"/plan", "/train", "/status", "/chat", "/predict"}
CLOSED = ("/gradio_api/info", "/gradio_api/call/plan", "/gradio_api/mcp/", "/config")


pytestmark = pytest.mark.usefixtures("tiny_starters")


def test_the_owner_plans_trains_follows_and_predicts_through_the_api(tmp_path: Path) -> None:
    served = Served(tmp_path / "home")
    try:
        client = Client(served.url, verbose=False)
        described: Any = client.view_api(return_format="dict", print_info=False)
        assert set(described["named_endpoints"]) == NAMES
        few = {"max_steps": 2, "batch_size": 2, "eval_rows": 4}
        data, model = "sample:intent-routing", "starter-classify"
        plan = client.predict(data, model, settings=few, api_name="/plan")
        assert plan["settings"]["max_steps"] == 2 and plan["estimate"]["memory_bytes"] > 0
        run = client.predict(data, model, settings=few, name="from the API", api_name="/train")["id"]
        until = time.monotonic() + 200
        while (state := client.predict(run, api_name="/status"))["status"] in ("queued", "starting", "training"):
            assert time.monotonic() < until, state
            time.sleep(1)
        assert (state["status"], state["step"], state["name"]) == ("finished", 2, "from the API")
        labels = client.predict("I want my money back", run, api_name="/predict")["tuned"]["labels"]
        assert labels and 0 < labels[0]["probability"] <= 1
        with pytest.raises(AppError, match="There is no run nothing"):
            client.predict("nothing", api_name="/status")
    finally:
        served.stop()


def test_agents_use_the_endpoints_by_mcp_where_the_flag_allows_it(tmp_path: Path) -> None:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    served = Served(tmp_path / "home", "--mcp")

    async def talk() -> tuple[list[str], str]:
        async with (
            streamable_http_client(f"{served.url.rstrip('/')}/gradio_api/mcp/") as (receive, send, _),
            ClientSession(receive, send) as session,
        ):
            await session.initialize()
            tools = [tool.name for tool in (await session.list_tools()).tools]
            return tools, str((await session.call_tool("status", {"run": "nothing"})).content)

    try:
        tools, answer = asyncio.run(asyncio.wait_for(talk(), 60))
        assert {f"/{tool}" for tool in tools} == NAMES and "There is no run nothing" in answer
    finally:
        served.stop()


def test_a_public_demo_has_no_api(tmp_path: Path) -> None:
    served = Served(tmp_path / "home", "--demo")
    try:
        stranger = Asking(served)
        assert [stranger.get(path).status for path in CLOSED] == [404] * len(CLOSED)
        assert stranger.post("/gradio_api/queue/join", {}).status == 404
        assert "plan" not in str(stranger.config.get("dependencies"))
    finally:
        served.stop()


def test_a_member_of_a_team_who_is_not_the_owner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = tmp_path / "hashes"
    hashes.write_text(f"owner {hash_password('the owner')}\nmember {hash_password('a member')}\n")
    monkeypatch.setenv("STUDIO_PASSWORD_FILE", str(hashes))
    served = Served(tmp_path / "home")
    try:
        for password, allowed in (("the owner", True), ("a member", False)):
            asking = Asking(served)
            entered = asking.ask(
                "POST",
                "/login",
                f"password={password.replace(' ', '+')}",
                content_type="application/x-www-form-urlencoded",
            )
            cookie = entered.headers["set-cookie"].split(";")[0]
            status = 200 if allowed else 403
            assert [asking.get(path, cookie=cookie).status for path in ("/config", "/gradio_api/info")] == [status] * 2
            if allowed:
                client = Client(served.url, verbose=False, headers={"Cookie": cookie})
                with pytest.raises(AppError, match="There is no run nothing"):
                    client.predict("nothing", api_name="/status")
    finally:
        served.stop()


@pytest.mark.parametrize(
    "wrong",
    [
        {"fn_index": 99, "data": [], "session_hash": "a"},
        {"fn_index": True, "data": [], "session_hash": "a"},
        {"fn_index": 0, "data": "x", "session_hash": "a"},
        {"fn_index": 0, "data": [], "session_hash": "../x"},
        [],
        None,
    ],
)
def test_a_call_that_names_no_endpoint_is_refused_without_a_traceback(alone: Asking, wrong: Any) -> None:
    assert alone.post("/gradio_api/queue/join", wrong).status == 400
    assert "Traceback" not in alone.served.log.read_text()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    served = Served(tmp_path_factory.mktemp("alone") / "home")
    yield Asking(served)
    served.stop()
