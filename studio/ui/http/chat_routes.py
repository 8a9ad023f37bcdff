"""The routes of the chat: load both models, and stream both replies."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cached_property

from anyio import CapacityLimiter, create_task_group, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from studio.schema.errors import StudioError
from studio.schema.report import ChatSettings
from studio.services.model_host.replies import Replies
from studio.ui.http.error_routes import StudioFinder, error_body, unexpected_error_body

MOST_WARMING = 2
"""Threads that load models in advance. No thread waits for a reply."""


class Ask(BaseModel):
    """A prompt for both models, with the conversation so far."""

    messages: list[dict[str, str]] = Field(max_length=400)
    settings: ChatSettings = ChatSettings()


class Threads:
    """Separate threads for long work, so that other requests are not delayed."""

    @cached_property
    def warming(self) -> CapacityLimiter:
        """For loading models in advance."""
        return CapacityLimiter(MOST_WARMING)


class ReplyStream(StreamingResponse):
    """A line of JSON for each piece of both replies. A client that disconnects ends them at once."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        super().__init__(_lines(replies), media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines, and watch for the client to disconnect."""
        try:
            async with create_task_group() as group:

                async def watch() -> None:
                    await self.listen_for_disconnect(receive)
                    group.cancel_scope.cancel()

                group.start_soon(watch)
                with suppress(OSError):  # the client is gone
                    await self.stream_response(send)
                group.cancel_scope.cancel()
        finally:
            self._replies.close()


def add(router: APIRouter, studios: StudioFinder) -> None:
    """Add the routes."""
    threads = Threads()

    @router.post("/run/{run}/chat")
    async def chat(request: Request, run: str, ask: Ask) -> StreamingResponse:
        """Both replies as they are written."""
        replies = await studios.run(request.headers, lambda studio: studio.chat.ask(run, ask.messages, ask.settings))
        return ReplyStream(replies)

    @router.post("/run/{run}/warm")
    async def warm(request: Request, run: str) -> JSONResponse:
        """Load both models, because a prompt will probably follow."""
        studio = await studios.run(request.headers, lambda studio: studio)  # to open its database takes a moment
        try:
            await to_thread.run_sync(studio.chat.warm_up, run, limiter=threads.warming)
        except StudioError as error:
            if error.code != "limit-reached":
                raise
            return JSONResponse({"ready": False})
        return JSONResponse({"ready": True})


async def _lines(replies: Replies) -> AsyncIterator[str]:
    """Lines of JSON. An error is the last line, since the response has already begun."""
    try:
        async for piece in replies:
            yield json.dumps(piece.model_dump(exclude_none=True), ensure_ascii=False) + "\n"
    except StudioError as error:
        yield json.dumps(error_body(error)) + "\n"
    except Exception as error:
        yield json.dumps(unexpected_error_body(error)) + "\n"
