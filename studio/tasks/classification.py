"""Classification of a text or a text pair: one label, several labels, or a score."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from studio.data.columns import SEPARATORS
from studio.data.literals import parsed
from studio.data.values import label_name, text_of
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.tasks import column_names
from studio.tasks.base import Encoding, Example, Role, Row, TaskDefaults, TaskVariant, Turn
from studio.tasks.text_to_text import split_pair

_TEXT = (
    *"text, sentence, review, message, comment, tweet, post, utterance, content, body, document, description, "
    "email, ticket, feedback, query, question, request, title, headline, article, subject, input, prompt, note, "
    "premise, sentence1, sentence 1, question1, question 1, text1, text 1, sentence a, text a".split(", "),
    *column_names.TEXT,
)
_SECOND = tuple(
    "hypothesis, sentence2, sentence 2, question2, question 2, text2, text 2, sentence b, text b, second text, "
    "passage".split(", ")
)
_SECOND_BESIDE = (("sentence", "question"),)
"""Name of a second text → name of the first text beside it, as in GLUE's QNLI. Alone it is the first text."""
_LABEL_BESIDE = (("answer", "passage"),)
"""Name of a label → name of the second text beside it, as in BoolQ. Values other than yes and no are answers."""
_LABEL = (
    *"gold label, label name, label text, label, labels, category, class, intent, sentiment, topic, emotion, tag, "
    "target, rating, stars, score, polarity, genre, department, priority, severity, status, type".split(", "),
    *column_names.LABEL,
)


_LABELS = tuple(
    "labels, tags, categories, topics, classes, genres, emotions, label names, intents, label, category".split(", ")
)
_SCORE = ("score", "similarity", "grade", "relevance", "rating", "value", "stars", "label", "target", "mark")
VARIANTS = {
    "label": TaskVariant("labels", "classification", ("accuracy", "macro_f1"), "macro_f1", loss="labels"),
    "labels": TaskVariant(
        "labels", "classification", ("macro_f1", "micro_f1", "accuracy"), "macro_f1", judge="multilabel", loss="labels"
    ),
    "score": TaskVariant(
        "labels", "classification", ("pearson", "spearman", "mse"), "pearson", judge="regression", loss="labels"
    ),
}
"""Kind of label → how it is learned and evaluated."""


_EMPTY_LINES = re.compile(r"\n\s*\n")


