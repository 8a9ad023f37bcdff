"""Completion: plain text for continued pretraining. There is no prompt and no template."""

from collections.abc import Mapping, Sequence
from typing import Any

from studio.data.values import text_of
from studio.schema.models import ModelInfo
from studio.tasks.base import Encoding, Example, Role, Row, TaskDefaults, TaskVariant, Turn

_TEXT = ("text", "content", "document", "body", "article", "story", "passage", "page", "markdown", "code")
OPENING = 60
"""Number of words (at most half of a document) that both models continue when they are compared."""


class Completion(TaskDefaults):
    """Continued pretraining on plain text. Every token is learned, in pieces of the maximum length."""

    name = "completion"
    title = "Continue text"
    sentence = "Continues texts in your style."
    term = "Continued pretraining (causal language modeling)"
    sample_in = "Once the tide had turned,"
    sample_out = "the boats came in one by one."
    roles: tuple[Role, ...] = (
        Role("text", "Text", "A document, or a part of one. The model learns all of it.", True, _TEXT, "alone"),
    )
    alternatives: tuple[tuple[str, ...], ...] = (("text",),)
    settings: tuple[str, ...] = ("packing",)
    example_roles: tuple[str, ...] = ("text",)
    example_rows: tuple[tuple[str, ...], ...] = (
        ("A chapter, a page, a diary entry …",),
        ("… one per row, of any length.",),
    )
    reads_as = "each row is a text. The model learns all of it."
    chat_hint = "Write the beginning of a text. Both models continue it."
    pipeline_tag = "text-generation"
    cuts = False
    packs = True
    trainer = "sft"
    metrics: tuple[str, ...] = ("perplexity", "token_accuracy")
    best_metric = "eval_loss"

    def unavailable_reason(self, model: ModelInfo) -> str:
        """Only generative models can learn to continue texts."""
        if model.kind == "causal":
            return ""
        return "This model can't continue a text: it is not a generative (decoder) model."

    def variant(self, kind: str, roles: Mapping[str, str]) -> TaskVariant:
        """Use a language model that learns every token."""
        return TaskVariant("text", self.trainer, self.metrics, self.best_metric)

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """Return the text."""
        return {role: text_of(row.get(column)) for column, role in roles.items()}

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """Return "text" if the text is empty."""
        return "" if values.get("text") else "text"

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """Return the first piece of the document."""
        return self.examples(row, encoding)[0]

    def examples(self, row: Row, encoding: Encoding) -> list[Example]:
        """Return the whole document in pieces, with the model's own begin and end tokens, so that it learns to stop."""
        ids = self.prompt_ids(self.text_of(row, encoding.roles), encoding)
        end = encoding.tokenizer.eos_token_id
        if end is not None:
            ids.append(end)
        size = encoding.max_length
        return [
            Example(ids[at : at + size], ids[at : at + size], len(ids), [True] * len(ids[at : at + size]), goes_on=True)
            for at in range(0, len(ids), size)
        ]

    def comparison_prompt(self, row: Row, roles: Mapping[str, str]) -> str:
        """Return the first words of the text."""
        return _split_opening(self.text_of(row, roles))[0]

    def model_input(self, prompt: str | Sequence[Turn], encoding: Encoding) -> str:
        """Return the text unchanged. Messages are concatenated."""
        return prompt if isinstance(prompt, str) else "".join(str(turn["content"]) for turn in prompt)

    def prompt_ids(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[int]:
        """Return the token ids of a text to continue, with the begin token and without the end token."""
        tokenizer = encoding.tokenizer
        ids: list[int] = list(tokenizer(self.model_input(prompt, encoding), verbose=False)["input_ids"])
        while ids and ids[-1] == tokenizer.eos_token_id:
            ids.pop()
        return ids or [tokenizer.bos_token_id or tokenizer.eos_token_id or 0]

    def text_in(self, values: Mapping[str, Any]) -> str:
        """Return the text."""
        return values.get("text") or ""

    def expected_in(self, values: Mapping[str, Any]) -> str:
        """Return the text after its first words."""
        return _split_opening(self.text_in(values))[1]

    def template(self, encoding: Encoding) -> str:
        """Return the begin token, the text, and the end token."""
        tokenizer = encoding.tokenizer
        begin = tokenizer.convert_ids_to_tokens([i for i in tokenizer("")["input_ids"] if i != tokenizer.eos_token_id])
        return "".join([*begin, "{text}", tokenizer.eos_token or ""])


def _split_opening(text: str) -> tuple[str, str]:
    """Return the opening of a text, and the rest."""
    words = text.split(" ")
    head = " ".join(words[: max(1, min(OPENING, len(words) // 2))])
    return head, text[len(head) :].strip()
