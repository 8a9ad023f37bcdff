"""Completion: plain text that a model learns to go on with; nothing is asked and nothing is framed."""

from collections.abc import Mapping, Sequence
from typing import Any

from studio.data.values import text_of
from studio.schema.models import ModelInfo
from studio.tasks.base import Encoding, Example, Role, Row, Turn, Usual, Way

_TEXT = ("text", "content", "document", "body", "article", "story", "passage", "page", "markdown", "code")
OPENING = 60
"""Words of a document, at most half of them, after which both models go on when they are compared."""


class Completion(Usual):
    """Further training on plain text: every token is learned, in pieces as long as the longest row."""

    name = "completion"
    title = "Continue text"
    sentence = "Go on in the style of your texts."
    term = "Continued pre-training (causal language modelling)"
    sample_in = "Once the tide had turned,"
    sample_out = "the boats came in one by one."
    roles: tuple[Role, ...] = (
        Role("text", "Text", "A document, or a piece of one; all of it is learned.", True, _TEXT, "alone"),
    )
    alternatives: tuple[tuple[str, ...], ...] = (("text",),)
    has_labels = False
    cuts = False
    packs = True
    trainer = "sft"
    metrics: tuple[str, ...] = ("perplexity", "token_accuracy")
    best_metric = "eval_loss"

    def unavailable_reason(self, model: ModelInfo) -> str:
        """Only models that continue a text can learn to."""
        if model.kind == "causal":
            return ""
        return "It can't go on with a text: it reads a text as a whole and does not continue it."

    def way(self, kind: str, roles: Mapping[str, str]) -> Way:
        """A language model learns every token."""
        return Way("text", self.trainer, self.metrics, self.best_metric)

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """The text."""
        return {role: text_of(row.get(column)) for column, role in roles.items()}

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """The text, when it is empty."""
        return "" if values.get("text") else "text"

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """The document's first piece."""
        return self.examples(row, encoding)[0]

    def examples(self, row: Row, encoding: Encoding) -> list[Example]:
        """The whole document in pieces: begun and ended by the model's own marks, so that it learns where to stop."""
        ids = self.prompt_ids(self.text_of(row, encoding.roles), encoding)
        end = encoding.tokenizer.eos_token_id
        if end is not None:
            ids.append(end)
        size = encoding.max_length
        return [
            Example(ids[at : at + size], ids[at : at + size], len(ids), [True] * len(ids[at : at + size]), goes_on=True)
            for at in range(0, len(ids), size)
        ]

    def prompt_of(self, row: Row, roles: Mapping[str, str]) -> str:
        """The text, to be gone on with."""
        return self.text_of(row, roles)

    def opening(self, row: Row, roles: Mapping[str, str]) -> str:
        """Its first words."""
        return _parted(self.text_of(row, roles))[0]

    def asked(self, prompt: str | Sequence[Turn], encoding: Encoding) -> str:
        """The text as it is; what was said so far stands one after the other."""
        return prompt if isinstance(prompt, str) else "".join(str(turn["content"]) for turn in prompt)

    def prompt_ids(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[int]:
        """A text to go on with: with the tokenizer's own beginning, without an end."""
        tokenizer = encoding.tokenizer
        ids: list[int] = list(tokenizer(self.asked(prompt, encoding), verbose=False)["input_ids"])
        while ids and ids[-1] == tokenizer.eos_token_id:
            ids.pop()
        return ids or [tokenizer.bos_token_id or tokenizer.eos_token_id or 0]

    def text_in(self, values: Mapping[str, Any]) -> str:
        """The text."""
        return values.get("text") or ""

    def expected_in(self, values: Mapping[str, Any]) -> str:
        """How it goes on after its first words."""
        return _parted(self.text_in(values))[1]

    def template(self, encoding: Encoding) -> str:
        """The tokenizer's own beginning, the text, and the mark of its end."""
        tokenizer = encoding.tokenizer
        begin = tokenizer.convert_ids_to_tokens([i for i in tokenizer("")["input_ids"] if i != tokenizer.eos_token_id])
        return "".join([*begin, "{text}", tokenizer.eos_token or ""])


def _parted(text: str) -> tuple[str, str]:
    """The opening of a text, and the rest."""
    words = text.split(" ")
    head = " ".join(words[: max(1, min(OPENING, len(words) // 2))])
    return head, text[len(head) :].strip()
