"""Owns: the routes of the chat: both models made ready, and both replies as they are written."""

from collections.abc import AsyncIterator, Iterator
from functools import cached_property
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from studio.api import Studio
from studio.schema.report import ChatSettings
from studio.ui.doors import Doors, json_lines

MOST_TALKING, MOST_WARMING = 24, 2
"""Threads that may wait for the models at one time; the others wait without one, so that the page goes on."""


class Ask(BaseModel):
    """A prompt for both models, with what was said before."""

    messages: list[dict[str, str]] = Field(max_length=400)
    settings: ChatSettings = ChatSettings()


class Waiting:
    """Threads that are kept apart for what takes long."""

    @cached_property
    def talking(self) -> CapacityLimiter:
        """For replies."""
        return CapacityLimiter(MOST_TALKING)

    @cached_property
    def warming(self) -> CapacityLimiter:
        """For models to be loaded ahead."""
        return CapacityLimiter(MOST_WARMING)


def add(router: APIRouter, doors: Doors) -> None:
    """Add the routes."""
    waiting = Waiting()

    @router.post("/run/{run}/chat")
    async def chat(request: Request, run: str, ask: Ask) -> StreamingResponse:
        """Both replies as they are written: a line of JSON for each piece. Leaving ends them."""
        studio = doors.studio_of(request.headers)
        at_once = await to_thread.run_sync(studio.at_once, run)
        pieces = _labels(studio, run, ask) if at_once else _replies(studio, run, ask)
        lines = _sent(json_lines(pieces), waiting.talking)
        return StreamingResponse(lines, media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})

    @router.post("/run/{run}/warm")
    async def warm(request: Request, run: str) -> JSONResponse:
        """Load both models, since a person is about to ask."""
        studio = doors.studio_of(request.headers)
        await to_thread.run_sync(studio.warm_up, run, limiter=waiting.warming)
        return JSONResponse({"ready": True})


async def _sent(lines: Iterator[str], limiter: CapacityLimiter) -> AsyncIterator[str]:
    """The lines, each waited for in a thread; when the person leaves, the answer is ended."""
    try:
        while (line := await to_thread.run_sync(next, lines, "", limiter=limiter)) != "":
            yield line
    finally:
        lines.close()  # type: ignore[attr-defined]


def _replies(studio: Studio, run: str, ask: Ask) -> Iterator[dict[str, Any]]:
    for piece in studio.chat(run, ask.messages, ask.settings):
        yield piece.model_dump(exclude_none=True)


def _labels(studio: Studio, run: str, ask: Ask) -> Iterator[dict[str, Any]]:
    text = ask.messages[-1].get("content", "") if ask.messages else ""
    for who, answer in zip(("base", "tuned"), studio.classify(run, text), strict=True):
        yield {"who": who, "text": answer.text, "done": True, "answer": answer.model_dump()}
