"""Evaluation of extracted answers: exact match and F1, as in the official SQuAD script."""

from functools import partial

from studio.evaluation.baselines import Guess
from studio.evaluation.evaluators import Evaluation, Numbered, Progress, pick_rows, report_rows
from studio.evaluation.verdict import of_score
from studio.inference.base_and_tuned import ModelPair
from studio.inference.spans import SENTENCE_DETAIL, SENTENCE_TITLE, extract_answers
from studio.metrics.answers import observe
from studio.tasks.question_answering import NO_ANSWER


def evaluate_extracted(pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Evaluation:
    """Extract an answer to each question. A base model without such a head is replaced by a baseline."""
    values = [pair.task.values(row, roles) for _, row in rows]
    questions = [(each["question"], each["context"]) for each in values]
    total = 2 * len(rows)
    spans_by_model = {
        "tuned": extract_answers(
            pair, questions, "tuned", lambda done: progress(min(done, len(rows)), total, "Reading passages")
        ),
        "base": extract_answers(
            pair,
            questions,
            "base",
            lambda done: progress(min(len(rows) + done, total), total, "Reading passages for comparison"),
        ),
    }
    texts = {who: [spans[0].text for spans in each] for who, each in spans_by_model.items()}
    accepted = [pair.task.accepted(row, roles) for _, row in rows]
    observed = {who: observe(each, accepted) for who, each in texts.items()}
    quality = observed["tuned"]["f1"]
    picks = pick_rows(quality, quality - observed["base"]["f1"])
    in_words = {who: [text or NO_ANSWER for text in each] for who, each in texts.items()}
    answers = dict(enumerate(zip(in_words["base"], in_words["tuned"], strict=True)))
    has_head = pair.base_has_qa_head
    picks.guessed = not has_head
    details = {
        name: tuple(row.model_copy(update={"expected": row.expected or NO_ANSWER}) for row in judged)
        for name, judged in report_rows(pair, rows, roles, picks, answers).items()
    }
    describe = partial(of_score, name="f1", title="F1", as_share=True)
    numbers = [number for number, _ in rows]
    if has_head:
        return Evaluation(numbers, observed["base"], observed["tuned"], describe, "", details)
    sentence = Guess("sentence", SENTENCE_TITLE, SENTENCE_DETAIL, observed["base"])
    return Evaluation(numbers, None, observed["tuned"], describe, "", details, [sentence])