class Classification(TaskDefaults):
    """Assigns labels to texts, with an encoder or a generative model."""

    name = "classification"
    title = "Classify text"
    sentence = "Assigns labels to texts."
    term = "Sequence classification"
    sample_in = "The lid cracked on day two."
    sample_out = "negative"
    roles: tuple[Role, ...] = (
        Role("text", "Text", "The text to classify.", True, _TEXT),
        Role(
            "second",
            "Second text",
            "Read together with the first text, if the label is about both.",
            False,
            _SECOND,
            beside=_SECOND_BESIDE,
        ),
        Role(
            "labels",
            "Several labels",
            "All labels that apply, as a list or separated by commas.",
            False,
            _LABELS,
            "labels",
        ),
        Role("score", "Score", "A number that the model should predict (regression).", False, _SCORE, "score"),
        Role(
            "label",
            "Label",
            "The one label that applies, from a small set.",
            True,
            _LABEL,
            "label",
            beside=_LABEL_BESIDE,
        ),
    )
    alternatives: tuple[tuple[str, ...], ...] = (("text", "label"), ("text", "labels"), ("text", "score"))
    has_labels = True
    settings: tuple[str, ...] = ("head_first", "label_smoothing", "balance_labels")
    example_roles: tuple[str, ...] = ("text", "label")
    example_rows: tuple[tuple[str, ...], ...] = (
        ("Arrived late and the box was open.", "negative"),
        ("Does what it says.", "positive"),
    )
    reads_as = "each row is a text, or a pair of texts, with its label."
    chat_hint = "The base model has not learned these labels. It guesses from the most similar training rows."
    pipeline_tag = "text-classification"
    labeling = "label"
    trainer = "classification"
    metrics: tuple[str, ...] = ("accuracy", "macro_f1")
    best_metric = "macro_f1"

    def unavailable_reason(self, model: ModelInfo) -> str:
        """Encoders and generative models can classify."""
        if model.kind in ("encoder", "causal"):
            return ""
        return "This model can't classify texts. Choose an encoder or a generative (decoder) model."

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """Return the text and the label's name."""
        return {role: READ.get(role, text_of)(row.get(column)) for column, role in roles.items()}

    def variant(self, kind: str, roles: Mapping[str, str]) -> TaskVariant:
        """Train a classification head on top of the model."""
        return VARIANTS[label_role(roles)]

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """Return the role that a row lacks."""
        for text in ("text", "second"):
            if not values.get(text) and (text == "text" or text in values):
                return text
        role = "labels" if "labels" in values else "score" if "score" in values else "label"
        return role if values.get(role) in (None, "") else ""

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """Return the token ids of the text, truncated to the maximum length, and the label's class number."""
        values = self.values(row, encoding.roles)
        ids, length = _tokens(self.text_in(values), encoding)
        expected = self.expected(row, encoding.roles)
        target = _target(label_role(encoding.roles), values, encoding.label_names)
        return Example(ids, target, length, [False] * len(ids), expected, types=self.types_of(ids, encoding))

    def types_of(self, ids: Sequence[int], encoding: Encoding) -> list[int]:
        """Return token type ids for text pairs: 0 up to the end of the first text, then 1. Empty for other models."""
        if not _is_text_pair(encoding) or not _marks_second(encoding.tokenizer):
            return []
        return _types_by_separator(ids, encoding.tokenizer.sep_token_id)

    def prompt_ids(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[int]:
        """Return the token ids of a new text."""
        return _tokens(_as_text(prompt), encoding)[0]

    def model_input(self, prompt: str | Sequence[Turn], encoding: Encoding) -> Any:
        """Return the text, or both texts of a pair for an encoder."""
        text = _as_text(prompt)
        return list(split_pair(text)) if _is_text_pair(encoding) else text

    def text_in(self, values: Mapping[str, Any]) -> str:
        """Return the text. For a pair, the second text follows after an empty line; empty lines in the first are
        removed."""
        text = values.get("text") or ""
        if "second" not in values:
            return text
        return f"{_EMPTY_LINES.sub(chr(10), text.strip())}\n\n{(values['second'] or '').strip()}"

    def expected_in(self, values: Mapping[str, Any]) -> str:
        """Return the label's name, all names, or the score."""
        if "labels" in values:
            return ", ".join(values["labels"] or ())
        if "score" in values:
            return "" if values["score"] is None else f"{values['score']:g}"
        return str(values.get("label") or "")

    def template(self, encoding: Encoding) -> str:
        """Return the special tokens around the text."""
        tokenizer = encoding.tokenizer
        names = tokenizer.convert_ids_to_tokens(tokenizer("")["input_ids"])
        if _is_text_pair(encoding):
            return " ".join([*names[:1], "{text}", *names[1:], "{second text}", *names[1:]])
        second = "\n\n{second text}" if "second" in encoding.roles.values() else ""
        return " ".join([*names[:1], f"{{text}}{second}", *names[1:]])


def label_role(roles: Mapping[str, str]) -> str:
    """Return which role holds the labels: `label`, `labels` or `score`."""
    return next((role for role in ("labels", "score") if role in roles.values()), "label")


def labels_in(cell: Any) -> list[str] | None:
    """Return the labels in a cell: a list, its JSON, or names with a separator. None for an empty cell."""
    if isinstance(cell, str):
        if cell.strip().startswith("["):
            return labels_in(parsed(cell))
        cell = next((cell.split(sign) for sign in SEPARATORS if sign in cell), [cell] if cell.strip() else None)
    if isinstance(cell, list):
        return list(dict.fromkeys(name for each in cell if (name := label_name(each))))
    name = label_name(cell)
    return [name] if name else None


def score_in(cell: Any) -> float | None:
    """Return the number in a cell, or None."""
    if isinstance(cell, bool) or cell is None:
        return None
    try:
        number = float(cell.strip().replace(",", ".") if isinstance(cell, str) else cell)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


READ: Mapping[str, Any] = {"label": lambda cell: label_name(cell) or None, "labels": labels_in, "score": score_in}
"""Role → function that reads its cells. Other roles are texts."""


def _target(kind: str, values: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the class number, a 0/1 value for each label, or the score. Raise `StudioError` for an unknown label."""
    value = values.get(kind)
    if kind == "score":
        return value
    unknown = [name for name in ([value] if kind == "label" else value or []) if name not in names]
    if unknown or value is None:
        raise StudioError(
            "unknown-name",
            f"The label {unknown[0]} does not exist." if unknown and unknown[0] else "The row has no label.",
            valid=list(names),
            hint="Use one of the labels that the run was trained on.",
        )
    return names.index(value) if kind == "label" else tuple(float(name in value) for name in names)


def _tokens(text: str, encoding: Encoding) -> tuple[list[int], int]:
    """Return the truncated token ids, and the number of tokens before. For a pair, the longer text is truncated."""
    tokenizer = encoding.tokenizer
    texts = split_pair(text) if _is_text_pair(encoding) else (text,)
    ids: list[int] = tokenizer(*texts, verbose=False)["input_ids"]
    length = len(ids)
    if length > encoding.max_length:
        ids = tokenizer(*texts, truncation=True, max_length=encoding.max_length)["input_ids"]
    return ids, length


def _as_text(prompt: str | Sequence[Turn]) -> str:
    text = prompt if isinstance(prompt, str) else "\n\n".join(str(turn["content"]) for turn in prompt)
    return text.strip()


def _is_text_pair(encoding: Encoding) -> bool:
    """Return whether the model gets two texts as a pair. A generative model gets an empty line between them."""
    return encoding.kind == "encoder" and "second" in encoding.roles.values()


@lru_cache(maxsize=8)
def _marks_second(tokenizer: Any) -> bool:
    """Return whether the tokenizer gives type 1 to the tokens after the first separator, and 0 to those before."""
    encoded = tokenizer("a", "b")
    return bool(encoded.get("token_type_ids") == _types_by_separator(encoded["input_ids"], tokenizer.sep_token_id))


def _types_by_separator(ids: Sequence[int], end: int | None) -> list[int]:
    first = ids.index(end) + 1 if end in ids else len(ids)
    return [int(place >= first) for place in range(len(ids))]


__all__ = ["Classification", "label_name"]
