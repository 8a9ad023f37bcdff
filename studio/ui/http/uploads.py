"""Uploads: files are streamed to a folder of the visitor, named by a random ticket, and used once.

A handler names the ticket, never a path. So a page can only use a file that it has just sent.
"""

import re
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from studio.machine.disk import FULL
from studio.schema.errors import StudioError
from studio.schema.limits import MB, OWNER, Limits
from studio.store.files import folder_size
from studio.store.home import ALONE
from studio.ui.http.error_routes import PlainErrors
from studio.ui.http.proxies import OWN_WORKSPACE, USER
from studio.ui.visitors.session import PROJECT, Sessions

LARGEST = 2_000_000_000
OLD = 6 * 3600
SWEPT_EVERY = 3600
LONGEST_NAME = 180
"""Bytes of a file's name; file systems take 255, ending and all."""
_TICKET = re.compile(r"[0-9a-f]{32}")


class Uploads:
    """A folder a visitor, a folder a file."""

    def __init__(self, root: Path, limits: Limits = OWNER) -> None:
        self.root, self.limits = root, limits
        root.parent.mkdir(parents=True, exist_ok=True)
        if root.exists():
            root.chmod(0o700)  # an older version let every user of the machine list it
        self._swept = time.monotonic()
        self._reserving = threading.Lock()

    async def keep(self, workspace: str, name: str, chunks: AsyncIterator[bytes]) -> str:
        """Write a file as it comes; its ticket."""
        if time.monotonic() - self._swept > SWEPT_EVERY:
            await run_in_threadpool(self.sweep)
        ticket = secrets.token_hex(16)
        folder = self.root / workspace / ticket
        await run_in_threadpool(self._reserve, workspace, folder)
        largest = self._limits_of(workspace).upload_mb * MB or LARGEST
        try:
            with (folder / plain_name(name)).open("xb") as file:
                await self._write(chunks, file, largest)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise not_kept(error, self.root) from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return ticket

    def _reserve(self, workspace: str, folder: Path) -> None:
        """Make the folder of a file, which counts from now on, or refuse it."""
        try:
            with self._reserving:  # of many that come at once, each counts
                self._require_room(workspace)
                for place in (self.root, self.root / workspace, folder):
                    place.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise not_kept(error, self.root) from error

    def _limits_of(self, workspace: str) -> Limits:
        """The limits of a visitor. In a demo, the people of the team share the workspace of the owner, without any."""
        return OWNER if workspace == ALONE else self.limits

    def _require_room(self, workspace: str) -> None:
        """Refuse one more file of a visitor who has many waiting, or when there is no disk space for more."""
        wait = "Import some of them first. Files that are not imported are deleted after six hours."
        limits = self._limits_of(workspace)
        most = limits.waiting_uploads
        if most and len(list((self.root / workspace).glob("*"))) >= most:
            raise StudioError(
                "limit-reached",
                "Too many of your uploaded files are not imported yet.",
                valid=f"at most {most} at a time",
                hint=wait,
            )
        if limits.over("workspace_mb", folder_size(self.root / workspace) / MB):
            raise StudioError(
                "limit-reached",
                "Your uploaded files that are not imported yet use all of your disk space.",
                valid=f"at most {limits.workspace_mb} MB",
                hint=wait,
            )
        if limits.over("total_mb", folder_size(self.root) / MB):
            raise StudioError(
                "limit-reached",
                "The uploads of this demo's visitors have used all of its disk space.",
                valid=f"at most {limits.total_mb} MB",
                hint="Try again later.",
            )

    async def _write(self, chunks: AsyncIterator[bytes], file: IO[bytes], largest: int) -> None:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > largest:
                raise StudioError(
                    "too-large",
                    "The file is too large.",
                    valid=f"at most {largest // 10**6:,} MB",
                )
            await run_in_threadpool(file.write, chunk)

    def take(self, workspace: str, ticket: str) -> Path:
        """The file of a ticket of this visitor."""
        folder = self.root / workspace / ticket
        files = sorted(folder.iterdir()) if _TICKET.fullmatch(ticket) and folder.is_dir() else []
        if not files:
            raise StudioError("not-allowed", "The file was not received.", hint="Choose the file again.")
        return files[0]

    def forget(self, path: Path) -> None:
        """Remove a file that was taken."""
        shutil.rmtree(path.parent, ignore_errors=True)

    def sweep(self) -> None:
        """Remove files that were not used. A file that is still being sent stays."""
        self._swept = time.monotonic()
        for folder in self.root.glob("*/*"):
            with suppress(OSError):  # taken in this moment
                if max(each.stat().st_mtime for each in (folder, *folder.iterdir())) < time.time() - OLD:
                    shutil.rmtree(folder, ignore_errors=True)


def not_kept(error: OSError, root: Path) -> StudioError:
    """The plain sentence for a file that could not be written."""
    if error.errno in FULL:
        free = shutil.disk_usage(next(each for each in (root, *root.parents) if each.exists())).free
        return StudioError(
            "disk-full",
            "The disk has too little free space for this file.",
            given=f"{free // 10**6:,} MB are free",
            hint="Free some space (the Runs tab has Storage), then choose the file again.",
        )
    return StudioError(
        "not-allowed",
        "The studio could not save this file.",
        given=error.strerror,
        hint="Ask the owner of this machine to check that the studio can write to its data folder.",
    )


def plain_name(name: str) -> str:
    """The last part of a file's name, without anything that a file system minds, and no longer than it takes."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*').strip(". ")
    stem, dot, suffix = kept.rpartition(".")
    return f"{_cut(stem)}{dot}{suffix[:12]}" if dot else _cut(kept) or "file"


def _cut(text: str) -> str:
    """Its first characters, of which a file system counts the bytes."""
    return text.encode()[:LONGEST_NAME].decode(errors="ignore")


def routes(sessions: Sessions, uploads: Uploads) -> APIRouter:
    """The address to which the drop zone sends."""
    router = APIRouter(route_class=PlainErrors)

    @router.put("/studio/upload")
    async def upload(request: Request) -> JSONResponse:
        visitor = sessions.visitor_of(request.headers)
        await run_in_threadpool(sessions.admit, visitor)
        name = unquote(request.headers.get("x-file-name", "file"))
        return JSONResponse({"ticket": await uploads.keep(visitor.workspace, name, request.stream())})

    @router.post("/studio/workspace")
    def workspace(request: Request, run: str = "") -> JSONResponse:
        """The secret of a demo's visitor, else the project that the page opens. `run`: the one in its address.

        `account`: the name of a person who is signed in to a demo. `team`: whether that person has a role in it.
        """
        secret = sessions.new_secret(request.headers) if sessions.demo else ""
        project = sessions.project_to_open(request.headers.get(PROJECT, ""), run)
        signed_in = bool(request.headers.get(OWN_WORKSPACE))
        account = request.headers.get(USER, "") if signed_in else ""
        return JSONResponse({"secret": secret, "project": project, "account": account, "team": secret == ALONE})

    return router
