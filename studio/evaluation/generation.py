"""Evaluation of generated texts: both models answer every row, and the output is compared with the reference."""

from functools import partial

from studio.evaluation.evaluators import REPLY, Evaluation, Numbered, Progress, generate_replies, pick_rows, report_rows
from studio.evaluation.verdict import of_score
from studio.inference.base_and_tuned import ModelPair
from studio.metrics import METRICS, answers
from studio.metrics.texts import observe
from studio.tasks.question_answering import NO_ANSWER


def evaluate_generated(pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Evaluation:
    """Let both models generate an answer to each row."""
    reply = REPLY.model_copy(update={"max_new_tokens": max(REPLY.max_new_tokens, pair.config.answer_length)})
    replies = generate_replies(pair, [row for _, row in rows], roles, progress, reply)
    expected = [pair.task.expected(row, roles) for _, row in rows]
    accepted = [pair.task.accepted(row, roles) for _, row in rows]
    observed = {}
    for who, texts in zip(("base", "tuned"), zip(*replies, strict=True), strict=True):
        answers_ = ["" if text.strip().strip(".").lower() == NO_ANSWER else text for text in texts]
        observed[who] = {**observe(texts, expected), **answers.observe(answers_, accepted)}
    metric = "f1" if "f1" in pair.variant.metrics else "rougeL"
    quality = observed["tuned"][metric]
    picks = pick_rows(quality, quality - observed["base"][metric])
    details = report_rows(pair, rows, roles, picks, dict(enumerate(replies)))
    name = pair.variant.metrics[-1]
    describe = partial(of_score, name=name, title=METRICS[name].title, as_share=METRICS[name].as_share)
    return Evaluation([number for number, _ in rows], observed["base"], observed["tuned"], describe, "", details)
