"""Owns: the route of key presses. Each is one request with one answer, so that the next row is there at once."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from studio.ui.error_routes import PlainErrors
from studio.ui.shell import Shell


class Pressed(BaseModel):
    """What a key does: the button that it presses, and where that stands."""

    page: str = Field(min_length=1, max_length=64, pattern=r"^[\w-]+$")
    """How Gradio names the open page."""
    region: str = Field(max_length=64)
    said: dict[str, Any] = Field(max_length=20)
    """What the button says, as for a click on it."""


def routes(shell: Shell) -> APIRouter:
    """The one address."""
    router = APIRouter(prefix="/studio", route_class=PlainErrors)

    @router.post("/press")
    async def press(request: Request, pressed: Pressed) -> JSONResponse:
        """The regions that changed, by their ids."""
        return JSONResponse(await shell.press(request.headers, pressed.page, pressed.region, pressed.said))

    return router
