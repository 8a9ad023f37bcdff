"""Actions of the page: what the one server function is given, what it refuses, and what Gradio keeps of it."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from studio.ui.http.calls import SESSION, Calls
from studio.ui.http.security import CALL
from studio.ui.http.serve_options import ServeOptions
from studio.ui.http.server import make_app
from studio.ui.shell import MOST_FIELDS
from studio.ui.visitors.session import HEADER
from tests.real.asking import component_of, config_of
from tests.unit.asgi import Answer, ask, run

HOST = ("host", "127.0.0.1:7860")
JSON = ("content-type", "application/json")
COMPONENT = 7


class Echo:
    """An application that answers with the body that reaches it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        self.headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"]})


def sent(body: bytes, *headers: tuple[str, str], path: str = CALL + "/", method: str = "POST") -> Answer:
    """The answer behind the check of bodies."""
    answer = run(ask(Calls(Echo(), COMPONENT), path, method, headers or (JSON,), body=body))
    assert isinstance(answer, Answer)
    return answer


def call(**changes: Any) -> bytes:
    """The body of a call."""
    return json.dumps({"component_id": COMPONENT, "fn_name": "act", "session_hash": "x", "data": {}} | changes).encode()


# --- the check of bodies ---


@pytest.mark.parametrize("name", ["x", "", "a" * 10_000, None, 7, ["x"], "../x", "page"])
def test_gradio_is_given_one_session_name_whatever_the_page_invents(name: Any) -> None:
    assert json.loads(sent(call(session_hash=name)).body) == {
        "component_id": COMPONENT,
        "fn_name": "act",
        "session_hash": SESSION,
        "data": {},
    }


@pytest.mark.parametrize("component", [COMPONENT + 1, 0, -1, True, 7.0, "7", None, [7], {}, 10**40, 2**63])
def test_no_other_component_can_be_called(component: Any) -> None:
    assert sent(call(component_id=component)).status == 400


@pytest.mark.parametrize(
    "name", ["", "ACT", "act ", "process_example", "__init__", "postprocess", None, 1, ["act"], {}]
)
def test_no_other_function_can_be_called(name: Any) -> None:
    assert sent(call(fn_name=name)).status == 400


def test_true_is_no_component() -> None:
    assert run(ask(Calls(Echo(), 1), CALL, "POST", (JSON,), body=call(component_id=True))).status == 400


def test_fields_that_are_not_known_are_left_out() -> None:
    answer = sent(call(event_id="x", files=["a"], request={"username": "owner"}))
    assert set(json.loads(answer.body)) == {"component_id", "fn_name", "session_hash", "data"}


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/jsonp"],
)
def test_nothing_but_json_reaches_the_function(kind: str) -> None:
    """Gradio would take files in a form."""
    form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nx\r\n--x--\r\n'
    for body in (form, call()):
        assert sent(body, ("content-type", kind)).status == 415


def test_of_two_content_types_the_first_counts_as_it_does_for_gradio() -> None:
    form = ("content-type", "multipart/form-data; boundary=x")
    assert sent(call(), form, JSON).status == 415
    assert json.loads(sent(call(), JSON, form).body)["session_hash"] == SESSION


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe{}", b"[" * 100_000, b"{}"])
def test_a_body_that_is_no_call_is_refused(body: bytes) -> None:
    assert sent(body).status == 400


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5_000])
def test_a_number_that_is_none_is_refused(number: str) -> None:
    for path in (CALL, "/studio/ticket"):
        body = call(data={"said": {"x": "HERE"}}).replace(b'"HERE"', number.encode())
        assert sent(body, path=path).status == 400


def test_half_characters_become_question_marks_wherever_they_are() -> None:
    data = {"a\ud800": ["\udfff", {"b": "x\ud83d"}], "whole": "\U0001f600é"}
    answer = sent(call(data=data))
    assert json.loads(answer.body)["data"] == {"a?": ["?", {"b": "x?"}], "whole": "\U0001f600é"}


def test_the_length_of_a_body_is_that_of_what_is_passed_on() -> None:
    echo = Echo()
    body = call(data={"name": "é" * 50}, more="left out")
    answer = run(ask(Calls(echo, COMPONENT), CALL, "POST", (JSON, ("content-length", str(len(body)))), body=body))
    assert int(echo.headers["content-length"]) == len(answer.body)


def test_data_that_is_too_deep_or_too_long_is_refused() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    assert sent(call(data=deep)).status == 400
    assert sent(call(data="x" * 4_100_000)).status == 413


# --- the function ---


