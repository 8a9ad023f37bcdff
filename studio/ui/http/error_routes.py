"""Errors of routes as plain sentences without tracebacks, and the interface that finds a visitor's Studio."""

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
    """Finds the Studio of a visitor by the headers of a request. `Sessions` of session.py implements it."""

    def studio_of(self, headers: Headers) -> Studio:
        """The visitor's Studio.

        Raises:
            StudioError `not-allowed`: when the secret is unknown.
        """
        ...

    async def run(self, headers: Headers, function: Callable[[Studio], T]) -> T:
        """The result of a function of the visitor's Studio. It is called in a thread, when it is the visitor's turn."""
        ...


class PlainErrors(APIRoute):
    """A route that returns errors as plain sentences. Unexpected errors are logged with an id."""

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
    """The error for an invalid field of a request."""
    first = error.errors()[0]
    name = str(first["loc"][-1])
    return StudioError("bad-setting", f"The setting {name} can't have this value.", valid=first["msg"], field=name)


def error_body(error: StudioError) -> dict[str, Any]:
    """An error as JSON for the page's scripts."""
    return {"error": {"code": error.code, "message": error.message}}


def unexpected_error_body(error: Exception) -> dict[str, Any]:
    """Log an unexpected error. Returns a sentence with its id, as JSON for the page's scripts."""
    sentence = f"Something went wrong. The server's log has the cause under {report(error, 'in a route')}."
    return {"error": {"code": "", "message": sentence}}
