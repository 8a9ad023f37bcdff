"""The replies of both models as they come from the model host: texts in pieces, or labels."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal

from studio.schema.host_responses import Chunk, Done
from studio.schema.report import Answer
from studio.schema.views import ChatChunk
from studio.services.model_host.exchange import Exchange, HostResponse

WHO: tuple[Literal["base", "tuned"], ...] = ("base", "tuned")


class Replies(Iterator[ChatChunk]):
    """The replies of both models as they come. Iterate it in a thread or in an event loop.

    `close`, from any thread, cancels them. So does garbage collection.
    """

    def __init__(self, exchange: Exchange, pieces: Callable[[HostResponse], list[ChatChunk]]) -> None:
        self._exchange, self._pieces = exchange, pieces
        self._ready: deque[ChatChunk] = deque()

    def __next__(self) -> ChatChunk:
        while not self._ready:
            self._ready.extend(self._pieces(next(self._exchange)))
        return self._ready.popleft()

    def __aiter__(self) -> "Replies":
        return self

    async def __anext__(self) -> ChatChunk:
        while not self._ready:
            self._ready.extend(self._pieces(await anext(self._exchange)))
        return self._ready.popleft()

    def close(self) -> None:
        """Cancel the replies, unless they have ended."""
        self._exchange.close()


def reply_chunks(response: HostResponse, note: str) -> list[ChatChunk]:
    """A piece of a reply. `note` is added to its `how`."""
    if not isinstance(response, Chunk):
        return []
    answer = response.answer
    if answer and note:
        answer = answer.model_copy(update={"how": " ".join(filter(None, (answer.how, note)))})
    return [ChatChunk(who=response.who, text=response.text, done=response.done, answer=answer)]


def label_chunks(response: HostResponse) -> list[ChatChunk]:
    """The labels of both models."""
    if not isinstance(response, Done):
        return []
    answers = ((who, Answer.model_validate(response.result[who])) for who in WHO)
    return [ChatChunk(who=who, text=answer.text, done=True, answer=answer) for who, answer in answers]