class Page:
    """A whole studio without a server, and one open page of it."""

    def __init__(self, home: Path, demo: bool) -> None:
        async def built() -> Any:  # where a loop is running Gradio makes none of its own
            return make_app(ServeOptions(home, demo=demo))

        self.app: Any = asyncio.run(built())
        self.component = self._layer(Calls).component

    def _layer(self, kind: type) -> Any:
        """A layer of the application."""
        app = self.app
        while not isinstance(app, kind):
            app = getattr(app, "guard", None) or app.app
        return app

    @property
    def gradio(self) -> Any:
        """Gradio's application."""
        routes = self._layer(FastAPI).routes
        return next(app for each in routes if hasattr(app := getattr(each, "app", None), "state_holder"))

    @property
    def gradio_sessions(self) -> list[str]:
        """The names of the sessions that Gradio keeps."""
        return list(self.gradio.state_holder.session_data)

    def post(self, path: str, value: Any, *headers: tuple[str, str]) -> Answer:
        answer = run(ask(self.app, path, "POST", (HOST, JSON, *headers), body=json.dumps(value).encode()))
        assert isinstance(answer, Answer)
        return answer

    def act(self, data: Any, *headers: tuple[str, str], session: Any = "x") -> dict[str, str]:
        """The regions in the answer to an action."""
        value = {"component_id": self.component, "fn_name": "act", "session_hash": session, "data": data}
        answer = self.post(CALL + "/", value, *headers)
        assert answer.status == 200, answer.body
        regions: dict[str, str] = json.loads(answer.body)["regions"]
        return regions

    def secret(self) -> str:
        """The secret of a new visitor."""
        return str(json.loads(self.post("/studio/workspace", None).body)["secret"])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    yield Page(tmp_path_factory.mktemp("demo"), demo=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    yield Page(tmp_path_factory.mktemp("alone"), demo=False)


LOOK = {"page": "mine", "region": "model-body", "said": {"act": "task", "value": "chat"}}


@pytest.mark.slow
def test_invented_session_names_leave_one_session_in_gradio(alone: Page) -> None:
    for number in range(100):
        assert "model-body" in alone.act(LOOK, session=f"invented-{number}")
    assert alone.gradio_sessions == [SESSION]


def test_the_secret_in_the_action_counts_and_none_in_a_header(demo: Page) -> None:
    secret = demo.secret()
    assert "model-body" in demo.act({**LOOK, "secret": secret})
    assert "model-body" in demo.act({**LOOK, "secret": secret}, (HEADER, "0" * 48)), "a wrong header changes nothing"
    for wrong in (
        None,
        "",
        "0" * 48,
        [secret],
        {secret: secret},
        7,
        True,
        secret[:-1],
        secret + " ",
        "é" * 48,
        "default",
    ):
        for headers in ((), ((HEADER, secret),), ((HEADER.upper(), secret),)):
            shown = demo.act({**LOOK, "secret": wrong}, *headers)
            assert set(shown) == {"notice-model"} and "lost its workspace" in shown["notice-model"], (wrong, headers)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "x",
        7,
        {},
        {**LOOK, "page": ""},
        {**LOOK, "page": "../x"},
        {**LOOK, "page": "a" * 65},
        {**LOOK, "page": "a\n"},
        {**LOOK, "page": "ａ"},
        {**LOOK, "page": ["mine"]},
        {**LOOK, "page": None},
        {**LOOK, "region": "no-such-region"},
        {**LOOK, "region": ["model-body"]},
        {**LOOK, "region": None},
        {**LOOK, "region": "__class__"},
        {**LOOK, "said": []},
        {**LOOK, "said": None},
        {**LOOK, "said": {f"f{number}": 1 for number in range(MOST_FIELDS + 1)}},
        {**LOOK, "said": {f"f{number}": 1 for number in range(10_000)}},
        {**LOOK, "said": {"act": "no-such-act"}},
        {**LOOK, "said": {"act": ["task"]}},
        {**LOOK, "said": {"act": "__class__"}},
    ],
)
def test_an_action_that_no_page_sends_is_refused_in_a_sentence(alone: Page, data: Any) -> None:
    shown = alone.act(data)
    assert set(shown) == {"notice-model"} and "does not know that button" in shown["notice-model"]


def test_a_refusal_is_shown_on_the_tab_of_its_action(demo: Page) -> None:
    for region, notice in (("data-body", "notice-data"), ("runs-body", "notice-runs"), ("tab-export", "notice-export")):
        assert set(demo.act({"page": "mine", "region": region, "said": {"act": "look"}})) == {notice}


def parts(page: Page) -> list[str]:
    """The ids of all parts of the page that send actions."""
    from studio.ui.shell import Shell

    function = next(block.act for block in page.gradio.blocks.blocks.values() if hasattr(block, "act"))
    shell = next(each.cell_contents for each in function.__closure__ or () if isinstance(each.cell_contents, Shell))
    assert len(shell.handlers) > 15
    return list(shell.handlers)


def test_every_answer_numbers_its_drawing_so_that_an_overtaken_one_does_not_hide_a_newer_one(alone: Page) -> None:
    regions = [part for part in parts(alone) if part.endswith(("-body", "-actions"))]
    drawn = [
        alone.act({"page": "many", "region": region, "said": {"act": act, "value": "gguf", "sent": 3}})
        for region in regions
        for act in ("draw", "look", "choose", "option", "which")
    ]
    shown = [value for parts in drawn for part, value in parts.items() if value and not part.startswith("notice-")]
    assert len(shown) > 30
    numbers = [re.match(r"<!--(\d+) 3-->", value) for value in shown if isinstance(value, str)]
    assert numbers and all(numbers)


