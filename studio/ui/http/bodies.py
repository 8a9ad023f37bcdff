"""Bodies of requests: read whole within a limit, and checked before anything else parses them."""

import json
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive

from studio.data.limits import depth_of
from studio.ui import languages

MOST_BODY = 4_000_000
"""Bytes. No action of a person is longer than this; files go through the upload route, which counts by itself."""
DEEPEST = 64
"""Levels of nested lists and objects. The page sends fewer than ten."""
TOO_LONG = "This request is longer than anything that the page sends."


class Refused(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: int, sentence: str, wait: float = 0) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.wait = status, sentence, wait

    def answer(self, language: str = "en") -> PlainTextResponse:
        """The response, in a language."""
        headers = {"Retry-After": str(max(1, round(self.wait)))} if self.wait else {}
        sentence = languages.translated(self.sentence, language)
        return PlainTextResponse(sentence, self.status, {"Cache-Control": "no-store", **headers})


class Disconnected(Exception):
    """The client left before its request was complete."""


async def read_body(receive: Receive, most: int = MOST_BODY) -> bytes:
    """The whole body.

    Raises:
        Refused: with status 413 when it is longer than `most`.
        Disconnected: when the client left.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        body += message.get("body", b"")
        if len(body) > most:
            raise Refused(413, TOO_LONG)
        if not message.get("more_body"):
            return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read before, and then what the connection gives."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving


def json_of(body: bytes) -> Any:
    """The value of a JSON body.

    Raises:
        Refused: with status 400 for a body that is no JSON in UTF-8, or too deeply nested.
    """
    try:
        value = json.loads(body.decode("utf-8"))
    except RecursionError as error:
        raise Refused(400, "This JSON is nested too deeply.") from error
    except ValueError as error:
        raise Refused(400, "This is not JSON in UTF-8.") from error
    if body.count(b"[") + body.count(b"{") > DEEPEST and depth_of(value) > DEEPEST:
        raise Refused(400, "This JSON is nested too deeply.")
    return value
