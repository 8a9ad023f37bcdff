"""Answers with rows: while they are sent, they take a place of their workspace, whose number is limited in a demo."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from studio.api import Studio
from studio.ui.http.error_routes import StudioFinder

NO_STORE = {"Cache-Control": "no-store"}


class _Held(Response):
    """An answer that releases what it holds when it was sent, also when the client has left."""

    held: ExitStack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.held:
            await super().__call__(scope, receive, send)


Sent = TypeVar("Sent", bound=_Held)


class SentRows(_Held, StreamingResponse):
    """Lines that are sent as they are read."""


class SentFile(_Held, FileResponse):
    """A file that is deleted when it was sent."""


async def rows(studios: StudioFinder, headers: Headers, kind: str, read: Callable[[Studio], Iterator[str]]) -> SentRows:
    """The answer with the lines that `read` yields."""
    media = "text/csv; charset=utf-8" if kind == "csv" else "application/jsonl"
    return await _sent(
        studios, headers, lambda studio, held: SentRows(read(studio), media_type=media, headers=NO_STORE)
    )


async def file(studios: StudioFinder, headers: Headers, write: Callable[[Studio, Path], Path]) -> SentFile:
    """The answer with the file that `write` makes in a folder, which is deleted afterwards."""

    def written(studio: Studio, held: ExitStack) -> SentFile:
        folder = Path(held.enter_context(TemporaryDirectory()))
        return SentFile(write(studio, folder), headers=NO_STORE)

    return await _sent(studios, headers, written)


async def _sent(studios: StudioFinder, headers: Headers, make: Callable[[Studio, ExitStack], Sent]) -> Sent:
    """The answer that `make` returns. It holds a place for a download, and what `make` adds to the stack."""

    def reserved(studio: Studio) -> Sent:
        with ExitStack() as held:
            held.callback(studio.library.reserve_download())
            answer = make(studio, held)
            answer.held = held.pop_all()
            return answer

    return await studios.run(headers, reserved)
