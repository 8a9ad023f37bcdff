"""Answers in OpenAI's formats: whole, as a stream of events, and labels."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any

from studio.schema.serving import Generation, ServeLimits
from studio.serving.bodies import Sampling
from studio.serving.errors import ApiError, unavailable
from studio.serving.models import Served
from studio.serving.replies import Piece, Reply, ask_labels
from studio.serving.supervisor import EngineProcess


@dataclass
class Answer:
    """The answer to one request: a reply to each prompt and choice."""

    served: Served
    generations: Sequence[Generation]
    """One for each choice."""
    sampling: Sampling
    limits: ServeLimits
    began: float = field(default_factory=time.monotonic)
    replies: list[Reply] = field(init=False)
    """One for each choice."""
    first_text_seconds: float | None = None
    """Seconds until the first text of the first reply. None: there is none yet."""
    status: int = 200
    """The status of HTTP. In a stream, an error can come after the status was sent."""

    def __post_init__(self) -> None:
        self.id = ("chatcmpl-" if self.chat else "cmpl-") + secrets.token_hex(12)
        self.created = int(time.time())
        self.replies = [self._reply(place, each) for place, each in enumerate(self.generations)]

    @property
    def chat(self) -> bool:
        """Whether it answers a conversation."""
        return self.generations[0].chat

    def _reply(self, place: int, generation: Generation) -> Reply:
        if self.sampling.n > 1 and generation.seed is not None:
            generation = generation.model_copy(update={"seed": (generation.seed + place) % 2**31})
        return Reply(self.served.engine, self.served.model, generation, self.sampling.stop)

    async def pieces(self) -> AsyncGenerator[tuple[int, Piece], None]:
        """All replies as they are written: pieces with the places of their choices. Engines that can, batch them.

        An engine does not wait for a client that does not read: meanwhile, the pieces of a choice become one. Ending
        the iteration ends the work on all choices.

        Raises:
            ApiError: no turn, no engine, or no time.
        """
        unread, changed = [Piece() for _ in self.replies], asyncio.Event()

        async def write(place: int) -> None:
            async with aclosing(self._pieces_of(self.replies[place])) as pieces:
                async for piece in pieces:
                    unread[place] += piece
                    changed.set()

        tasks = [asyncio.create_task(write(place)) for place in range(len(self.replies))]
        for task in tasks:
            task.add_done_callback(lambda _: changed.set())
        try:
            while any(unread) or not all(task.done() for task in tasks):
                await changed.wait()
                changed.clear()
                for place in range(len(unread)):
                    piece, unread[place] = unread[place], Piece()
                    if piece:
                        yield place, piece
                for task in tasks:
                    if task.done():
                        task.result()  # raises its error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pieces_of(self, reply: Reply) -> AsyncGenerator[Piece, None]:
        """One reply as it is written, in its turn and within the time of the request."""
        async with AsyncExitStack() as stack:
            await _within(stack.enter_async_context(self.served.turns.turn()), self.began, self.limits)
            require_ready(self.served)
            pieces = await stack.enter_async_context(aclosing(reply.pieces()))
            while True:
                try:
                    piece = await _within(anext(pieces), self.began, self.limits, self.served.engine)
                except StopAsyncIteration:
                    return
                if self.first_text_seconds is None and (piece.text or piece.reasoning):
                    self.first_text_seconds = time.monotonic() - self.began
                yield piece

    async def whole(self) -> dict[str, Any]:
        """The answer as one document."""
        replies = [Piece() for _ in self.replies]
        async with aclosing(self.pieces()) as pieces:
            async for place, piece in pieces:
                replies[place] += piece
        choices = [self._whole_choice(place, reply) for place, reply in enumerate(replies)]
        head = self._head("chat.completion" if self.chat else "text_completion")
        return {**head, "choices": choices, "usage": self.usage()}

    def _whole_choice(self, place: int, reply: Piece) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": place, "finish_reason": reply.finish, "logprobs": None}
        if not self.chat:
            return choice | {"text": reply.text}
        message = {"role": "assistant", "content": reply.text, "refusal": None}
        return choice | {"message": message | ({"reasoning_content": reply.reasoning} if reply.reasoning else {})}

    async def events(self) -> AsyncGenerator[str, None]:
        """The answer as events. An error after the first one is an event, too."""
        try:
            if self.chat:
                for place in range(len(self.replies)):
                    yield self._event([self._choice(place, {"role": "assistant", "content": ""})])
            async with aclosing(self.pieces()) as pieces:
                async for place, piece in pieces:
                    for name, text in (("reasoning_content", piece.reasoning), ("content", piece.text)):
                        if text:
                            yield self._event([self._choice(place, {name: text})])
                    if piece.finish:
                        yield self._event([self._choice(place, {}, piece.finish)])
            if self.sampling.include_usage:
                yield self._event([], self.usage())
            yield "data: [DONE]\n\n"
        except ApiError as error:
            self.status = error.status
            yield f"data: {json.dumps(error.document())}\n\n"

    def usage(self) -> dict[str, int]:
        """The tokens of all choices. The prompt of `n` choices counts once."""
        prompt = sum(each.prompt_tokens for each in self.replies[:: self.sampling.n])
        completion = sum(each.completion_tokens for each in self.replies)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.served.model.name}

    def _choice(self, place: int, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        content = {"delta": delta} if self.chat else {"text": delta.get("content", "")}
        return {"index": place, **content, "logprobs": None, "finish_reason": finish}

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> str:
        document = self._head("chat.completion.chunk" if self.chat else "text_completion") | {"choices": choices}
        if self.sampling.include_usage:
            document["usage"] = usage
        return f"data: {json.dumps(document, ensure_ascii=False)}\n\n"


def require_ready(served: Served) -> None:
    """Raise `ApiError` 503 while the engine of a model can't answer."""
    state = served.engine.state
    if state in ("starting", "restarting"):
        raise unavailable("The engine of this model is starting. Try again in a moment.", 5)
    if state != "ready":
        raise unavailable("The engine of this model has stopped, and could not be restarted.", 60)


