"""Classification: a text, and the one label of a fixed set that fits it; or several labels; or a score."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from studio.data.columns import SEPARATORS
from studio.data.values import label_name, text_of
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.tasks.base import Encoding, Example, Role, Row, Turn, Usual, Way
from studio.tasks.conversation import parsed

_TEXT = (
    "text", "sentence", "review", "message", "comment", "tweet", "post", "utterance", "content", "body", "document",
    "description", "email", "ticket", "feedback", "query", "question", "request", "title", "headline", "article",
    "subject", "input", "prompt", "note",
)  # fmt: skip
_LABEL = (
    "label name", "label text", "label", "labels", "category", "class", "intent", "sentiment", "topic", "emotion",
    "tag", "target", "rating", "stars", "score", "polarity", "genre", "department", "priority", "severity", "status",
    "type",
)  # fmt: skip


_LABELS = (
    "labels", "tags", "categories", "topics", "classes", "genres", "emotions", "label names", "intents", "label",
    "category",
)  # fmt: skip
_SCORE = ("score", "similarity", "grade", "relevance", "rating", "value", "stars", "label", "target", "mark")
WAYS = {
    "label": Way("labels", "classification", ("accuracy", "macro_f1"), "macro_f1"),
    "labels": Way("labels", "classification", ("macro_f1", "micro_f1", "accuracy"), "macro_f1", judge="several"),
    "score": Way("labels", "classification", ("pearson", "spearman", "mse"), "pearson", judge="scores"),
}
"""What is given to a text → how that is learned and judged."""


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
        Role("labels", "Several labels", "All names that fit, as a list or with commas between them.", False, _LABELS,
             "labels"),
        Role("score", "Score", "A number on a scale, to be told as near as can be.", False, _SCORE, "score"),
        Role("label", "Label", "The one name that fits, from a small set.", True, _LABEL, "label"),
    )  # fmt: skip
    alternatives: tuple[tuple[str, ...], ...] = (("text", "label"), ("text", "labels"), ("text", "score"))
    has_labels = True
    trainer = "classification"
    metrics: tuple[str, ...] = ("accuracy", "macro_f1")
    best_metric = "macro_f1"

    def why_not(self, model: ModelInfo) -> str:
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
        if not values.get("text"):
            return "text"
        told = "labels" if "labels" in values else "score" if "score" in values else "label"
        return told if values.get(told) in (None, "") else ""

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """Token ids of the text, cut at the limit with the tokenizer's own ends, and the label's class number."""
        values = self.values(row, encoding.roles)
        ids, length = _tokens(values.get("text") or "", encoding)
        shown = self.expected(row, encoding.roles)
        wanted = _wanted(given(encoding.roles), values, encoding.label_names)
        return Example(ids, wanted, length, [False] * len(ids), shown)

    def prompt_of(self, row: Row, roles: Mapping[str, str]) -> str:
        """The text."""
        return self.text_of(row, roles)

    def prompt_ids(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[int]:
        """A new text as the model gets it."""
        return _tokens(self.asked(prompt, encoding), encoding)[0]

    def asked(self, prompt: str | Sequence[Turn], encoding: Encoding) -> str:
        """The text."""
        text = prompt if isinstance(prompt, str) else "\n\n".join(str(turn["content"]) for turn in prompt)
        return text.strip()

    def text_in(self, values: Mapping[str, Any]) -> str:
        """The text."""
        return values.get("text") or ""

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
        return " ".join([*names[:1], "{text}", *names[1:]])


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
    """Ids within the limit, and how many there would be without it."""
    tokenizer = encoding.tokenizer
    ids: list[int] = tokenizer(text, verbose=False)["input_ids"]
    length = len(ids)
    if length > encoding.max_length:
        ids = tokenizer(text, truncation=True, max_length=encoding.max_length)["input_ids"]
    return ids, length


__all__ = ["Classification", "label_name"]
