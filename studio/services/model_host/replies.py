"""Both answers to a conversation as they come from the model host: replies in pieces, or labels."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal

from studio.schema.host import Chunk, Done
from studio.schema.report import Answer
from studio.schema.views import ChatChunk
from studio.services.model_host.exchange import Answered, Exchange

WHO: tuple[Literal["base", "tuned"], ...] = ("base", "tuned")


class Replies(Iterator[ChatChunk]):
    """Both answers to a conversation as they come. Iterate it in a thread or, without one, in an event loop.

    `close`, from any thread, ends them. So does forgetting it.
    """

    def __init__(self, exchange: Exchange, pieces: Callable[[Answered], list[ChatChunk]]) -> None:
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
        """End the replies, unless they have ended."""
        self._exchange.close()


def written(said: Answered, note: str) -> list[ChatChunk]:
    """A piece of a reply; `note` is added to what is said of how it was answered."""
    if not isinstance(said, Chunk):
        return []
    answer = said.answer
    if answer and note:
        answer = answer.model_copy(update={"how": " ".join(filter(None, (answer.how, note)))})
    return [ChatChunk(who=said.who, text=said.text, done=said.done, answer=answer)]


def labels_of(said: Answered) -> list[ChatChunk]:
    """Both models' labels."""
    if not isinstance(said, Done):
        return []
    answers = ((who, Answer.model_validate(said.result[who])) for who in WHO)
    return [ChatChunk(who=who, text=answer.text, done=True, answer=answer) for who, answer in answers]
