"""Files on their way in: streamed to a folder of the visitor's own, known by a random ticket, taken once.

A handler names the ticket, never a path; so no act of a page can reach a file that was not just sent by it.
"""

import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from studio.schema.errors import StudioError
from studio.services.bringing import DEMO_BYTES
from studio.ui.session import Sessions

LARGEST = 2_000_000_000
OLD = 6 * 3600
_TICKET = re.compile(r"[0-9a-f]{32}")


class Uploads:
    """A folder a visitor, a folder a file."""

    def __init__(self, root: Path, demo: bool) -> None:
        self.root = root
        self.largest = DEMO_BYTES if demo else LARGEST

    async def keep(self, workspace: str, name: str, chunks: AsyncIterator[bytes]) -> str:
        """Write a file as it comes; its ticket."""
        ticket = secrets.token_hex(16)
        folder = self.root / workspace / ticket
        folder.mkdir(parents=True, mode=0o700)
        try:
            with (folder / plain_name(name)).open("xb") as file:
                await self._write(chunks, file)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise StudioError(
                "disk-full", "There is no room on the disk for this file.", hint=str(error.strerror or "")
            ) from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return ticket

    async def _write(self, chunks: AsyncIterator[bytes], file: IO[bytes]) -> None:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > self.largest:
                raise StudioError(
                    "too-large",
                    "The file is larger than the studio takes here.",
                    valid=f"at most {self.largest // 10**6:,} MB",
                )
            await run_in_threadpool(file.write, chunk)

    def take(self, workspace: str, ticket: str) -> Path:
        """The file of a ticket of this visitor."""
        folder = self.root / workspace / ticket
        found = sorted(folder.iterdir()) if _TICKET.fullmatch(ticket) and folder.is_dir() else []
        if not found:
            raise StudioError("not-allowed", "This file did not arrive.", hint="Choose it again.")
        return found[0]

    def forget(self, path: Path) -> None:
        """Remove a file that was taken."""
        shutil.rmtree(path.parent, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what nobody took."""
        for folder in self.root.glob("*/*"):
            if folder.stat().st_mtime < time.time() - OLD:
                shutil.rmtree(folder, ignore_errors=True)


def plain_name(name: str) -> str:
    """The last part of a file's name, without anything that a file system minds."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*').strip(". ")
    stem, dot, suffix = kept.rpartition(".")
    return f"{stem[:100]}{dot}{suffix[:12]}" if dot else kept[:100] or "file"


def routes(sessions: Sessions, uploads: Uploads) -> APIRouter:
    """The address to which the drop zone sends."""
    router = APIRouter()

    @router.put("/studio/upload")
    async def upload(request: Request) -> JSONResponse:
        try:
            workspace = sessions.workspace_of(request.headers)
            name = unquote(request.headers.get("x-file-name", "file"))
            ticket = await uploads.keep(workspace, name, request.stream())
        except StudioError as error:
            return JSONResponse(
                {"error": {"code": error.code, "message": error.message}}, 413 if error.code == "too-large" else 400
            )
        return JSONResponse({"ticket": ticket})

    @router.post("/studio/workspace")
    def workspace(request: Request) -> JSONResponse:
        return JSONResponse({"secret": sessions.new_secret(request.headers) if sessions.demo else ""})

    return router
