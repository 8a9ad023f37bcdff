"""Replies of the fine-tuned model to the test prompts, during and after training. Those of the base model are in
baseline_replies.py."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from studio.inference.classify import to_probabilities
from studio.inference.generate import replies
from studio.inference.heads import Head
from studio.inference.spans import logits, rank_spans
from studio.schema.events import PhaseEvent, ReplyEvent
from studio.schema.report import ChatSettings
from studio.tasks import Encoding, Task
from studio.tasks.question_answering import NO_ANSWER, windows
from studio.training.loop.callbacks import PROGRESS_SECONDS, UNREPORTED_SECONDS, Emit, ShouldStop
from studio.training.loop.loading import TrainingJob
from studio.training.methods import learns_virtual_tokens

MAX_TOKENS, MAX_TOKENS_DURING = 96, 64
"""Maximum tokens of a reply. Fewer while training waits for it."""
SAMPLE = 200
"""Number of rows that are searched for similar ones. The base model of a classifier takes their labels."""


def progress_message(who: str, finished: int, total: int, tokens: tuple[int, int]) -> str:
    """A sentence about the progress of replies. All are written at once, `tokens` of at most so many."""
    done, most = tokens
    if who == "base" and not done:
        return f"Answering your test prompts with the base model, {finished} of {total}"
    if who == "base":
        return f"Answering your test prompts with the base model, {finished} of {total} (token {done} of {most})"
    if not done:
        return f"Answering your test prompts with the fine-tuned model, {finished} of {total}"
    return f"Answering your test prompts with the fine-tuned model, {finished} of {total} (token {done} of {most})"


@dataclass(frozen=True)
class PromptAnswerer:
    """Answers the test prompts of a run, with its model at any step."""

    job: TrainingJob
    task: Task
    encoding: Encoding
    head: Head
    emit: Emit
    should_stop: ShouldStop

    def prompt_ids(self) -> list[list[int]]:
        """The token ids of each test prompt. One that leaves too little of the context for a reply loses its
        beginning, as in a prediction: a model with learned positions has none beyond its context."""
        config, longest = self.job.config, self.job.config.max_length
        if self.head.generates and self.head.name != "seq2seq":
            longest = min(longest, self._context - self._room)
        return [self.task.prompt_ids(prompt, self.encoding)[-longest:] for prompt in config.test_prompts]

    @property
    def _context(self) -> int:
        """Tokens of a prompt and its reply together."""
        config = self.job.config
        return (self.job.info.context or 2**20) - (config.virtual_tokens if learns_virtual_tokens(config.method) else 0)

    @property
    def _room(self) -> int:
        """Tokens that are left for a reply."""
        return min(MAX_TOKENS, self._context // 2)

    def answer(self, model: Any, step: int, during: bool = False) -> float:
        """Emit a `ReplyEvent` for each prompt. Returns the seconds. `during` training, replies are shorter and
        incomplete ones are not emitted."""
        config, tokenizer = self.job.config, self.encoding.tokenizer
        if not config.test_prompts:
            return 0.0
        import torch

        began = time.perf_counter()
        model.eval()
        with torch.no_grad():
            texts = self._texts(model, self.prompt_ids(), during)
        duration = time.perf_counter() - began
        if during and self.should_stop() is not None:
            return duration
        seconds = round(duration / len(texts), 2)
        for prompt, text in zip(config.test_prompts, texts, strict=True):
            tokens = 0 if self.head.single_pass else len(tokenizer(text, add_special_tokens=False)["input_ids"])
            self.emit(ReplyEvent(step=step, prompt=prompt, text=text, who="tuned", tokens=tokens, seconds=seconds))
        return duration

    def _texts(self, model: Any, prompts: list[list[int]], during: bool) -> list[str]:
        """The answer to each prompt: a reply, a span of the text, or labels."""
        if self.head.generates:
            most = MAX_TOKENS_DURING if during else MAX_TOKENS
            most = most if self.head.name == "seq2seq" else min(most, self._room)
            settings = ChatSettings(temperature=0.0, max_new_tokens=most)
            after_token = self._progress_reporter(most, "training" if during else "saving")
            return replies(model, self.encoding.tokenizer, prompts, settings, after_token)
        if self.head.name == "spans":
            return [self._extracted(model, prompt) for prompt in self.job.config.test_prompts]
        return [self._label(model, prompt) for prompt in prompts]

    def _progress_reporter(self, most: int, phase: str) -> Callable[[int, int], bool]:
        """A function that emits the progress of the replies, at most once a second.

        It gets the tokens of each reply so far, of at most `most`, and the number of finished replies. It returns
        whether to stop. Between training steps, replies that are written quickly emit nothing.
        """
        last_report = time.monotonic()
        if phase == "training":
            last_report += UNREPORTED_SECONDS - PROGRESS_SECONDS
        else:
            self._emit_progress(phase, 0, (0, most))

        def report(tokens: int, finished: int) -> bool:
            nonlocal last_report
            if time.monotonic() - last_report >= PROGRESS_SECONDS:
                last_report = time.monotonic()
                self._emit_progress(phase, finished, (tokens, most))
            return self.should_stop() is not None

        return report

    def _emit_progress(self, phase: str, finished: int, tokens: tuple[int, int]) -> None:
        """Emit how many replies are finished. `tokens`: of each reply so far, and at most."""
        total = len(self.job.config.test_prompts)
        message = progress_message("tuned", finished, total, tokens)
        self.emit(PhaseEvent(phase=phase, message=message, done=finished, total=total, unit="prompts"))

    def _extracted(self, model: Any, prompt: str) -> str:
        """The most likely answer."""
        question, context = self.task.model_input(prompt, self.encoding)
        pieces = windows(question, context, self.encoding)
        predictions = logits(model, self.encoding, pieces)
        span = rank_spans(pieces, [start for start, _ in predictions], [end for _, end in predictions], context)[0]
        return f"{span.text or NO_ANSWER} ({span.share:.0%})"

    def _label(self, model: Any, prompt: list[int]) -> str:
        """The most likely label with its probability, all likely labels, or the score."""
        import torch

        inputs = {"input_ids": torch.tensor([prompt], device=model.device)}
        if types := self.task.types_of(prompt, self.encoding):
            inputs["token_type_ids"] = torch.tensor([types], device=model.device)
        logits = model(**inputs).logits[0].float()
        return label_text(self.head, to_probabilities(logits, self.head.problem).tolist())


def label_text(head: Head, shares: Sequence[float]) -> str:
    """The likely labels with their probabilities, or the score."""
    if head.problem == "regression":
        return f"{shares[0]:.4g}"
    ranked = sorted(zip(shares, head.labels, strict=True), reverse=True)
    likely = [each for each in ranked if each[0] >= 0.5] if head.problem else []
    return ", ".join(f"{label} ({share:.0%})" for share, label in likely or ranked[:1])
