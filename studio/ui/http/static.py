"""The page's style and script, each joined into one file that is named by its content, and compressed responses.

Starlette's StaticFiles serves files of a folder. Style and script are joined in memory, with the list of tabs, so they
have a route of their own here; the hash in their address takes the place of its ETag.
"""

import gzip
import hashlib
import json
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.ui import languages

HERE = Path(__file__).parents[1]
TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
SMALLEST_COMPRESSED = 1000
"""Bytes of an answer from which on it is compressed."""
IMMUTABLE = "public, max-age=31536000, immutable"
"""For files whose address changes with their content: the browser does not ask for them again."""
KEPT_ASSETS = 300
"""How many responses with Gradio's files stay in memory. A page load requests about 35 of them."""
STREAMED = "application/x-ndjson"
"""The type of chat replies, which are sent as they are written."""


@cache
def content(kind: str) -> bytes:
    """All files of `vendor/`, then of `css/` or `js/`, in the order of their names: those with a number first."""
    folders = (HERE / "vendor", HERE / kind)
    files = [path for folder in folders for path in sorted(folder.glob(f"*.{kind}"), key=lambda path: path.name)]
    first = [languages.script().encode(), _tabs()] if kind == "js" else []
    return b"\n".join([*first, *(path.read_bytes() for path in files)])


def _tabs() -> bytes:
    """Name, title and help page of all tabs, and what a viewer may do there, for the script."""
    from studio.ui.tabs.registry import TABS

    tabs = [[tab.name, tab.short_title, tab.help_page] for tab in TABS.values()]
    viewer = {tab.name: sorted(tab.viewer_actions) for tab in TABS.values()}
    return f"window.studioTabs = {json.dumps(tabs)}; window.studioViewer = {json.dumps(viewer)};".encode()


@cache
def compressed(kind: str) -> bytes:
    """The content as gzip, compressed once instead of for each visitor."""
    return gzip.compress(content(kind), compresslevel=9, mtime=0)


@cache
def mark(kind: str) -> str:
    """A short hash of the content, for the address."""
    return hashlib.sha256(content(kind)).hexdigest()[:12]


def address(kind: str) -> str:
    """The address of the joined files, with the hash of their content."""
    return f"studio/static/studio.{kind}?{mark(kind)}"


def head() -> str:
    """The tags that load both. Gradio adds them once, and runs no script of a part before the script is loaded."""
    return f'<link rel="stylesheet" href="{address("css")}"><script src="{address("js")}"></script>'


def preload() -> str:
    """The value of a Link header, so that the browser loads both at once with the page."""
    return f"<{address('css')}>; rel=preload; as=style, <{address('js')}>; rel=preload; as=script"


class Assets:
    """Keeps the responses with Gradio's files, which are the same for everybody, so that each is compressed once."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._kept: dict[tuple[str, bool, bool], list[Message]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the kept response, or pass on and keep what comes back."""
        headers = Headers(scope=scope)
        if scope["method"] != "GET" or "range" in headers:
            await self.app(scope, receive, send)
            return
        encodings = headers.get("accept-encoding", "")
        key = scope["path"], "br" in encodings, "gzip" in encodings
        if key not in self._kept:
            messages: list[Message] = []

            async def keep(message: Message) -> None:
                messages.append(message)

            await self.app(scope, receive, keep)
            if messages[0].get("status") == 200:
                self._kept[key] = messages
                if len(self._kept) > KEPT_ASSETS:
                    del self._kept[next(iter(self._kept))]
        else:
            messages = self._kept[key]
        for message in messages:
            await send({**message, "headers": [*message["headers"]]} if "headers" in message else message)


class Preload:
    """Adds a Link header to the page, so that the browser loads style and script at once; the page is not cached.

    Gradio's own scripts and styles have a hash of their content in their names. The browser keeps them for a year, and
    does not ask again. Answers are compressed, except streams and what Gradio has compressed already.
    """

    def __init__(self, app: ASGIApp) -> None:
        excluded = (*DEFAULT_EXCLUDED_CONTENT_TYPES, STREAMED)
        self.app = GZipMiddleware(app, SMALLEST_COMPRESSED, compresslevel=6, exclude_content_types=excluded)
        self.assets = Assets(self.app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and add headers to the page and to Gradio's files."""

        async def page(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Link"], headers["Cache-Control"] = preload(), "no-store"
            await send(message)

        async def asset(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                MutableHeaders(scope=message)["Cache-Control"] = IMMUTABLE
            await send(message)

        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith("/assets/"):
            await self.assets(scope, receive, asset)
        else:
            await self.app(scope, receive, page if path == "/" else send)


def routes() -> APIRouter:
    """The two addresses."""
    router = APIRouter()

    @router.get("/studio/static/studio.{kind}")
    def file(kind: str, request: Request) -> Response:
        if kind not in TYPES:
            return PlainTextResponse("There is nothing at this address.", 404)
        kept = IMMUTABLE if request.url.query == mark(kind) else "no-cache"
        headers = {"Cache-Control": kept, "Vary": "Accept-Encoding"}
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return Response(content(kind), media_type=TYPES[kind], headers=headers)
        return Response(compressed(kind), media_type=TYPES[kind], headers={**headers, "Content-Encoding": "gzip"})

    return router
