"""Answers with rows: while they are sent, they take a place of their workspace, whose number is limited in a demo."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi.responses import FileResponse, StreamingResponse
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from studio.api import Studio
from studio.ui.error_routes import StudioFinder

NO_STORE = {"Cache-Control": "no-store"}


class SentRows(StreamingResponse):
    """Lines that are sent as they are read."""

    def __init__(self, lines: Iterator[str], kind: str, give_back: Callable[[], None]) -> None:
        media = "text/csv; charset=utf-8" if kind == "csv" else "application/jsonl"
        super().__init__(lines, media_type=media, headers=NO_STORE)
        self._give_back = give_back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them, and free the place, also when the client has left."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._give_back()


class SentFile(FileResponse):
    """A file that is deleted when it was sent."""

    def __init__(self, path: Path, give_back: Callable[[], None]) -> None:
        super().__init__(path, headers=NO_STORE)
        self._give_back = give_back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, delete it and free the place, also when the client has left."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._give_back()


async def rows(studios: StudioFinder, headers: Headers, kind: str, read: Callable[[Studio], Iterator[str]]) -> SentRows:
    """The answer with the lines that `read` yields."""

    def reserved(studio: Studio) -> SentRows:
        give_back = studio.library.reserve_download()
        try:
            return SentRows(read(studio), kind, give_back)
        except BaseException:
            give_back()
            raise

    return await studios.run(headers, reserved)


async def file(studios: StudioFinder, headers: Headers, write: Callable[[Studio, Path], Path]) -> SentFile:
    """The answer with the file that `write` makes in a folder, which is deleted afterwards."""

    def reserved(studio: Studio) -> SentFile:
        free = studio.library.reserve_download()
        folder = TemporaryDirectory()

        def give_back() -> None:
            folder.cleanup()
            free()

        try:
            return SentFile(write(studio, Path(folder.name)), give_back)
        except BaseException:
            give_back()
            raise

    return await studios.run(headers, reserved)
