"""Owns: how a route finds out who asks, and how it refuses: in one plain sentence, never with a traceback."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.ui.logs import report

_STATUS = {"not-allowed": 403, "no-such-run": 404, "too-large": 413, "limit-reached": 429}
T = TypeVar("T")


class StudioFinder(Protocol):
    """Who knows the workspaces: `sessions` of session.py."""

    def studio_of(self, headers: Headers) -> Studio:
        """The visitor's studio; StudioError `not-allowed` when the secret is unknown."""
        ...

    async def run(self, headers: Headers, function: Callable[[Studio], T]) -> T:
        """What a function returns of the visitor's studio, in a thread, when it is the visitor's turn."""
        ...


class PlainErrors(APIRoute):
    """A route that answers a refusal in plain words, and anything unforeseen with a number for the log."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Wrap the route's own handler."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handle(request)
            except StudioError as error:
                return JSONResponse(error_body(error), _STATUS.get(error.code, 400))
            except RequestValidationError as error:
                return JSONResponse(error_body(_invalid_field(error)), 422)
            except (HTTPException, ClientDisconnect):
                raise
            except Exception as error:
                return JSONResponse(unexpected_error_body(error), 500)

        return guarded


def _invalid_field(error: RequestValidationError) -> StudioError:
    """What was sent and does not fit, by the name of its field."""
    first = error.errors()[0]
    name = str(first["loc"][-1])
    return StudioError("bad-setting", f"The setting {name} can't have this value.", valid=first["msg"], field=name)


def error_body(error: StudioError) -> dict[str, Any]:
    """An error as the page's scripts read it."""
    return {"error": {"code": error.code, "message": error.message}}


def unexpected_error_body(error: Exception) -> dict[str, Any]:
    """Write an unexpected error to the log; a plain sentence with its id."""
    sentence = f"Something went wrong here. The server's log has the cause under {report(error, 'in a route')}."
    return {"error": {"code": "", "message": sentence}}
