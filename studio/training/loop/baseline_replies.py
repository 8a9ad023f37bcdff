"""The base model's answers to the test prompts: replies of a generative model, labels of similar rows for a classifier.

They can be written in slices (baseline.py).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from studio.inference.base_and_tuned import backbone_of
from studio.inference.batches import by_length, mean_states, padded
from studio.inference.classify import neighbor_means
from studio.inference.heads import Head
from studio.inference.partial_replies import PartialReplies
from studio.schema.events import ReplyEvent
from studio.schema.report import ChatSettings
from studio.tasks import Encoding, Example
from studio.training.loop.baseline_cache import BaselineCache
from studio.training.loop.callbacks import PROGRESS_SECONDS, Emit
from studio.training.loop.sample_replies import MAX_TOKENS_DURING, label_text

NEIGHBOR_NOTE = "nearest neighbors from your labels"
NOT_EXTRACTIVE = "The base model is not trained to extract answers."
BATCH_TOKENS, BATCH_ROWS = 512, 8
"""Maximum size of a batch of rows that are compared with a prompt."""

HasTime = Callable[[float], bool]


class Answers(Protocol):
    """Answers in progress."""

    def advance(self, has_time: HasTime, report: Callable[[int, int], None]) -> bool:
        """Continue while there is time. Returns whether all are finished. `report` gets the number of finished answers,
        and of the tokens of each so far."""

    @property
    def texts(self) -> list[str]:
        """The answers."""


class GeneratedAnswers:
    """Replies of a generative model, at temperature 0."""

    def __init__(self, model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]]) -> None:
        settings = ChatSettings(temperature=0.0, max_new_tokens=MAX_TOKENS_DURING)
        self._replies = PartialReplies(model, tokenizer, prompts, settings)
        self._start_seconds = 0.0
        """Seconds until the first token of a part, which reads the prompts again."""

    @property
    def texts(self) -> list[str]:
        """The replies so far."""
        return self._replies.texts

    def advance(self, has_time: HasTime, report: Callable[[int, int], None]) -> bool:
        """Write tokens while there is time."""
        if not has_time(self._start_seconds):
            return False
        last, is_first = time.monotonic(), True
        if not self._start_seconds:
            report(0, 0)

        def after_token(tokens: int, finished: int) -> bool:
            nonlocal last, is_first
            seconds, last = time.monotonic() - last, time.monotonic()
            if is_first:
                self._start_seconds, is_first = seconds, False
            report(finished, tokens)
            return not has_time(seconds)

        return self._replies.advance(after_token)


class NeighborAnswers:
    """Labels of the most similar training rows, because the base model of a classifier has no trained head."""

    def __init__(
        self, model: Any, encoding: Encoding, head: Head, prompts: list[list[int]], sample: Sequence[Example]
    ) -> None:
        used = set(map(tuple, prompts))
        self._examples = [each for each in sample if tuple(each.input_ids) not in used] or list(sample)
        self._model, self._encoding, self._head, self._prompts = model, encoding, head, prompts
        self._rows = [*prompts, *(each.input_ids for each in self._examples)]
        self._vectors: dict[int, Any] = {}
        self._left = by_length([len(row) for row in self._rows], BATCH_TOKENS, BATCH_ROWS)
        self._seconds = 0.0

    def advance(self, has_time: HasTime, report: Callable[[int, int], None]) -> bool:
        """Embed batches while there is time."""
        import torch

        report(0, 0)
        backbone = backbone_of(self._model)
        while self._left:
            if not has_time(self._seconds):
                return False
            started, batch = time.monotonic(), self._left.pop(0)
            rows = [self._rows[place] for place in batch]
            with torch.no_grad():
                states = mean_states(backbone, padded(rows, self._encoding.tokenizer.pad_token_id, self._model.device))
            self._vectors.update(zip(batch, states.cpu(), strict=True))
            self._seconds = time.monotonic() - started
        return True

    @property
    def texts(self) -> list[str]:
        """The likely labels of each prompt, with the note where they come from."""
        import numpy as np
        import torch

        vectors = torch.stack([self._vectors[place] for place in range(len(self._rows))]).numpy()
        labels = np.array([example.labels for example in self._examples], dtype=float)
        if not self._head.problem:
            labels = np.eye(len(self._head.labels))[labels.astype(int)]
        count = len(self._prompts)
        means = neighbor_means(vectors[count:], labels.reshape(len(self._examples), -1))
        texts = [label_text(self._head, list(shares)) for shares in means.predict(vectors[:count])]
        return [
            f"{each[:-1]}, {NEIGHBOR_NOTE})" if each.endswith(")") else f"{each} ({NEIGHBOR_NOTE})" for each in texts
        ]


class SameAnswer:
    """One answer to all prompts."""

    def __init__(self, text: str, prompts: int) -> None:
        self.texts = [text] * prompts

    def advance(self, has_time: HasTime, report: Callable[[int, int], None]) -> bool:
        """Nothing to do."""
        return True


def base_answers(
    model: Any, encoding: Encoding, head: Head, prompts: list[list[int]], sample: Sequence[Example]
) -> Answers:
    """The answers of a base model with this head. `sample` are rows whose labels a classifier takes."""
    if head.generates:
        return GeneratedAnswers(model, encoding.tokenizer, prompts)
    if head.name == "spans":
        return SameAnswer(NOT_EXTRACTIVE, len(prompts))
    return NeighborAnswers(model, encoding, head, prompts, sample)


@dataclass
class BaselineReplies:
    """The base model's replies as a task of the baseline. At the end, each is emitted."""

    prompts: Sequence[str]
    answers: Answers
    tokenizer: Any
    """Counts the tokens of replies. None for labels, which have none."""
    cache: BaselineCache
    key: Any
    emit: Emit
    report: Callable[[int, int], None]
    """Gets the number of finished answers, and of the tokens of each so far, at most once a second."""
    on_finished: Callable[[float], None]
    """Gets the seconds that the replies took."""
    _seconds: float = 0.0
    _reported: float = 0.0

    def advance(self, has_time: HasTime) -> bool:
        """Continue the answers while there is time. Returns whether all are finished."""
        saved = None if self._seconds else self.cache.load(self.key)
        if saved is not None:
            self._finish(saved["texts"], saved["seconds"])
            return True
        began = time.monotonic()
        finished = self.answers.advance(has_time, self._report)
        self._seconds += time.monotonic() - began
        if finished:
            texts = self.answers.texts
            self.cache.save(self.key, {"texts": texts, "seconds": self._seconds})
            self._finish(texts, self._seconds)
        return finished

    def _finish(self, texts: Sequence[str], seconds: float) -> None:
        each_seconds = round(seconds / len(self.prompts), 2)
        for prompt, text in zip(self.prompts, texts, strict=True):
            tokens = len(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if self.tokenizer else 0
            self.emit(ReplyEvent(step=0, prompt=prompt, text=text, who="base", tokens=tokens, seconds=each_seconds))
        self.on_finished(seconds)

    def _report(self, finished: int, tokens: int) -> None:
        if not tokens or time.monotonic() - self._reported >= PROGRESS_SECONDS:
            self._reported = time.monotonic()
            self.report(finished, tokens)
