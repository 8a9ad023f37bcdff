"""Extractive question answering: search for the likeliest answer spans, and a baseline.

The model scores each token as the start and as the end of the answer; the first token means no answer. A base without
a question-answering head can't answer. It is replaced by a baseline: the sentence most similar to the question.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studio.inference.base_and_tuned import ModelPair
from studio.inference.batches import Progress, by_length, embeddings, no_progress, padded
from studio.schema.report import Answer, LabelScore
from studio.tasks import Encoding, Example
from studio.tasks.question_answering import NO_ANSWER, windows

MAX_POSITIONS = 20
"""Number of start and end positions to try, as in the official script."""
MAX_ANSWER_TOKENS = 30
"""Maximum tokens of an answer, as in the official script."""
SHOWN = 4
SENTENCE_TITLE = "Most similar sentence"
"""Name of the baseline."""
SENTENCE_DETAIL = "The sentence that is most similar to the question, by the embeddings of the base model."
GUESS_NOTE = (
    "The sentence most similar to the question, by the embeddings of the base model. "
    "The base model itself is not trained to extract answers."
)
SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
Question = tuple[str, str]
"""A question and a passage."""


@dataclass(frozen=True)
class Span:
    """An answer from a passage. An empty text means no answer."""

    text: str
    share: float
    """Its probability among all candidates."""


def rank_spans(pieces: Sequence[Example], starts: Sequence[Any], ends: Sequence[Any], context: str) -> list[Span]:
    """Return the likeliest answers to one question, from the scores of each piece of the passage."""
    import numpy as np

    no_answer_score = min(float(start[0] + end[0]) for start, end in zip(starts, ends, strict=True))
    scores_by_span: dict[tuple[int, int], float] = {}
    for piece, start, end in zip(pieces, starts, ends, strict=True):
        inside = np.array([place is not None for place in piece.offsets])
        begins = np.argsort(-np.where(inside, start[: len(inside)], -np.inf))[:MAX_POSITIONS]
        stops = np.argsort(-np.where(inside, end[: len(inside)], -np.inf))[:MAX_POSITIONS]
        for begin in begins:
            for stop in stops:
                if not inside[begin] or not inside[stop] or not begin <= stop < begin + MAX_ANSWER_TOKENS:
                    continue
                place = piece.offsets[begin][0], piece.offsets[stop][1]
                scores_by_span[place] = max(scores_by_span.get(place, -np.inf), float(start[begin] + end[stop]))
    ranked = sorted([((0, 0), no_answer_score), *scores_by_span.items()], key=lambda each: -each[1])[: 5 * SHOWN]
    scores = np.exp(np.array([score for _, score in ranked]) - ranked[0][1])
    shares = scores / scores.sum()
    spans: dict[str, float] = {}
    for ((begin, stop), _), share in zip(ranked, shares, strict=True):
        text = context[begin:stop].strip()
        spans[text] = spans.get(text, 0.0) + float(share)
    return [Span(text, share) for text, share in sorted(spans.items(), key=lambda each: -each[1])]


def extract_answers(
    pair: ModelPair, questions: Sequence[Question], who: str, progress: Progress = no_progress
) -> list[list[Span]]:
    """Return the answers of a model to each question, the likeliest first."""
    if who == "base" and not pair.base_has_qa_head:
        return [_guess(pair, question, context) for question, context in questions]
    encoding = pair.encoding()
    pieces = [windows(question, context, encoding) for question, context in questions]
    outputs = logits(pair.model_for(who), encoding, [piece for each in pieces for piece in each], progress)
    results, offset = [], 0
    for (_, context), each in zip(questions, pieces, strict=True):
        piece_outputs = outputs[offset : offset + len(each)]
        results.append(
            rank_spans(each, [start for start, _ in piece_outputs], [end for _, end in piece_outputs], context)
        )
        offset += len(each)
    return results


def unwrapped(model: Any) -> Any:
    """Return the model below peft's outermost layer, adapter included. That layer does not pass `token_type_ids`."""
    return model.base_model if hasattr(model, "peft_config") else model


def logits(model: Any, encoding: Encoding, pieces: Sequence[Example], progress: Progress = no_progress) -> list[Any]:
    """Return (start logits, end logits) of each piece, as numpy arrays."""
    import torch

    results: list[Any] = [None] * len(pieces)
    done = 0
    for batch in by_length([len(piece.input_ids) for piece in pieces]):
        chunk = [pieces[each] for each in batch]
        inputs = padded([piece.input_ids for piece in chunk], encoding.tokenizer.pad_token_id, model.device)
        if chunk[0].types:
            inputs["token_type_ids"] = padded([piece.types for piece in chunk], 0, model.device)["input_ids"]
        with torch.no_grad():
            out = unwrapped(model)(**inputs)
        for row, each in enumerate(batch):
            length = len(pieces[each].input_ids)
            results[each] = tuple(
                part[row, :length].float().cpu().numpy() for part in (out.start_logits, out.end_logits)
            )
        done += len(batch)
        progress(done)
    return results


def answer_question(pair: ModelPair, text: str) -> tuple[Answer, Answer]:
    """Return the answers of base and fine-tuned model to a question with its passage below."""
    questions = [tuple(pair.task.model_input(text, pair.encoding()))]
    began = time.perf_counter()
    tuned = extract_answers(pair, questions, "tuned")[0]
    between = time.perf_counter()
    base = extract_answers(pair, questions, "base")[0]
    after = time.perf_counter()
    base_answer, tuned_answer = _answer(base, after - between, ""), _answer(tuned, between - began, pair.how)
    if not pair.base_has_qa_head:
        base_answer = base_answer.model_copy(update={"how": GUESS_NOTE, "title": SENTENCE_TITLE})
    return base_answer, tuned_answer


def chances(pair: ModelPair, questions: Sequence[Question]) -> list[list[float]]:
    """Return start and end probabilities of each token in the first piece, for each question."""
    import torch

    encoding = pair.encoding()
    first_pieces = [windows(question, context, encoding)[0] for question, context in questions]
    outputs = logits(pair.model_for("tuned"), encoding, first_pieces)
    return [torch.cat([torch.tensor(part).softmax(0) for part in each]).tolist() for each in outputs]


def _answer(spans: Sequence[Span], seconds: float, how: str) -> Answer:
    labels = tuple(LabelScore(label=span.text or NO_ANSWER, probability=round(span.share, 6)) for span in spans[:SHOWN])
    return Answer(text=labels[0].label, seconds=round(seconds, 3), labels=labels, how=how)


def _guess(pair: ModelPair, question: str, context: str) -> list[Span]:
    """Return the sentences of a passage, the most similar to the question first."""
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
