"""Greedy replies to a batch of prompts that are written in parts, with other work of the model between them."""

from collections.abc import Callable, Sequence
from typing import Any

from studio.inference.generate import BegunReplies, decode_reply, end_tokens, generate_ids
from studio.schema.report import ChatSettings


class PartialReplies:
    """Replies in progress. Each `advance` continues them from the tokens that are written. It holds no cache of the
    model, so the weights may change meanwhile if they are the same in every `advance`."""

    def __init__(self, model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], settings: ChatSettings) -> None:
        self._model, self._tokenizer, self._prompts, self._settings = model, tokenizer, prompts, settings
        self._ends = end_tokens(model, tokenizer)
        self._ids: list[list[int]] = [[] for _ in prompts]
        self._unfinished = list(range(len(prompts)))

    @property
    def finished(self) -> int:
        """The number of finished replies."""
        return len(self._prompts) - len(self._unfinished)

    @property
    def texts(self) -> list[str]:
        """The replies so far."""
        return [decode_reply(self._tokenizer, ids) for ids in self._ids]

    def advance(self, after_token: Callable[[int, int], bool]) -> bool:
        """Continue until all are finished, or until `after_token` returns True. Returns whether all are finished.

        `after_token` gets the number of tokens of each reply so far, and the number of finished replies.
        """
        if self._unfinished:
            before = self.finished
            places = self._unfinished
            more = generate_ids(
                self._model,
                self._tokenizer,
                BegunReplies([self._prompts[place] for place in places], [self._ids[place] for place in places]),
                self._settings,
                lambda tokens, finished: after_token(tokens, before + finished),
            )
            for place, ids in zip(places, more, strict=True):
                end = next((at for at, token in enumerate(ids) if token in self._ends), None)
                self._ids[place] += ids if end is None else ids[: end + 1]
                if end is not None or len(self._ids[place]) >= self._settings.max_new_tokens:
                    self._unfinished = [each for each in self._unfinished if each != place]
        return not self._unfinished
