"""Test prompts answered: by the base before the first step, by the tuned model at checks and at the end, always in
the same way."""

import time
from collections.abc import Hashable, Sequence
from contextlib import nullcontext
from typing import Any

from studio.inference.base_and_tuned import backbone_of
from studio.inference.batches import by_length, padded
from studio.inference.classify import shares_of
from studio.inference.generate import replies
from studio.inference.heads import Head
from studio.inference.spans import find, logits
from studio.schema.config import TrainingConfig
from studio.schema.events import ReplyEvent
from studio.schema.report import ChatSettings
from studio.tasks import Encoding, Example, Task
from studio.tasks.question_answering import NO_ANSWER, windows
from studio.training.loop.callbacks import Emit, ShouldStop

LENGTH, BASE_LENGTH = 96, 64
"""The most tokens in a reply to a test prompt; fewer of those that steps wait for."""
_WRITTEN: dict[Hashable, tuple[list[str], float]] = {}
"""What bases wrote in this process, and the seconds it took: a run that is made ready anew, since a setting was
changed, need not ask again. Random numbers for training are drawn by none of this."""
GUESS = "a guess by its nearest neighbours"
SAMPLE, NEIGHBOURS = 200, 10
"""Rows among which a classifier's base looks for those most alike, and how many it asks."""


def answer_prompts(
    model: Any,
    task: Task,
    encoding: Encoding,
    config: TrainingConfig,
    head: Head,
    learned: Sequence[Example],
    who: str,
    step: int,
    emit: Emit,
    should_stop: ShouldStop,
    during: bool = False,
    base: Hashable = None,
) -> float:
    """One `ReplyEvent` a prompt, and the seconds they took. `during` a run they are short, and none is told in part.

    `base` is what a base's replies depend on besides the prompts.
    """
    if not config.test_prompts:
        return 0.0
    import torch

    prompts = [task.prompt_ids(prompt, encoding)[-config.max_length :] for prompt in config.test_prompts]
    began = time.perf_counter()
    model.eval()
    asked = (base, *map(tuple, prompts))
    # An adapter that has not learned anything yet changes nothing, but costs a third of the time.
    plain = model.disable_adapter() if who == "base" and hasattr(model, "disable_adapter") else nullcontext()
    with torch.no_grad(), plain:
        if head.writes and base and asked in _WRITTEN:
            said, before = _WRITTEN[asked]
            began -= before
        elif head.writes:
            settings = ChatSettings(temperature=0.0, max_new_tokens=BASE_LENGTH if during or who == "base" else LENGTH)
            said = replies(model, encoding.tokenizer, prompts, settings, lambda: should_stop() is not None)
        elif head.name == "spans":
            said = [_pointed(model, task, encoding, prompt, who) for prompt in config.test_prompts]
        elif who == "base":
            said = _guesses(model, encoding, head, prompts, learned[:SAMPLE])
        else:
            said = [_label(model, encoding, head, prompt) for prompt in prompts]
    took = time.perf_counter() - began
    if head.writes and base and should_stop() is None:
        _WRITTEN[asked] = said, took
    if during and should_stop() is not None:
        return took
    seconds = took / len(prompts)
    for prompt, text in zip(config.test_prompts, said, strict=True):
        tokens = 0 if head.at_once else len(encoding.tokenizer(text, add_special_tokens=False)["input_ids"])
        emit(ReplyEvent(step=step, prompt=prompt, text=text, who=who, tokens=tokens, seconds=round(seconds, 2)))
    return took


def _pointed(model: Any, task: Task, encoding: Encoding, prompt: str, who: str) -> str:
    """The likeliest answer; a base has not learned yet what to point at."""
    if who == "base":
        return "The base has not learned to point at answers."
    question, context = task.model_input(prompt, encoding)
    pieces = windows(question, context, encoding)
    said = logits(model, encoding, pieces)
    span = find(pieces, [start for start, _ in said], [end for _, end in said], context)[0]
    return f"{span.text or NO_ANSWER} ({span.share:.0%})"


def _label(model: Any, encoding: Encoding, head: Head, prompt: list[int]) -> str:
    """The likeliest label with its probability, all likely ones, or the score."""
    import torch

    logits = model(input_ids=torch.tensor([prompt], device=model.device)).logits[0].float()
    return _in_words(head, shares_of(logits, head.problem).tolist())


def _in_words(head: Head, shares: Sequence[float]) -> str:
    if head.problem == "regression":
        return f"{shares[0]:.4g}"
    ranked = sorted(zip(shares, head.labels, strict=True), reverse=True)
    likely = [each for each in ranked if each[0] >= 0.5] if head.problem else []
    return ", ".join(f"{label} ({share:.0%})" for share, label in likely or ranked[:1])


def _guesses(
    model: Any, encoding: Encoding, head: Head, prompts: list[list[int]], learned: Sequence[Example]
) -> list[str]:
    """A classifier's base has no head yet: the labels of the rows that it finds most alike."""
    import numpy as np
    from sklearn.neighbors import KNeighborsRegressor

    known = _embeddings(model, encoding, [example.input_ids for example in learned])
    finder = KNeighborsRegressor(min(NEIGHBOURS, len(known)), metric="cosine", weights="distance", algorithm="brute")
    labels = np.array([example.labels for example in learned], dtype=float)
    if not head.problem:
        labels = np.eye(len(head.labels))[labels.astype(int)]
    finder.fit(known, labels.reshape(len(learned), -1))
    found = finder.predict(_embeddings(model, encoding, prompts))
    said = [_in_words(head, list(shares)) for shares in found]
    return [f"{each[:-1]}, {GUESS})" if each.endswith(")") else f"{each} ({GUESS})" for each in said]


def _embeddings(model: Any, encoding: Encoding, rows: Sequence[list[int]]) -> Any:
    """The last layer, averaged over each row's tokens; rows × hidden, as numpy."""
    import torch

    backbone, found = backbone_of(model), [torch.empty(0)] * len(rows)
    for batch in by_length([len(row) for row in rows]):
        inputs = padded([rows[each] for each in batch], encoding.tokenizer.pad_token_id, model.device)
        mask = inputs["attention_mask"].unsqueeze(-1)
        hidden = backbone(**inputs).last_hidden_state.float()
        for each, row in zip(batch, ((hidden * mask).sum(1) / mask.sum(1)).cpu(), strict=True):
            found[each] = row
    return torch.stack(found).numpy()
