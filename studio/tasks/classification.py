"""Classification: a text, or two beside each other, and the one label that fits; or several labels; or a score."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from studio.data.columns import SEPARATORS
from studio.data.values import label_name, text_of
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.tasks.base import Encoding, Example, Role, Row, Turn, Usual, Way
from studio.tasks.conversation import parsed
from studio.tasks.text_to_text import parted

_TEXT = (
    "text",
    "sentence",
    "review",
    "message",
    "comment",
    "tweet",
    "post",
    "utterance",
    "content",
    "body",
    "document",
    "description",
    "email",
    "ticket",
    "feedback",
    "query",
    "question",
    "request",
    "title",
    "headline",
    "article",
    "subject",
    "input",
    "prompt",
    "note",
    "premise",
    "sentence1",
    "sentence 1",
    "question1",
    "question 1",
    "text1",
    "text 1",
    "sentence a",
    "text a",
)
_SECOND = (
    "hypothesis",
    "sentence2",
    "sentence 2",
    "question2",
    "question 2",
    "text2",
    "text 2",
    "sentence b",
    "text b",
    "second text",
    "passage",
)
_LABEL = (
    "label name",
    "label text",
    "label",
    "labels",
    "category",
    "class",
    "intent",
    "sentiment",
    "topic",
    "emotion",
    "tag",
    "target",
    "rating",
    "stars",
    "score",
    "polarity",
    "genre",
    "department",
    "priority",
    "severity",
    "status",
    "type",
)


_LABELS = (
    "labels",
    "tags",
    "categories",
    "topics",
    "classes",
    "genres",
    "emotions",
    "label names",
    "intents",
    "label",
    "category",
)
_SCORE = ("score", "similarity", "grade", "relevance", "rating", "value", "stars", "label", "target", "mark")
WAYS = {
    "label": Way("labels", "classification", ("accuracy", "macro_f1"), "macro_f1"),
    "labels": Way("labels", "classification", ("macro_f1", "micro_f1", "accuracy"), "macro_f1", judge="several"),
    "score": Way("labels", "classification", ("pearson", "spearman", "mse"), "pearson", judge="scores"),
}
"""What is given to a text → how that is learned and judged."""


_EMPTY_LINES = re.compile(r"\n\s*\n")


class Classification(Usual):
    """Sorting texts under labels, with a model that reads or one that writes."""

    name = "classification"
    title = "Classify text"
    sentence = "Sort texts under labels."
    term = "Sequence classification"
    sample_in = "The lid cracked on day two."
    sample_out = "negative"
    roles: tuple[Role, ...] = (
        Role("text", "Text", "What is to be sorted.", True, _TEXT),
        Role(
            "second",
            "Second text",
            "What is read beside it, where the label says how two texts go together.",
            False,
            _SECOND,
        ),
        Role(
            "labels",
            "Several labels",
            "All names that fit, as a list or with commas between them.",
            False,
            _LABELS,
            "labels",
        ),
        Role("score", "Score", "A number on a scale, to be told as near as can be.", False, _SCORE, "score"),
        Role("label", "Label", "The one name that fits, from a small set.", True, _LABEL, "label"),
    )
    alternatives: tuple[tuple[str, ...], ...] = (("text", "label"), ("text", "labels"), ("text", "score"))
    has_labels = True
    trainer = "classification"
    metrics: tuple[str, ...] = ("accuracy", "macro_f1")
    best_metric = "macro_f1"

    def unavailable_reason(self, model: ModelInfo) -> str:
        """Models that read and models that write can both sort."""
        if model.kind in ("encoder", "causal"):
            return ""
        return (
            "It can't sort texts: only models that read a text as a whole, or write one, get a layer for labels here."
        )

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """The text, and the label's name."""
        values: dict[str, Any] = {}
        for column, role in roles.items():
            cell = row.get(column)
            values[role] = READ.get(role, text_of)(cell)
        return values

    def way(self, kind: str, roles: Mapping[str, str]) -> Way:
        """A layer for labels learns on top of the model."""
        return WAYS[given(roles)]

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """The role that a row lacks."""
        for text in ("text", "second"):
            if not values.get(text) and (text == "text" or text in values):
                return text
        told = "labels" if "labels" in values else "score" if "score" in values else "label"
        return told if values.get(told) in (None, "") else ""

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """Token ids of the text, cut at the limit with the tokenizer's own ends, and the label's class number."""
        values = self.values(row, encoding.roles)
        ids, length = _tokens(self.text_in(values), encoding)
        shown = self.expected(row, encoding.roles)
        wanted = _wanted(given(encoding.roles), values, encoding.label_names)
        return Example(ids, wanted, length, [False] * len(ids), shown, types=self.types_of(ids, encoding))

    def types_of(self, ids: Sequence[int], encoding: Encoding) -> list[int]:
        """Of two texts, which each token is of, for models that are told: 0 up to the first text's end, then 1."""
        if not _apart(encoding) or not _marks_second(encoding.tokenizer):
            return []
        return _by_end(ids, encoding.tokenizer.sep_token_id)

    def prompt_of(self, row: Row, roles: Mapping[str, str]) -> str:
        """The text; of two the second below an empty line."""
        return self.text_of(row, roles)

    def prompt_ids(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[int]:
        """A new text as the model gets it."""
        return _tokens(_written(prompt), encoding)[0]

    def asked(self, prompt: str | Sequence[Turn], encoding: Encoding) -> Any:
        """The text; of two, for a model that reads, both."""
        text = _written(prompt)
        return list(parted(text)) if _apart(encoding) else text

    def text_in(self, values: Mapping[str, Any]) -> str:
        """The text; of two the second below an empty line, of which the first then holds none."""
        text = values.get("text") or ""
        if "second" not in values:
            return text
        return f"{_EMPTY_LINES.sub(chr(10), text.strip())}\n\n{(values['second'] or '').strip()}"

    def expected_in(self, values: Mapping[str, Any]) -> str:
        """The label's name, all names, or the score."""
        if "labels" in values:
            return ", ".join(values["labels"] or ())
        if "score" in values:
            return "" if values["score"] is None else f"{values['score']:g}"
        return str(values.get("label") or "")

    def template(self, encoding: Encoding) -> str:
        """The tokenizer's own ends around the text."""
        tokenizer = encoding.tokenizer
        names = tokenizer.convert_ids_to_tokens(tokenizer("")["input_ids"])
        if _apart(encoding):
            return " ".join([*names[:1], "{text}", *names[1:], "{second text}", *names[1:]])
        second = "\n\n{second text}" if "second" in encoding.roles.values() else ""
        return " ".join([*names[:1], f"{{text}}{second}", *names[1:]])


def given(roles: Mapping[str, str]) -> str:
    """What the rows give to a text: `label`, `labels` or `score`."""
    return next((role for role in ("labels", "score") if role in roles.values()), "label")


def labels_in(cell: Any) -> list[str] | None:
    """Several labels of a cell: a list, its JSON, or names with a separator between them; None for an empty cell."""
    if isinstance(cell, str):
        if cell.strip().startswith("["):
            return labels_in(parsed(cell))
        cell = next((cell.split(sign) for sign in SEPARATORS if sign in cell), [cell] if cell.strip() else None)
    if isinstance(cell, list):
        return list(dict.fromkeys(name for each in cell if (name := label_name(each))))
    name = label_name(cell)
    return [name] if name else None


def score_in(cell: Any) -> float | None:
    """A number; None where there is none."""
    if isinstance(cell, bool) or cell is None:
        return None
    try:
        number = float(cell.strip().replace(",", ".") if isinstance(cell, str) else cell)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


READ: Mapping[str, Any] = {"label": lambda cell: label_name(cell) or None, "labels": labels_in, "score": score_in}
"""Role → how its cells are read; those of other roles are texts."""


def _wanted(told: str, values: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The class number; a 1 for each label that fits and a 0 for each that does not; or the score."""
    found = values.get(told)
    if told == "score":
        return found
    unknown = [name for name in ([found] if told == "label" else found or []) if name not in names]
    if unknown or found is None:
        raise StudioError(
            "unknown-name",
            f"The label {unknown[0]} does not exist." if unknown and unknown[0] else "The row has no label.",
            valid=list(names),
            hint="Only labels that training saw can be told apart.",
        )
    return names.index(found) if told == "label" else tuple(float(name in found) for name in names)


def _tokens(text: str, encoding: Encoding) -> tuple[list[int], int]:
    """Ids within the limit, and how many there would be without it. Of two texts the longer one is cut."""
    tokenizer = encoding.tokenizer
    texts = parted(text) if _apart(encoding) else (text,)
    ids: list[int] = tokenizer(*texts, verbose=False)["input_ids"]
    length = len(ids)
    if length > encoding.max_length:
        ids = tokenizer(*texts, truncation=True, max_length=encoding.max_length)["input_ids"]
    return ids, length


def _written(prompt: str | Sequence[Turn]) -> str:
    text = prompt if isinstance(prompt, str) else "\n\n".join(str(turn["content"]) for turn in prompt)
    return text.strip()


def _apart(encoding: Encoding) -> bool:
    """Whether a model gets two texts with its own sign between them; one that writes gets an empty line."""
    return encoding.kind == "encoder" and "second" in encoding.roles.values()


@lru_cache(maxsize=8)
def _marks_second(tokenizer: Any) -> bool:
    """Whether what follows the first text's end is of type 1 to a tokenizer, and all before of type 0."""
    told = tokenizer("a", "b")
    return bool(told.get("token_type_ids") == _by_end(told["input_ids"], tokenizer.sep_token_id))


def _by_end(ids: Sequence[int], end: int | None) -> list[int]:
    first = ids.index(end) + 1 if end in ids else len(ids)
    return [int(place >= first) for place in range(len(ids))]


__all__ = ["Classification", "label_name"]
