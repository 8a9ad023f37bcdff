"""Question answering: a passage and a question; a reading model points at the answer, a writing one says it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from studio.data.values import is_blank, text_of
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.tasks import rendering, text_to_text
from studio.tasks.base import Encoding, Example, Role, Row, Turn, Usual, Way
from studio.tasks.conversation import parsed

_QUESTION = ("question", "query", "questions")
_CONTEXT = ("context", "passage", "paragraph", "document", "article", "contexts")
_ANSWER = ("answers", "answer", "answer text", "answer span", "gold answer")
NOT_FOUND = "answer-not-found"
NO_ANSWER = "no answer"
"""What a writing model says where the passage holds none."""
STRANGE = "the answer does not stand in the passage: nothing is learned of this row"
Answers = dict[str, list[Any]]
"""`texts` and `starts`, as SQuAD has them; both empty where there is no answer."""


class QuestionAnswering(Usual):
    """Answers from a passage."""

    name = "question-answering"
    title = "Answer questions"
    sentence = "Find answers in a text."
    term = "Question answering (extractive, SQuAD; or generative)"
    sample_in = "When does the shop open? · The shop opens at nine, every day but Sunday."
    sample_out = "at nine"
    roles: tuple[Role, ...] = (
        Role("question", "Question", "What is asked.", True, _QUESTION),
        Role("context", "Passage", "The text that holds the answer.", True, _CONTEXT),
        Role(
            "answer",
            "Answer",
            "The words that answer it; in SQuAD's form also where they stand.",
            True,
            _ANSWER,
            "reply",
        ),
    )
    alternatives: tuple[tuple[str, ...], ...] = (("question", "context", "answer"),)
    has_labels = False
    cuts = False
    trainer = "spans"
    metrics: tuple[str, ...] = ("exact_match", "f1")
    best_metric = "f1"

    def unavailable_reason(self, model: ModelInfo) -> str:
        """Models that read can point, models that write can say."""
        return "" if model.kind in ("encoder", "causal", "seq2seq") else "It neither reads texts nor writes them."

    def way(self, kind: str, roles: Mapping[str, str]) -> Way:
        """Point at the answer, or write it."""
        if kind == "encoder":
            return Way("spans", "spans", self.metrics, self.best_metric)
        if kind == "seq2seq":
            return Way("seq2seq", "seq2seq", self.metrics, "eval_loss")
        return Way("text", "sft", self.metrics, "eval_loss", templated=True, judge="written")

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """Question and passage as they are (places in them count), and the answers."""
        values: dict[str, Any] = {}
        for column, role in roles.items():
            cell = row.get(column)
            values[role] = answers_of(cell) if role == "answer" else _as_it_is(cell)
        return values

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """What is missing; an empty list of answers is none of that: the passage holds no answer."""
        return next((role for role in ("question", "context", "answer") if values.get(role) is None), "")

    def inconsistency(self, values: Mapping[str, Any]) -> str:
        """Answers that are said to begin at some letter of the passage, of which none stands in it."""
        return NOT_FOUND if values["answer"]["starts"] and self.answer_not_in_passage(values) else ""

    def answer_not_in_passage(self, values: Mapping[str, Any]) -> bool:
        """Whether there are answers and none stands in the passage: a model that points learns nothing of the row."""
        return bool(values["answer"]["texts"]) and place_of(values["context"], values["answer"]) is None

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """Of a long passage the first piece that holds the answer."""
        pieces = self.examples(row, encoding)
        if not pieces:
            values = self.values(row, encoding.roles)
            pieces = [replace(each, label=STRANGE) for each in windows(values["question"], values["context"], encoding)]
        return next((piece for piece in pieces if any(piece.learned)), pieces[0])

    def examples(self, row: Row, encoding: Encoding) -> list[Example]:
        """All pieces of the passage with the question; none where no answer can be found in it."""
        values = self.values(row, encoding.roles)
        question, context, answers = values["question"] or "", values["context"] or "", values["answer"]
        if encoding.kind != "encoder":
            wanted = answers["texts"][0] if answers["texts"] else NO_ANSWER
            return [text_to_text.example(self.asked(_joined(question, context), encoding), wanted, encoding)]
        place = place_of(context, answers)
        if answers["texts"] and place is None:
            return []
        right = tuple(answers["texts"])
        return [
            replace(_taught(piece, place, context), text=context, accepted=right)
            for piece in windows(question, context, encoding)
        ]

    def prompt_of(self, row: Row, roles: Mapping[str, str]) -> str:
        """The question, and below it the passage."""
        return self.text_of(row, roles)

    def asked(self, prompt: str | Sequence[Turn], encoding: Encoding) -> Any:
        """Question and passage as a pair, as T5 had them, or as a turn; the first paragraph is the question."""
        text = prompt if isinstance(prompt, str) else str(prompt[-1]["content"])
        question, context = text_to_text.parted(text)
        if encoding.kind == "encoder":
            return [question, context]
        told = f"{encoding.instruction}\n\n" if encoding.instruction else ""
        if encoding.kind == "seq2seq":
            return f"{told}question: {question} context: {context}"
        return text_to_text.turns(told + _joined(question, context), encoding)

    def prompt_ids(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[int]:
        """What is asked as the model gets it; of a long passage the first piece."""
        asked = self.asked(prompt, encoding)
        if encoding.kind == "encoder":
            return windows(asked[0], asked[1], encoding)[0].input_ids
        return text_to_text.prompt_ids(asked, encoding)

    def text_in(self, values: Mapping[str, Any]) -> str:
        """The question, and below it the passage."""
        return _joined(values.get("question") or "", values.get("context") or "")

    def expected_in(self, values: Mapping[str, Any]) -> str:
        """The first right answer; empty where there is none."""
        return next(iter(_answers_in(values)), "")

    def accepted(self, row: Row, roles: Mapping[str, str]) -> list[str]:
        """All right answers."""
        return _answers_in(self.values(row, roles))

    def template(self, encoding: Encoding) -> str:
        """How question and passage stand together."""
        asked = self.asked("{question}\n\n{passage}", encoding)
        if encoding.kind == "encoder":
            tokenizer = encoding.tokenizer
            return str(tokenizer.decode(tokenizer(*asked)["input_ids"]))
        if isinstance(asked, str):
            return f"{asked} → {{answer}}"
        reply = {"role": "assistant", "content": "{answer}"}
        return rendering.render(encoding.tokenizer, [*asked, reply], encoding.training_template)


def answers_of(cell: Any) -> Answers | None:
    """The answers of a cell: a text, a list of texts, or SQuAD's texts with their places; None for an empty cell."""
    if isinstance(cell, str) and cell.strip().startswith(("{", "[")):
        read = parsed(cell)
        cell = cell if read is None else read
    if isinstance(cell, dict) and "text" in cell:
        texts, starts = cell["text"], cell.get("answer_start")
        texts = texts if isinstance(texts, list) else [texts]
        starts = starts if isinstance(starts, list) else [starts]
        kept = [
            (text, start)
            for text, start in zip(texts, [*starts, *[None] * len(texts)], strict=False)
            if isinstance(text, str) and text.strip()
        ]
        return {"texts": [text for text, _ in kept], "starts": [start for _, start in kept if isinstance(start, int)]}
    if isinstance(cell, list):
        return {"texts": [text for each in cell if (text := text_of(each))], "starts": []}
    if is_blank(cell):
        return None
    text = text_of(cell)
    return {"texts": [text], "starts": []} if text else None


