"""Requests that reach Gradio and our routes: bodies are checked before anything else reads them.

Of Gradio, a page may call one server function (shell.py). Gradio keeps a session for every name that a page invents, so
all pages have one name here. The function knows its visitor by the secret in the request.
The named endpoints (api.py) use Gradio's queue. They are for the owner of the machine alone.
Text with half a character (a lone surrogate) could not be written into an answer: it becomes a question mark.
"""

import json
import re
from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.ui.http.bodies import Disconnected, Refused, json_of, read_body, replay
from studio.ui.http.proxies import ROLE
from studio.ui.http.security import API_FOLDERS, CALL, SAFE_METHODS, UPLOAD
from studio.ui.visitors.roles import may_send

SESSION = "page"
JOIN = "/gradio_api/queue/join"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Calls:
    """Checks what is sent."""

    def __init__(self, app: ASGIApp, component: int, endpoints: Collection[int] = ()) -> None:
        """`component`: the id of the component with the page's server function. `endpoints`: numbers of the named
        endpoints."""
        self.app, self.component, self.endpoints = app, component, endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is as the page sends it; refuse the rest in a sentence."""
        if scope["type"] == "http":
            try:
                _require_owner(scope)
                _require_editor(scope)
                if scope["path"] != UPLOAD and scope["method"] not in SAFE_METHODS:
                    scope, receive = await self._checked(dict(scope), receive)
            except Refused as refused:
                await refused.answer()(scope, receive, send)
                return
            except Disconnected:
                return
        await self.app(scope, receive, send)

    async def _checked(self, scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
        is_call, headers = scope["path"].rstrip("/") == CALL, Headers(scope=scope)
        body = await read_body(receive)
        is_json = headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
        if is_call and not is_json:
            raise Refused(415, "This must be sent as application/json.")
        value = json_of(body) if is_json and body else None
        if is_call:
            value = self._call(value)
        elif scope["path"].rstrip("/") == JOIN:
            self._check_join(value)
        if value is not None:
            body = _encoded(value)
            kept = [pair for pair in scope["headers"] if pair[0] not in (b"content-length", b"transfer-encoding")]
            scope["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
        return scope, replay(body, receive)

    def _call(self, value: Any) -> dict[str, Any]:
        """The call of the server function, for the one session that Gradio knows."""
        called = value if isinstance(value, dict) else {}
        component, name = called.get("component_id"), called.get("fn_name")
        if type(component) is not int or component != self.component or name != "act":  # True is no number here
            raise Refused(400, "There is no such function.")
        return {"component_id": component, "fn_name": name, "data": called.get("data"), "session_hash": SESSION}

    def _check_join(self, value: Any) -> None:
        """Refuse a call of an endpoint that Gradio would answer with a traceback in the log."""
        called = value if isinstance(value, dict) else {}
        number, session = called.get("fn_index"), called.get("session_hash")
        if type(number) is not int or number not in self.endpoints or not isinstance(called.get("data"), list):
            raise Refused(400, "There is no such endpoint.")
        if not isinstance(session, str) or not _NAME.fullmatch(session):
            raise Refused(400, "This is not the name of a session.")


def _require_owner(scope: Scope) -> None:
    """The named endpoints are for the owner: other members of a team could read the answers of a known session."""
    path = scope["path"]
    if path == "/config" or path.startswith(API_FOLDERS):
        if Headers(scope=scope).get(ROLE) != "owner":
            raise Refused(403, "The API is for the owner of this studio only.")


def _require_editor(scope: Scope) -> None:
    """A viewer looks and chats; all else that is sent is refused here or by the page's actions (roles.py)."""
    if scope["method"] not in SAFE_METHODS and not may_send(Headers(scope=scope).get(ROLE, ""), scope["path"]):
        raise Refused(403, "You are logged in as a viewer. Ask the owner of this studio for the password of an editor.")


def _encoded(value: Any) -> bytes:
    """The body for the application.

    Raises:
        Refused: with status 400 for NaN and infinite numbers, which are no JSON.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    except ValueError as error:
        raise Refused(400, "This JSON has a number that is not finite.") from error
