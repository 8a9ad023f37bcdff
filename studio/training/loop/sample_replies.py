"""Replies to the test prompts: by the base model before the first step, and by the fine-tuned model during and after
training, all generated in the same way."""

import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from studio.inference.base_and_tuned import backbone_of
from studio.inference.batches import by_length, mean_states, padded
from studio.inference.classify import neighbor_means, to_probabilities
from studio.inference.generate import replies
from studio.inference.heads import Head
from studio.inference.spans import logits, rank_spans
from studio.schema.events import PhaseEvent, ReplyEvent
from studio.schema.report import ChatSettings
from studio.tasks import Encoding, Example, Task
from studio.tasks.question_answering import NO_ANSWER, windows
from studio.training.loop.callbacks import PROGRESS_SECONDS, Emit, ShouldStop
from studio.training.loop.loading import TrainingJob, input_files

MAX_TOKENS, MAX_TOKENS_DURING = 96, 64
"""Maximum tokens of a reply. Fewer while training waits for it."""
_BASE_REPLIES: dict[Hashable, tuple[list[str], float]] = {}
"""Replies of base models in this process, and the seconds they took. If a run is prepared again after a change of
settings, they are reused. Training draws no random numbers from it."""
NEIGHBOR_NOTE = "nearest neighbors from your labels"
SAMPLE = 200
"""Number of rows that are searched for similar ones."""


def progress_message(who: str, finished: int, total: int, tokens: tuple[int, int]) -> tuple[str, str]:
    """The phase, and a sentence about the progress of replies. All are written at once, `tokens` of at most so many."""
    done, most = tokens
    if who == "base" and not done:
        return "reading", f"Answering your test prompts with the base model, {finished} of {total}"
    if who == "base":
        message = f"Answering your test prompts with the base model, {finished} of {total} (token {done} of {most})"
        return "reading", message
    if not done:
        return "saving", f"Answering your test prompts with the fine-tuned model, {finished} of {total}"
    message = f"Answering your test prompts with the fine-tuned model, {finished} of {total} (token {done} of {most})"
    return "saving", message


