"""Requests that reach Gradio and our routes: bodies are checked, and event streams belong to one visitor.

Gradio knows an open page by a name that its script invents, the session hash, and sends a page's answers to everyone
who knows its name. Here the name is replaced by a keyed hash of the name and of its visitor. So two visitors with the
same name have two streams, and a visitor who learns another's name reads nothing. No list can be filled up for that.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlencode

import gradio as gr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.ui.bodies import Disconnected, Refused, json_of, read_body, replay
from studio.ui.login import IDENTITY
from studio.ui.security import UPLOAD
from studio.ui.session import HEADER

PRESS = "/studio/press"
JOIN, DATA, CANCEL, RESET = (f"/gradio_api/{each}" for each in ("queue/join", "queue/data", "cancel", "reset"))
HEARTBEAT = "/gradio_api/heartbeat/"
PAGES, IDENTITIES = 50, 2000
"""Open pages that one visitor has at most, and visitors whose pages are known; older ones are forgotten."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LARGEST = 2**53


class Streams:
    """Checks what is sent, and keeps the event streams of visitors apart."""

    def __init__(self, app: ASGIApp, page: gr.Blocks, workspace_of: Callable[[str], str | None] | None = None) -> None:
        """`workspace_of` gives the workspace of a secret in a demo; None where there are no visitors."""
        self.app, self.page, self.workspace_of = app, page, workspace_of
        self._key = secrets.token_bytes(32)
        self._open: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is as the page sends it; refuse the rest in a sentence."""
        if scope["type"] == "http" and scope["path"] != UPLOAD:
            try:
                scope, receive = await self._checked(dict(scope), receive)
            except Refused as refused:
                await refused.answer()(scope, receive, send)
                return
            except Disconnected:
                return
        await self.app(scope, receive, send)

    async def _checked(self, scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
        path, headers = scope["path"].rstrip("/"), Headers(scope=scope)
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            if path == DATA:
                scope["query_string"] = urlencode({"session_hash": self._stream(scope, headers)}).encode()
            elif path.startswith(HEARTBEAT.rstrip("/")):
                inner = self._inner(self._identity(scope, headers), path[len(HEARTBEAT) :])
                scope.update(path=HEARTBEAT + inner, raw_path=(HEARTBEAT + inner).encode())
            return scope, receive
        body = await read_body(receive)
        changes = {JOIN: self._join, CANCEL: self._cancel, RESET: self._reset}.get(path)
        is_json = headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
        if changes and not is_json:
            raise Refused(415, "This must be sent as application/json.")
        value = json_of(body) if is_json and body else None
        if changes:
            if not isinstance(value, dict):
                raise Refused(400, "This must be a JSON object.")
            value = changes(self._identity(scope, headers), value)
        elif path == PRESS and isinstance(value, dict) and isinstance(value.get("page"), str):
            value = self._press(scope, headers, value)
        if value is not None:
            body = json.dumps(value).encode()
            kept = [pair for pair in scope["headers"] if pair[0] not in (b"content-length", b"transfer-encoding")]
            scope["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
        return scope, replay(body, receive)

    def _identity(self, scope: Scope, headers: Headers) -> str:
        """Who sends a request: a login session, a visitor's workspace, or `` where there is one person alone."""
        session = scope.get(IDENTITY, "")
        if self.workspace_of is None:
            return str(session)
        workspace = self.workspace_of(headers.get(HEADER, ""))
        if workspace is None:
            raise Refused(403, "This page has lost its workspace. Reload the page.")
        return f"{session}/{workspace}"

    def _inner(self, identity: str, name: Any) -> str:
        """The session hash that Gradio is given for one of a page of this visitor."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Refused(400, "This is not the name of an open page.")
        if not identity:
            return name
        return hmac.new(self._key, f"{identity}\0{name}".encode(), hashlib.sha256).hexdigest()[:32]

    def _stream(self, scope: Scope, headers: Headers) -> str:
        try:
            asked = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20).get("session_hash", [])
        except ValueError as error:
            raise Refused(400, "This address has too many parameters.") from error
        inner = self._inner(self._identity(scope, headers), asked[0] if len(asked) == 1 else None)
        if inner not in self.page._queue.pending_messages_per_session:
            raise Refused(404, "This page has no open stream. Reload the page.")
        return inner

    def _join(self, identity: str, value: dict[str, Any]) -> dict[str, Any]:
        number, data, trigger = value.get("fn_index"), value.get("data"), value.get("trigger_id")
        handler = self.page.fns.get(number) if isinstance(number, int) and _whole(number) else None
        if handler is None:
            raise Refused(400, "There is no handler with this number.")
        if not isinstance(data, list) or len(data) != len(handler.inputs):
            raise Refused(400, "These are not the inputs of this handler.")
        if trigger is not None and not (_whole(trigger) and trigger in {self.page._id, *self.page.blocks}):
            raise Refused(400, "There is no component with this number.")
        inner = self._inner(identity, value.get("session_hash"))
        self._remember(identity, inner)
        return {
            "data": data,
            "event_data": value.get("event_data"),
            "fn_index": number,
            "trigger_id": trigger,
            "session_hash": inner,
        }

    def _cancel(self, identity: str, value: dict[str, Any]) -> dict[str, Any]:
        number, event = value.get("fn_index"), value.get("event_id")
        if not _whole(number) or not isinstance(event, str) or not _NAME.fullmatch(event):
            raise Refused(400, "There is no such event.")
        inner = self._inner(identity, value.get("session_hash"))
        if event not in self.page._queue.pending_event_ids_session.get(inner, ()):
            raise Refused(404, "There is no such event.")
        return {"session_hash": inner, "fn_index": number, "event_id": event}

    def _reset(self, _: str, value: dict[str, Any]) -> dict[str, Any]:
        event = value.get("event_id")
        if not isinstance(event, str) or not _NAME.fullmatch(event):
            raise Refused(400, "There is no such event.")
        return {"event_id": event}

    def _press(self, scope: Scope, headers: Headers, value: dict[str, Any]) -> dict[str, Any]:
        """A key press names its page as the queue does, so that both find the same choices. Its route refuses it."""
        with suppress(Refused):
            return {**value, "page": self._inner(self._identity(scope, headers), value["page"])}
        return value

    def _remember(self, identity: str, inner: str) -> None:
        """Forget the oldest pages of this visitor, and the visitors who were not here for longest.

        Gradio keeps every session hash forever. Pages that wait for an answer are kept.
        """
        pages = self._open.setdefault(identity, OrderedDict())
        self._open.move_to_end(identity)
        if inner not in pages and len(pages) >= PAGES and not self._forget(pages, 1):
            raise Refused(429, "Too many of your pages wait for an answer. Close some of them.", wait=5)
        pages[inner] = None
        pages.move_to_end(inner)
        if len(self._open) > IDENTITIES:
            for old in list(self._open)[:20]:
                self._forget(self._open[old], PAGES)
                if not self._open[old]:
                    del self._open[old]
                    break

    def _forget(self, pages: OrderedDict[str, None], most: int) -> int:
        queue = self.page._queue
        idle = [name for name in pages if not queue.pending_event_ids_session.get(name)][:most]
        for name in idle:
            del pages[name]
            queue.pending_messages_per_session.pop(name, None)
            queue.pending_event_ids_session.pop(name, None)
        return len(idle)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST
