"""Requests that reach Gradio and our routes: bodies are checked before anything else reads them.

Of Gradio, a page may call one server function (shell.py). Gradio keeps a session for every name that a page invents, so
all pages have one name here. The function knows its visitor by the secret in the request.
"""

import json
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.ui.bodies import Disconnected, Refused, json_of, read_body, replay
from studio.ui.security import CALL, UPLOAD

SESSION = "page"


class Calls:
    """Checks what is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is as the page sends it; refuse the rest in a sentence."""
        if scope["type"] == "http" and scope["path"] != UPLOAD and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            try:
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
            value = _call(value)
        if value is not None:
            body = json.dumps(value).encode()
            kept = [pair for pair in scope["headers"] if pair[0] not in (b"content-length", b"transfer-encoding")]
            scope["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
        return scope, replay(body, receive)


def _call(value: Any) -> dict[str, Any]:
    """The call of a server function, for the one session that Gradio knows."""
    component, name = (value.get("component_id"), value.get("fn_name")) if isinstance(value, dict) else (None, None)
    if not isinstance(component, int) or isinstance(component, bool) or name != "act":
        raise Refused(400, "There is no such function.")
    return {"component_id": component, "fn_name": name, "data": value.get("data"), "session_hash": SESSION}
