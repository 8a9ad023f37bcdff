"""The page below a path of its host, such as https://example.org/tuning/."""

import re

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.schema.errors import StudioError

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def root_path(given: str) -> str:
    """The path without a slash at its end. Empty for the root of the host.

    Raises:
        StudioError `bad-setting`: if it is not a path.
    """
    path = given.rstrip("/")
    if path and (not _PATH.fullmatch(path) or "/.." in path or "/./" in f"{path}/"):
        raise StudioError(
            "bad-setting",
            "This is not a path below which the studio can be served.",
            given=given,
            valid="a slash, then letters, digits, dots and dashes, such as /tuning",
            hint="Correct --root-path.",
        )
    return path


class SubPath:
    """Removes the path before the page's own addresses. A proxy may remove it too: then nothing is left to do."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self.app, self.path = app, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as if the page were at the root of its host."""
        if self.path and scope["type"] == "http":
            if scope["path"] == self.path and scope["method"] in ("GET", "HEAD"):
                query = scope.get("query_string", b"").decode("latin-1")
                await RedirectResponse(f"{self.path}/{'?' if query else ''}{query}", 307)(scope, receive, send)
                return
            if scope["path"].startswith(f"{self.path}/"):
                raw = scope.get("raw_path") or scope["path"].encode()
                scope = {**scope, "path": scope["path"][len(self.path) :], "raw_path": raw[len(self.path) :]}
        await self.app(scope, receive, send)