def place_of(context: str, answers: Answers) -> tuple[int, int] | None:
    """Where the first of the answers that stands in the passage does, as characters; None when none does."""
    places = (_place(context, text, start) for text, start in zip_longest(answers["texts"], answers["starts"]))
    return next((place for place in places if place), None)


def _place(context: str, text: str, start: int | None) -> tuple[int, int] | None:
    """Where an answer stands: where its row says, else the nearest such place."""
    told = start or 0
    if start is not None and context[told : told + len(text)] == text:
        return told, told + len(text)
    places, at = [], context.find(text)
    while at >= 0:
        places.append(at)
        at = context.find(text, at + 1)
    if not places:
        low = context.lower().find(text.lower())
        return (low, low + len(text)) if low >= 0 and len(context.lower()) == len(context) else None
    apart = [at for at in places if not _inside_word(context, at, at + len(text))]
    begin = min(apart or places, key=lambda each: abs(each - told))
    return begin, begin + len(text)


def _inside_word(context: str, begin: int, end: int) -> bool:
    before, after = context[begin - 1 : begin + 1], context[end - 1 : end + 1]
    return (begin > 0 and before.isalnum()) or (end < len(context) and after.isalnum())


def windows(question: str, context: str, encoding: Encoding) -> list[Example]:
    """A passage in pieces that overlap, each after the question; `offsets` says which letters a token stands for."""
    tokenizer, limit = encoding.tokenizer, encoding.max_length
    if not getattr(tokenizer, "is_fast", False):
        raise StudioError(
            "wrong-model",
            "This model's tokenizer does not say which letters a token stands for, so no answer can be pointed at.",
            hint="Choose another model that reads texts.",
        )
    asked = tokenizer(question, add_special_tokens=False, truncation=True, max_length=limit // 2)["input_ids"]
    question = tokenizer.decode(asked) if len(asked) >= limit // 2 else question
    room = limit - len(asked) - tokenizer.num_special_tokens_to_add(pair=True)
    told = tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=limit,
        stride=max(0, min(encoding.stride, room // 2)),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        verbose=False,
    )
    pieces = []
    whole = len(tokenizer(question, context, verbose=False)["input_ids"])
    for number, ids in enumerate(told["input_ids"]):
        parts = told.sequence_ids(number)
        offsets = [
            tuple(place) if part == 1 else None
            for place, part in zip(told["offset_mapping"][number], parts, strict=True)
        ]
        types = told["token_type_ids"][number] if "token_type_ids" in told else []
        pieces.append(Example(ids, (0, 0), whole, [False] * len(ids), goes_on=True, types=types, offsets=offsets))
    return pieces


def _taught(piece: Example, place: tuple[int, int] | None, context: str) -> Example:
    """A piece with the answer marked, where it holds all of it; else with its first token, which stands for none."""
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


def _joined(question: str, context: str) -> str:
    return f"{question.strip()}\n\n{context.strip()}"


def _as_it_is(cell: Any) -> str | None:
    """A text with the space around it, since places in it are counted."""
    return cell if isinstance(cell, str) and not cell.isspace() and cell else text_of(cell)
