"""Answers judged that are pointed at in a passage: exact match and F1, as the official script counts them."""

from functools import partial
from typing import Any

from studio.evaluation.evaluators import Judged, Numbered, Progress, picks_of
from studio.evaluation.verdict import of_score
from studio.inference.base_and_tuned import Pair
from studio.inference.spans import GUESS, pointed
from studio.metrics.answers import observe
from studio.schema.report import JudgedRow
from studio.tasks.question_answering import NO_ANSWER


def judge_pointed(pair: Pair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Judged:
    """Both models point at an answer to each question."""
    values = [pair.task.values(row, roles) for _, row in rows]
    asked = [(each["question"], each["context"]) for each in values]
    total = 2 * len(rows)
    said = {
        "tuned": pointed(pair, asked, "tuned", lambda done: progress(min(done, len(rows)), total, "Reading passages")),
        "base": pointed(
            pair, asked, "base", lambda done: progress(min(len(rows) + done, total), total, "Asking the base")
        ),
    }
    texts = {who: [spans[0].text for spans in each] for who, each in said.items()}
    accepted = [pair.task.accepted(row, roles) for _, row in rows]
    observed = {who: observe(each, accepted) for who, each in texts.items()}
    good = observed["tuned"]["f1"]
    gain = good - observed["base"]["f1"]
    picks = picks_of(good, gain)

    def row(place: int, score: float) -> JudgedRow:
        return JudgedRow(
            row=rows[place][0],
            text=pair.task.text_of(rows[place][1], roles),
            expected=accepted[place][0] if accepted[place] else NO_ANSWER,
            base=texts["base"][place] or NO_ANSWER,
            tuned=texts["tuned"][place] or NO_ANSWER,
            score=round(score, 4),
        )

    details: dict[str, Any] = {
        "best_rows": tuple(row(place, float(good[place])) for place in picks.best),
        "worst_rows": tuple(row(place, float(good[place])) for place in picks.worst),
        "changed_rows": tuple(row(place, float(gain[place])) for place in picks.changed),
    }
    in_words = partial(of_score, name="f1", title="F1", as_share=True)
    note = "" if pair.base_points else GUESS
    return Judged([number for number, _ in rows], observed["base"], observed["tuned"], in_words, note, details)