async def _within(awaited: Any, began: float, limits: ServeLimits, engine: EngineProcess | None = None) -> Any:
    """Await something within the time of a request. An `engine` that must answer also has a time of its own.

    Raises:
        ApiError: 503 after the time. An engine that did not answer within its own time is restarted.
    """
    left = began + limits.request_seconds - time.monotonic()
    silent = float("inf") if engine is None else limits.silent_seconds
    try:
        return await asyncio.wait_for(awaited, max(0.001, min(left, silent)))
    except TimeoutError:
        if engine is None or left <= silent:
            message = f"This request took longer than {limits.request_seconds:g} seconds. Try again later."
            raise ApiError(503, message, "timeout", retry_after=30) from None
        engine.kill()
        raise unavailable("The engine did not answer in time, and is being restarted.", 10) from None


async def labels(served: Served, texts: Sequence[str], limits: ServeLimits) -> dict[str, Any]:
    """The labels of texts with their probabilities, the likeliest first. As vLLM has them, and by name."""
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        await _within(stack.enter_async_context(served.turns.turn()), began, limits)
        require_ready(served)
        classified = await _within(ask_labels(served.engine, texts), began, limits, served.engine)
    names, problem = classified["labels"], classified["problem"]
    rows = []
    for place, (output, predicted) in enumerate(zip(classified["outputs"], classified["predicted"], strict=True)):
        if problem == "regression":
            rows.append({"index": place, "label": predicted, "score": output[0], "probs": [], "num_classes": 1})
            continue
        ranked = sorted(zip(names, output, strict=True), key=lambda pair: -pair[1])
        scores = [{"label": label, "probability": round(share, 6)} for label, share in ranked]
        row = {"index": place, "label": predicted, "labels": scores, "probs": output, "num_classes": len(names)}
        rows.append(row if problem else row | {"confidence": max(output)})
    head = {"id": f"classify-{secrets.token_hex(12)}", "object": "list", "created": int(time.time())}
    return {**head, "model": served.model.name, "label_names": names, "data": rows}