@dataclass(frozen=True)
class PromptAnswerer:
    """Answers the test prompts of a run, with its model at any step."""

    job: TrainingJob
    task: Task
    encoding: Encoding
    head: Head
    sample: Sequence[Example]
    """Training rows in which a classifier's base model finds similar ones."""
    emit: Emit
    should_stop: ShouldStop

    def answer(self, model: Any, who: str, step: int, during: bool = False) -> float:
        """Emit a `ReplyEvent` for each prompt. Returns the seconds. `during` training, replies are shorter and
        incomplete ones are not emitted."""
        config, tokenizer = self.job.config, self.encoding.tokenizer
        if not config.test_prompts:
            return 0.0
        import torch

        prompts = [self.task.prompt_ids(prompt, self.encoding)[-config.max_length :] for prompt in config.test_prompts]
        began = time.perf_counter()
        model.eval()
        cached = self.head.generates and who == "base"
        key = (self._base_key(), *map(tuple, prompts)) if cached else None
        # An untrained adapter changes nothing, but costs a third of the time.
        has_adapter = who == "base" and hasattr(model, "disable_adapter")
        with torch.no_grad(), model.disable_adapter() if has_adapter else nullcontext():
            if cached and key in _BASE_REPLIES:
                texts, seconds_before = _BASE_REPLIES[key]
                began -= seconds_before
            else:
                texts = self._texts(model, prompts, who, during)
        duration = time.perf_counter() - began
        if cached and self.should_stop() is None:
            _BASE_REPLIES[key] = texts, duration
        if during and self.should_stop() is not None:
            return duration
        seconds = round(duration / len(prompts), 2)
        for prompt, text in zip(config.test_prompts, texts, strict=True):
            tokens = 0 if self.head.single_pass else len(tokenizer(text, add_special_tokens=False)["input_ids"])
            self.emit(ReplyEvent(step=step, prompt=prompt, text=text, who=who, tokens=tokens, seconds=seconds))
        return duration

    def _texts(self, model: Any, prompts: list[list[int]], who: str, during: bool) -> list[str]:
        """The answer to each prompt: a reply, a span of the text, or labels."""
        if self.head.generates:
            most = MAX_TOKENS_DURING if during or who == "base" else MAX_TOKENS
            settings = ChatSettings(temperature=0.0, max_new_tokens=most)
            after_token = self._stop_only if during else self._progress_reporter(who, most)
            return replies(model, self.encoding.tokenizer, prompts, settings, after_token)
        if self.head.name == "spans":
            return [self._extracted(model, prompt, who) for prompt in self.job.config.test_prompts]
        if who == "base":
            self._emit_progress(who, 0, (0, 0))
            return _nearest_labels(model, self.encoding, self.head, prompts, self.sample)
        return [self._label(model, prompt) for prompt in prompts]

    def _stop_only(self, tokens: int, finished: int) -> bool:
        """Whether to stop the replies. During training, their progress is not reported."""
        return self.should_stop() is not None

    def _progress_reporter(self, who: str, most: int) -> Callable[[int, int], bool]:
        """A function that emits the progress of the replies before or after training, at most once a second.

        It gets the tokens of each reply so far, of at most `most`, and the number of finished replies. It returns
        whether to stop.
        """
        self._emit_progress(who, 0, (0, most))
        last_report = time.monotonic()

        def report(tokens: int, finished: int) -> bool:
            nonlocal last_report
            if time.monotonic() - last_report >= PROGRESS_SECONDS:
                last_report = time.monotonic()
                self._emit_progress(who, finished, (tokens, most))
            return self.should_stop() is not None

        return report

    def _emit_progress(self, who: str, finished: int, tokens: tuple[int, int]) -> None:
        """Emit how many replies are finished. `tokens`: of each reply so far, and at most."""
        total = len(self.job.config.test_prompts)
        phase, message = progress_message(who, finished, total, tokens)
        self.emit(PhaseEvent(phase=phase, message=message, done=finished, total=total, unit="prompts"))

    def _base_key(self) -> Hashable:
        """Everything besides the prompts that the base model's replies depend on."""
        config = self.job.config
        return input_files(self.job), config.method, config.precision, config.quantisation, self.job.threads

    def _extracted(self, model: Any, prompt: str, who: str) -> str:
        """The most likely answer. A base model is not trained to extract answers."""
        if who == "base":
            return "The base model is not trained to extract answers."
        question, context = self.task.model_input(prompt, self.encoding)
        pieces = windows(question, context, self.encoding)
        predictions = logits(model, self.encoding, pieces)
        span = rank_spans(pieces, [start for start, _ in predictions], [end for _, end in predictions], context)[0]
        return f"{span.text or NO_ANSWER} ({span.share:.0%})"

    def _label(self, model: Any, prompt: list[int]) -> str:
        """The most likely label with its probability, all likely labels, or the score."""
        import torch

        logits = model(input_ids=torch.tensor([prompt], device=model.device)).logits[0].float()
        return _as_text(self.head, to_probabilities(logits, self.head.problem).tolist())


def _as_text(head: Head, shares: Sequence[float]) -> str:
    if head.problem == "regression":
        return f"{shares[0]:.4g}"
    ranked = sorted(zip(shares, head.labels, strict=True), reverse=True)
    likely = [each for each in ranked if each[0] >= 0.5] if head.problem else []
    return ", ".join(f"{label} ({share:.0%})" for share, label in likely or ranked[:1])


def _nearest_labels(
    model: Any, encoding: Encoding, head: Head, prompts: list[list[int]], examples: Sequence[Example]
) -> list[str]:
    """The labels of the most similar other rows, because the base model of a classifier has no trained head."""
    import numpy as np

    used = set(map(tuple, prompts))
    examples = [example for example in examples if tuple(example.input_ids) not in used] or examples
    embeddings = _embeddings(model, encoding, [example.input_ids for example in examples])
    labels = np.array([example.labels for example in examples], dtype=float)
    if not head.problem:
        labels = np.eye(len(head.labels))[labels.astype(int)]
    means = neighbor_means(embeddings, labels.reshape(len(examples), -1))
    texts = [_as_text(head, list(shares)) for shares in means.predict(_embeddings(model, encoding, prompts))]
    return [f"{each[:-1]}, {NEIGHBOR_NOTE})" if each.endswith(")") else f"{each} ({NEIGHBOR_NOTE})" for each in texts]


def _embeddings(model: Any, encoding: Encoding, rows: Sequence[list[int]]) -> Any:
    """Mean of the last layer over each row's tokens, as a numpy array of rows × hidden size."""
    import torch

    backbone, vectors = backbone_of(model), [torch.empty(0)] * len(rows)
    for batch in by_length([len(row) for row in rows]):
        inputs = padded([rows[each] for each in batch], encoding.tokenizer.pad_token_id, model.device)
        for each, row in zip(batch, mean_states(backbone, inputs).cpu(), strict=True):
            vectors[each] = row
    return torch.stack(vectors).numpy()
