"""Texts judged by what both models write: every row is answered, and compared with what a person wrote."""

from functools import partial
from typing import Any

from studio.evaluation.evaluators import REPLY, Judged, Numbered, Progress, picks_of, written
from studio.evaluation.verdict import of_score
from studio.inference.base_and_tuned import Pair
from studio.metrics import METRICS, answers
from studio.metrics.texts import observe
from studio.schema.report import JudgedRow
from studio.tasks.question_answering import NO_ANSWER


def judge_written(pair: Pair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Judged:
    """Both models write an answer to each row."""
    reply = REPLY.model_copy(update={"max_new_tokens": max(REPLY.max_new_tokens, pair.config.answer_length)})
    said = list(zip(*written(pair, [row for _, row in rows], roles, progress, reply), strict=True))
    expected = [pair.task.expected(row, roles) for _, row in rows]
    accepted = [pair.task.accepted(row, roles) for _, row in rows]
    observed = {}
    for who, texts in zip(("base", "tuned"), said, strict=True):
        told = ["" if text.strip().strip(".").lower() == NO_ANSWER else text for text in texts]
        observed[who] = {**observe(texts, expected), **answers.observe(told, accepted)}
    by = "f1" if "f1" in pair.variant.metrics else "rougeL"
    good = observed["tuned"][by]
    gain = good - observed["base"][by]
    picks = picks_of(good, gain)

    def row(place: int, score: float) -> JudgedRow:
        number, values = rows[place]
        return JudgedRow(
            row=number,
            text=pair.task.text_of(values, roles),
            expected=expected[place],
            base=said[0][place],
            tuned=said[1][place],
            score=round(score, 4),
        )

    details: dict[str, Any] = {
        "best_rows": tuple(row(place, float(good[place])) for place in picks.best),
        "worst_rows": tuple(row(place, float(good[place])) for place in picks.worst),
        "changed_rows": tuple(row(place, float(gain[place])) for place in picks.changed),
    }
    name = pair.variant.metrics[-1]
    in_words = partial(of_score, name=name, title=METRICS[name].title, as_share=METRICS[name].as_share)
    return Judged([number for number, _ in rows], observed["base"], observed["tuned"], in_words, "", details)
