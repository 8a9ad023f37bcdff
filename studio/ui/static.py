"""The page's own style and script, joined and named by their content, so that a browser may keep them for ever."""

import gzip
import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

HERE = Path(__file__).parent
TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


@cache
def content(kind: str) -> bytes:
    """All files of `css/` or `js/`, in the order of their names: those with a number first."""
    files = sorted((HERE / kind).glob(f"*.{kind}"), key=lambda path: path.name)
    return b"\n".join(path.read_bytes() for path in files)


@cache
def _packed(kind: str) -> bytes:
    return gzip.compress(content(kind), 6)


@cache
def mark(kind: str) -> str:
    """A short hash of the content, for the address."""
    return hashlib.sha256(content(kind)).hexdigest()[:12]


def head(root: str, demo: bool) -> str:
    """What is put first into the page's head."""
    return (
        f'<link rel="stylesheet" href="{root}studio/static/studio.css?{mark("css")}">'
        f'<script src="{root}studio/static/studio.js?{mark("js")}" '
        f'data-root="{root}"{" data-demo=1" if demo else ""}></script>'
    )


def routes() -> APIRouter:
    """The two addresses."""
    router = APIRouter()

    @router.get("/studio/static/studio.{kind}")
    def file(kind: str, request: Request) -> Response:
        if kind not in TYPES:
            return PlainTextResponse("There is nothing at this address.", 404)
        kept = "public, max-age=31536000, immutable" if request.url.query == mark(kind) else "no-cache"
        headers = {"Cache-Control": kept, "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(_packed(kind), media_type=TYPES[kind], headers={**headers, "Content-Encoding": "gzip"})
        return Response(content(kind), media_type=TYPES[kind], headers=headers)

    return router