def test_an_action_that_opens_its_own_tab_draws_it_and_leaves_another_tab_to_itself(tmp_path: Path) -> None:
    import gradio as gr

    from studio.ui.components.markup import Html
    from studio.ui.http.uploads import Uploads
    from studio.ui.shell import PageShell, Shell
    from studio.ui.visitors.session import Sessions

    async def built() -> tuple[gr.HTML, gr.HTML]:  # where a loop is running Gradio makes none of its own
        return gr.HTML(elem_id="train-body"), gr.HTML(elem_id="notice-train")

    sessions = Sessions(tmp_path / "home")
    body, notice = asyncio.run(built())
    shell = PageShell(Shell(sessions, Uploads(tmp_path / "uploads")), "train", notice)
    shell.page(lambda visit: {body: Html("the new run")})
    acts = shell.then_drawn({"stay": lambda visit: visit.goto("train"), "leave": lambda visit: visit.goto("data")})
    assert "the new run" in str(acts["stay"](sessions.visit({}, "mine", {}))[body])
    assert acts["leave"](sessions.visit({}, "mine", {})) == {}
    sessions.root.close()


def test_every_part_answers_odd_values_without_a_fault(alone: Page, caplog: pytest.LogCaptureFixture) -> None:
    for region in parts(alone):
        for value in (None, True, -1, 1.5, [1], {"a": 1}, "\ud800", "x" * 20_000, 2**70):
            said = {"act": "draw", "value": value, "sent": value, "about": value, "unasked": value, "run": value}
            assert "Something went wrong" not in str(alone.act({"page": "odd", "region": region, "said": said}))
    assert not caplog.records


def test_the_tab_that_waits_for_earlier_steps_can_look_again(alone: Page) -> None:
    shown = alone.act({"page": "new", "region": "method-body", "said": {"act": "draw", "unasked": True}})
    assert 'data-act="draw"' in shown["method-body"] and "notice-method" not in shown


def test_a_fault_on_the_way_to_an_action_is_a_sentence_with_an_id(
    alone: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from studio.ui.visitors.session import Sessions

    def broken(*_: Any) -> Any:
        raise RuntimeError("a private detail")

    monkeypatch.setattr(Sessions, "visitor_of", broken)
    shown = alone.act(LOOK)["notice-model"]
    assert "Something went wrong" in shown and "private" not in shown
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/queue/join",
        "/gradio_api/queue/data?session_hash=page",
        "/gradio_api/cancel",
        "/gradio_api/reset",
        "/gradio_api/heartbeat/page",
        "/gradio_api/component_server//",
        "/gradio_api/component_server/x",
        "/component_server/",
        "/studio/press",
    ],
)
def test_a_demo_has_no_event_queue(demo: Page, path: str) -> None:
    assert demo.post(path, {"session_hash": "page", "fn_index": 0, "data": [], "event_id": "x"}).status == 404
    assert run(ask(demo.app, path, headers=(HOST,))).status == 404


def test_the_page_has_one_function_and_no_event_of_gradio_but_the_named_endpoints_of_the_owner(
    alone: Page, demo: Page
) -> None:
    for studio, endpoints in ((demo, set()), (alone, {"plan", "train", "status", "chat", "predict"})):
        config = config_of(run(ask(studio.app, "/", headers=(HOST,))).body.decode())
        assert {each["api_name"] for each in config["dependencies"]} == endpoints
        assert component_of(config) == studio.component
        assert sum(bool(each["props"].get("server_fns")) for each in config["components"]) == 1


def test_the_page_names_its_style_and_script_in_a_link_header_and_no_other_answer_does(alone: Page) -> None:
    from studio.ui.http.static import address

    link = run(ask(alone.app, "/", headers=(HOST,))).header("link")
    assert link.count("rel=preload") == 2 and all(f"<{address(kind)}>" in link for kind in ("css", "js"))
    for kind in ("css", "js"):
        answer = run(ask(alone.app, "/" + address(kind), headers=(HOST,)))
        assert answer.status == 200 and "immutable" in answer.header("cache-control") and not answer.header("link")


def test_a_reader_with_a_password_is_told_nothing_before(tmp_path: Path) -> None:
    from studio.ui.visitors.passwords import Account, hash_password

    async def built() -> Any:
        return make_app(ServeOptions(tmp_path, accounts=[Account(hash_password("one"))]))

    app = asyncio.run(built())
    answer = run(ask(app, "/", headers=(HOST,)))
    assert b"Password" in answer.body and not answer.header("link")
    assert run(ask(app, CALL + "/", "POST", (HOST, JSON), body=call())).status == 401
