"""Replies of an engine: its stream of events, as pieces of text that end at a stop sequence."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx2

from studio.schema.serving import Generation, ServedModel
from studio.serving.errors import ApiError, unavailable
from studio.serving.supervisor import EngineProcess


@dataclass
class Piece:
    """A part of a reply. The last one has the reason why it ended."""

    text: str = ""
    reasoning: str = ""
    """What a model with reasoning thinks. Only where the engine tells it apart."""
    finish: str | None = None

    def __add__(self, later: "Piece") -> "Piece":
        """This piece and the next one."""
        return Piece(self.text + later.text, self.reasoning + later.reasoning, later.finish or self.finish)

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.text or self.reasoning or self.finish)


@dataclass
class Reply:
    """One reply of an engine."""

    engine: EngineProcess
    model: ServedModel
    generation: Generation
    stop: Sequence[str] = ()
    prompt_tokens: int = 0
    """An estimate from the first event on, until the engine tells it. A stop sequence may end the reply before that."""
    completion_tokens: int = 0
    _pending: str = field(default="", repr=False)
    """Text that may be the beginning of a stop sequence."""

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The reply as it is written. Ending the iteration ends the work of the engine.

        Raises:
            ApiError: the engine has died, or refuses the request.
        """
        finish = "stop"
        async with aclosing(self._events()) as events:
            async for event in events:
                self.prompt_tokens = self.prompt_tokens or self.generation.prompt_tokens
                for choice in event.get("choices") or ():
                    delta = choice.get("delta") or {}
                    text = delta.get("content") or choice.get("text") or ""
                    reasoning = delta.get("reasoning_content") or ""
                    self.completion_tokens += bool(text or reasoning)
                    finish = choice.get("finish_reason") or finish
                    passed, ended = self._until_stop(text)
                    if passed or reasoning:
                        yield Piece(passed, reasoning)
                    if ended:
                        yield Piece(finish="stop")
                        return
                if usage := event.get("usage"):
                    self.prompt_tokens = int(usage.get("prompt_tokens") or self.prompt_tokens)
                    self.completion_tokens = int(usage.get("completion_tokens") or self.completion_tokens)
        yield Piece(self._pending, finish="length" if finish == "length" else "stop")

    def _until_stop(self, text: str) -> tuple[str, bool]:
        """The text that can be passed on, and whether a stop sequence came."""
        if not self.stop:
            return text, False
        text = self._pending + text
        places = [place for each in self.stop if (place := text.find(each)) >= 0]
        if places:
            self._pending = ""
            return text[: min(places)], True
        keep = max(_overlap(text, each) for each in self.stop)
        self._pending = text[len(text) - keep :]
        return text[: len(text) - keep], False

    async def _events(self) -> AsyncGenerator[dict[str, Any], None]:
        path = "/v1/chat/completions" if self.generation.chat else "/v1/completions"
        body = self.engine.engine.body(self.model, self.generation)
        client, url = self.engine.client, self.engine.url + path
        try:
            async with client.stream("POST", url, json=body, headers=self.engine.headers) as answer:
                if answer.status_code != 200:
                    raise self._refused(answer.status_code, await answer.aread())
                async for line in _lines(answer):
                    data = line.removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
                    if not data:
                        continue
                    if data == b"[DONE]":
                        return
                    event = json.loads(data)
                    if "error" in event:
                        raise ApiError(500, "The engine could not write this reply.", "engine_error")
                    yield event
        except httpx2.TransportError as error:
            raise gone() from error
        except ValueError as error:
            raise ApiError(500, "The engine could not write this reply.", "engine_error") from error

    def _refused(self, status: int, content: bytes) -> ApiError:
        """What the engine refuses. Its words are not passed on, because they may have paths of this machine."""
        if status == 400 and b"context length" in content:
            context = self.engine.engine.context(self.model)
            return ApiError(
                400,
                f"This model's maximum context length is {context:,} tokens, for the prompt and max_tokens together. "
                "Shorten the prompt, or lower max_tokens.",
                "context_length_exceeded",
                param="messages" if self.generation.chat else "prompt",
            )
        if status == 400:
            return ApiError(
                400,
                "The model's chat template does not accept this conversation. Most models need messages of user and "
                "assistant in turns.",
                "invalid_value",
                param="messages" if self.generation.chat else "prompt",
            )
        return _failed(status)


async def _lines(answer: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The lines of a stream. httpx2's own lines also end at U+2028 and others, which can be in the middle of a text."""
    begun = b""
    async for chunk in answer.aiter_bytes():
        *lines, begun = (begun + chunk).split(b"\n")
        for line in lines:
            yield line
    yield begun


async def ask_labels(engine: EngineProcess, texts: Sequence[str]) -> dict[str, Any]:
    """The labels of texts, from the studio's own engine.

    Raises:
        ApiError: the engine has died.
    """
    try:
        answer = await engine.client.post(
            f"{engine.url}/v1/classify", json={"input": list(texts)}, headers=engine.headers
        )
    except httpx2.TransportError as error:
        raise gone() from error
    if answer.status_code != 200:
        raise _failed(answer.status_code)
    labels: dict[str, Any] = answer.json()
    return labels


def gone() -> ApiError:
    """The error for a request whose engine died."""
    return unavailable("The engine of this model has stopped. It is being restarted. Try again in a moment.", 10)


def _failed(status: int) -> ApiError:
    """The error for a status of an engine."""
    return gone() if status == 503 else ApiError(500, "The engine could not answer this request.", "engine_error")


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of a text are the beginning of a stop sequence."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
