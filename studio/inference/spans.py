"""Answers pointed at in a passage: the search for the likeliest words, and the base's guess beside it.

A model says of each token how well it begins and how well it ends the answer; the first token stands for no answer.
A base that never learned to point has its guess by meaning: the sentence of the passage that is most like the question.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studio.inference.base_and_tuned import Pair
from studio.inference.batches import Progress, by_length, embeddings, padded, silent
from studio.schema.report import Answer, LabelScore
from studio.tasks import Encoding, Example
from studio.tasks.question_answering import NO_ANSWER, windows

BEST = 20
"""Beginnings and ends that are tried, as in the official script."""
LONGEST = 30
"""The most tokens of an answer, as there."""
SHOWN = 4
GUESS = "The base has not learned to point at answers. This is a guess: the sentence that is most like the question."
SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
Asked = tuple[str, str]
"""A question and a passage."""


@dataclass(frozen=True)
class Span:
    """Words of a passage as an answer; an empty text says that there is none."""

    text: str
    share: float
    """Its probability among all that were considered."""


def find(pieces: Sequence[Example], starts: Sequence[Any], ends: Sequence[Any], context: str) -> list[Span]:
    """The likeliest answers of one question, from what a model says of each piece of the passage."""
    import numpy as np

    nothing = min(float(start[0] + end[0]) for start, end in zip(starts, ends, strict=True))
    found: dict[tuple[int, int], float] = {}
    for piece, start, end in zip(pieces, starts, ends, strict=True):
        inside = np.array([place is not None for place in piece.offsets])
        begins = np.argsort(-np.where(inside, start[: len(inside)], -np.inf))[:BEST]
        stops = np.argsort(-np.where(inside, end[: len(inside)], -np.inf))[:BEST]
        for begin in begins:
            for stop in stops:
                if not inside[begin] or not inside[stop] or not begin <= stop < begin + LONGEST:
                    continue
                place = piece.offsets[begin][0], piece.offsets[stop][1]
                found[place] = max(found.get(place, -np.inf), float(start[begin] + end[stop]))
    ranked = sorted([((0, 0), nothing), *found.items()], key=lambda each: -each[1])[: 5 * SHOWN]
    scores = np.exp(np.array([score for _, score in ranked]) - ranked[0][1])
    shares = scores / scores.sum()
    spans: dict[str, float] = {}
    for ((begin, stop), _), share in zip(ranked, shares, strict=True):
        text = context[begin:stop].strip()
        spans[text] = spans.get(text, 0.0) + float(share)
    return [Span(text, share) for text, share in sorted(spans.items(), key=lambda each: -each[1])]


def pointed(pair: Pair, asked: Sequence[Asked], who: str, progress: Progress = silent) -> list[list[Span]]:
    """What base or tuned point at, the likeliest first, for each question."""
    if who == "base" and not pair.base_points:
        return [_guess(pair, question, context) for question, context in asked]
    encoding = pair.encoding()
    pieces = [windows(question, context, encoding) for question, context in asked]
    with pair.speaking(who) as model:
        said = logits(model, encoding, [piece for each in pieces for piece in each], progress)
    found, at = [], 0
    for (_, context), each in zip(asked, pieces, strict=True):
        mine = said[at : at + len(each)]
        found.append(find(each, [start for start, _ in mine], [end for _, end in mine], context))
        at += len(each)
    return found


def unwrapped(model: Any) -> Any:
    """What is below peft's outermost layer, adapter included: that layer keeps `token_type_ids` to itself."""
    return model.base_model if hasattr(model, "peft_config") else model


def logits(model: Any, encoding: Encoding, pieces: Sequence[Example], progress: Progress = silent) -> list[Any]:
    """(starts, ends) of each piece, as numpy."""
    import torch

    found: list[Any] = [None] * len(pieces)
    done = 0
    for batch in by_length([len(piece.input_ids) for piece in pieces]):
        some = [pieces[each] for each in batch]
        inputs = padded([piece.input_ids for piece in some], encoding.tokenizer.pad_token_id, model.device)
        if some[0].types:
            inputs["token_type_ids"] = padded([piece.types for piece in some], 0, model.device)["input_ids"]
        with torch.no_grad():
            out = unwrapped(model)(**inputs)
        for row, each in enumerate(batch):
            length = len(pieces[each].input_ids)
            found[each] = tuple(part[row, :length].float().cpu().numpy() for part in (out.start_logits, out.end_logits))
        done += len(batch)
        progress(done)
    return found


def point(pair: Pair, text: str) -> tuple[Answer, Answer]:
    """What base and tuned answer to a question with its passage below."""
    asked = [tuple(pair.task.model_input(text, pair.encoding()))]
    began = time.perf_counter()
    tuned = pointed(pair, asked, "tuned")[0]
    between = time.perf_counter()
    base = pointed(pair, asked, "base")[0]
    after = time.perf_counter()
    how = "" if pair.base_points else GUESS
    return _answer(base, after - between, how), _answer(tuned, between - began, pair.how)


def chances(pair: Pair, asked: Sequence[Asked]) -> list[list[float]]:
    """For each question, of each token of the first piece, how likely it begins and ends the answer."""
    import torch

    encoding = pair.encoding()
    with pair.speaking("tuned") as model:
        said = logits(model, encoding, [windows(question, context, encoding)[0] for question, context in asked])
    return [torch.cat([torch.tensor(part).softmax(0) for part in each]).tolist() for each in said]


def _answer(spans: Sequence[Span], seconds: float, how: str) -> Answer:
    labels = tuple(LabelScore(label=span.text or NO_ANSWER, probability=round(span.share, 6)) for span in spans[:SHOWN])
    return Answer(text=labels[0].label, seconds=round(seconds, 3), labels=labels, how=how)


def _guess(pair: Pair, question: str, context: str) -> list[Span]:
    """The sentences of a passage, those most like the question first."""
    import numpy as np

    sentences = [each.strip() for each in SENTENCE.findall(context) if each.strip()]
    if not sentences:
        return [Span("", 1.0)]
    limit = pair.config.max_length
    ids = [pair.tokenizer(each, truncation=True, max_length=limit)["input_ids"] for each in (question, *sentences)]
    vectors = embeddings(pair, ids)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    scores = np.exp(10 * (vectors[1:] @ vectors[0]))
    ranked = sorted(zip(sentences, scores / scores.sum(), strict=True), key=lambda each: -each[1])
    return [Span(text, float(share)) for text, share in ranked]
