"""Errors of the API in OpenAI's format: {"error": {"message", "type", "param", "code"}}."""

from typing import Any

from starlette.responses import JSONResponse

BAD_REQUEST, SERVER = "invalid_request_error", "api_error"
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""Status → OpenAI's type of error, where it is neither a bad request nor an error of the server."""


class ApiError(Exception):
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        *,
        param: str | None = None,
        retry_after: float = 0,
    ) -> None:
        message = printable(message)
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param and printable(param)
        self.retry_after = retry_after

    def document(self) -> dict[str, Any]:
        """The body of the answer."""
        kind = TYPES.get(self.status, SERVER if self.status >= 500 else BAD_REQUEST)
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The answer."""
        headers = {"Cache-Control": "no-store"}
        if self.retry_after:
            headers["Retry-After"] = str(max(1, round(self.retry_after)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.document(), self.status, headers)


def printable(text: str) -> str:
    """Return a text that can be encoded: lone surrogates, which JSON can hold, become the replacement character."""
    return text.encode("utf-8", "replace").decode("utf-8") if any("\ud800" <= c <= "\udfff" for c in text) else text


def bad_value(param: str, message: str) -> ApiError:
    """The error for a parameter with a wrong value."""
    return ApiError(400, f"Invalid value for '{param}': {message}", "invalid_value", param=param)


def unavailable(message: str, retry_after: float) -> ApiError:
    """The error while an engine starts, or after it died."""
    return ApiError(503, message, "model_unavailable", retry_after=retry_after)
