"""Question answering: a passage and a question. An encoder extracts the answer; a generative model writes it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from studio.data.literals import parsed
from studio.data.values import is_blank, text_of
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.tasks import text_to_text
from studio.tasks.base import Encoding, Example, Role, Row, TaskDefaults, TaskVariant, Turn

_QUESTION = ("question", "query", "questions")
_CONTEXT = ("context", "passage", "paragraph", "document", "article", "contexts")
_ANSWER = ("answers", "answer", "answer text", "answer span", "gold answer")
NOT_FOUND = "answer-not-found"
NO_ANSWER = "no answer"
"""What a generative model writes if the passage has no answer."""
NOT_IN_PASSAGE = "the answer is not in the passage, so the model learns nothing from this row"
Answers = dict[str, list[Any]]
"""`texts` and `starts`, as in SQuAD. Both are empty if there is no answer."""


class QuestionAnswering(TaskDefaults):
    """Answers from a passage."""

    name = "question-answering"
    title = "Answer questions"
    sentence = "Finds answers in a text."
    term = "Question answering (extractive, SQuAD; or generative)"
    sample_in = "When does the shop open? · The shop opens at nine, every day but Sunday."
    sample_out = "at nine"
    roles: tuple[Role, ...] = (
        Role("question", "Question", "The question about the passage.", True, _QUESTION),
        Role("context", "Passage", "The text that contains the answer.", True, _CONTEXT),
        Role(
            "answer",
            "Answer",
            "The answer in the words of the passage. In SQuAD's format, also its position.",
            True,
            _ANSWER,
            "reply",
        ),
    )
    alternatives: tuple[tuple[str, ...], ...] = (("question", "context", "answer"),)
    settings: tuple[str, ...] = ("system_prompt", "instruction", "answer_length", "stride", "head_first")
    example_roles: tuple[str, ...] = ("question", "context", "answer")
    example_rows: tuple[tuple[str, ...], ...] = (
        ("When do you open?", "We open at nine, every day.", "at nine"),
        ("Who founded it?", "Ada did.", "Ada"),
    )
    reads_as = "each row is a question, a passage, and the answer in the passage."
    chat_hint = "Write the question, then an empty line, then the passage that contains the answer."
    pipeline_tag = "question-answering"
    cuts = False
    trainer = "spans"
    metrics: tuple[str, ...] = ("exact_match", "f1")
    best_metric = "f1"

    def unavailable_reason(self, model: ModelInfo) -> str:
        """Encoders extract answers; generative models write them."""
        if model.kind in ("encoder", "causal", "seq2seq"):
            return ""
        return "This model is neither an encoder nor a generative model."

    def variant(self, kind: str, roles: Mapping[str, str]) -> TaskVariant:
        """Extract the answer with an encoder, or write it with a generative model."""
        if kind == "encoder":
            return TaskVariant("spans", "spans", self.metrics, self.best_metric, loss="spans")
        if kind == "seq2seq":
            return TaskVariant("seq2seq", "seq2seq", self.metrics, "eval_loss")
        return TaskVariant("text", "sft", self.metrics, "eval_loss", templated=True, judge="generation")

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """Return question and passage unchanged, because positions in them count, and the answers."""
        return {
            role: (answers_of if role == "answer" else _raw_text)(row.get(column)) for column, role in roles.items()
        }

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """Return the role that a row lacks. An empty list of answers is valid: the passage has no answer."""
        return next((role for role in ("question", "context", "answer") if values.get(role) is None), "")

    def inconsistency(self, values: Mapping[str, Any]) -> str:
        """Return `answer-not-found` if answers have positions in the passage, but none is in it."""
        return NOT_FOUND if values["answer"]["starts"] and self.answer_not_in_passage(values) else ""

    def answer_not_in_passage(self, values: Mapping[str, Any]) -> bool:
        """Return whether there are answers and none is in the passage. An encoder can't learn from such a row."""
        return bool(values["answer"]["texts"]) and answer_span(values["context"], values["answer"]) is None

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """Return the first piece of a long passage that contains the answer."""
        pieces = self.examples(row, encoding)
        if not pieces:
            values = self.values(row, encoding.roles)
            pieces = [
                replace(each, label=NOT_IN_PASSAGE) for each in windows(values["question"], values["context"], encoding)
            ]
        return next((piece for piece in pieces if any(piece.learned)), pieces[0])

    def examples(self, row: Row, encoding: Encoding) -> list[Example]:
        """Return all pieces of the passage with the question. Empty if no answer is in the passage."""
        values = self.values(row, encoding.roles)
        question, context, answers = values["question"] or "", values["context"] or "", values["answer"]
        if encoding.kind != "encoder":
            answer = answers["texts"][0] if answers["texts"] else NO_ANSWER
            return [text_to_text.example(self.model_input(_join(question, context), encoding), answer, encoding)]
        place = answer_span(context, answers)
        if answers["texts"] and place is None:
            return []
        right = tuple(answers["texts"])
        return [
            replace(_with_answer(piece, place, context), text=context, accepted=right)
            for piece in windows(question, context, encoding)
        ]

    def model_input(self, prompt: str | Sequence[Turn], encoding: Encoding) -> Any:
        """Return question and passage as a pair, in T5's format, or as messages."""
        text = prompt if isinstance(prompt, str) else str(prompt[-1]["content"])
        question, context = text_to_text.split_pair(text)
        if encoding.kind == "encoder":
            return [question, context]
        instruction = f"{encoding.instruction}\n\n" if encoding.instruction else ""
        if encoding.kind == "seq2seq":
            return f"{instruction}question: {question} context: {context}"
        return text_to_text.as_messages(instruction + _join(question, context), encoding)

    def prompt_ids(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[int]:
        """Return the token ids of the prompt. For a long passage, return those of the first piece."""
        input_ = self.model_input(prompt, encoding)
        if encoding.kind == "encoder":
            return windows(input_[0], input_[1], encoding)[0].input_ids
        return text_to_text.prompt_ids(input_, encoding)

    def text_in(self, values: Mapping[str, Any]) -> str:
        """Return the question, and the passage below it."""
        return _join(values.get("question") or "", values.get("context") or "")

    def expected_in(self, values: Mapping[str, Any]) -> str:
        """Return the first correct answer, or "" if there is none."""
        return next(iter(_answers_in(values)), "")

    def accepted(self, row: Row, roles: Mapping[str, str]) -> list[str]:
        """Return all correct answers."""
        return _answers_in(self.values(row, roles))

    def template(self, encoding: Encoding) -> str:
        """Return how question and passage are formatted."""
        input_ = self.model_input("{question}\n\n{passage}", encoding)
        if encoding.kind == "encoder":
            tokenizer = encoding.tokenizer
            return str(tokenizer.decode(tokenizer(*input_)["input_ids"]))
        return text_to_text.template(input_, "answer", encoding)


def answers_of(cell: Any) -> Answers | None:
    """Return the answers in a cell: a text, a list, or SQuAD's texts with positions. None for an empty cell."""
    if isinstance(cell, str) and cell.strip().startswith(("{", "[")):
        read = parsed(cell)
        cell = cell if read is None else read
    if isinstance(cell, dict) and "text" in cell:
        texts, starts = cell["text"], cell.get("answer_start")
        texts = texts if isinstance(texts, list) else [texts]
        starts = starts if isinstance(starts, list) else [starts]
        pairs = [
            (text, start)
            for text, start in zip(texts, [*starts, *[None] * len(texts)], strict=False)
            if isinstance(text, str) and text.strip()
        ]
        return {"texts": [text for text, _ in pairs], "starts": [start for _, start in pairs if isinstance(start, int)]}
    if isinstance(cell, list):
        return {"texts": [text for each in cell if (text := text_of(each))], "starts": []}
    if is_blank(cell):
        return None
    text = text_of(cell)
    return {"texts": [text], "starts": []} if text else None


def answer_span(context: str, answers: Answers) -> tuple[int, int] | None:
    """Return (start, end) in characters of the first answer that is in the passage, or None."""
    places = (_find_answer(context, text, start) for text, start in zip_longest(answers["texts"], answers["starts"]))
    return next((place for place in places if place), None)


def _find_answer(context: str, text: str, start: int | None) -> tuple[int, int] | None:
    """Return (start, end) of an answer, at its given position or the nearest one, or None."""
    expected_start = start or 0
    if start is not None and context[expected_start : expected_start + len(text)] == text:
        return expected_start, expected_start + len(text)
    places, at = [], context.find(text)
    while at >= 0:
        places.append(at)
        at = context.find(text, at + 1)
    if not places:
        low = context.lower().find(text.lower())
        return (low, low + len(text)) if low >= 0 and len(context.lower()) == len(context) else None
    whole_words = [at for at in places if not _inside_word(context, at, at + len(text))]
    begin = min(whole_words or places, key=lambda each: abs(each - expected_start))
    return begin, begin + len(text)


def _inside_word(context: str, begin: int, end: int) -> bool:
    before, after = context[begin - 1 : begin + 1], context[end - 1 : end + 1]
    return (begin > 0 and before.isalnum()) or (end < len(context) and after.isalnum())


def windows(question: str, context: str, encoding: Encoding) -> list[Example]:
    """Return overlapping pieces of a passage, each after the question. `offsets` maps tokens to characters."""
    tokenizer, limit = encoding.tokenizer, encoding.max_length
    if not getattr(tokenizer, "is_fast", False):
        raise StudioError(
            "wrong-model",
            "This model's tokenizer does not map tokens to characters, so the model can't extract answers.",
            hint="Choose an encoder that comes with a tokenizer.json.",
        )
    question_ids = tokenizer(question, add_special_tokens=False, truncation=True, max_length=limit // 2)["input_ids"]
    question = tokenizer.decode(question_ids) if len(question_ids) >= limit // 2 else question
    passage_length = limit - len(question_ids) - tokenizer.num_special_tokens_to_add(pair=True)
    encoded = tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=limit,
        stride=max(0, min(encoding.stride, passage_length // 2)),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        verbose=False,
    )
    pieces = []
    full_length = len(tokenizer(question, context, verbose=False)["input_ids"])
    for number, ids in enumerate(encoded["input_ids"]):
        parts = encoded.sequence_ids(number)
        offsets = [
            tuple(place) if part == 1 else None
            for place, part in zip(encoded["offset_mapping"][number], parts, strict=True)
        ]
        types = encoded["token_type_ids"][number] if "token_type_ids" in encoded else []
        pieces.append(Example(ids, (0, 0), full_length, [False] * len(ids), goes_on=True, types=types, offsets=offsets))
    return pieces


def _with_answer(piece: Example, place: tuple[int, int] | None, context: str) -> Example:
    """Return the piece with the answer's tokens as labels. If the answer is not in it, the label is the first token."""
    if place is None:
        return replace(piece, label=NO_ANSWER)
    begin, end = place
    inside = [number for number, at in enumerate(piece.offsets) if at and at[0] < end and at[1] > begin]
    if not inside or piece.offsets[inside[0]][0] > begin or piece.offsets[inside[-1]][1] < end:
        return piece
    learned = [inside[0] <= number <= inside[-1] for number in range(len(piece.input_ids))]
    return replace(piece, labels=(inside[0], inside[-1]), learned=learned, label=context[begin:end])


def _answers_in(values: Mapping[str, Any]) -> list[str]:
    return list((values.get("answer") or {"texts": []})["texts"])


def _join(question: str, context: str) -> str:
    return f"{question.strip()}\n\n{context.strip()}"


def _raw_text(cell: Any) -> str | None:
    """Return a text with surrounding spaces, because positions in it count."""
    return cell if isinstance(cell, str) and not cell.isspace() and cell else text_of(cell)
