"""Summarization and translation: a text in, a text out, by an encoder–decoder or a generative model."""

from collections.abc import Mapping, Sequence
from typing import Any

from studio.data.values import text_of
from studio.schema.models import ModelInfo
from studio.tasks import text_to_text
from studio.tasks.base import Encoding, Example, Role, Row, TaskDefaults, TaskVariant, Turn

_TEXT = tuple(
    "document, article, dialogue, transcript, story, report, passage, body, long text, source text, source, text, "
    "content".split(", ")
)
_SUMMARY = ("summary", "highlights", "tldr", "tl dr", "abstract", "headline", "gist", "short", "summaries")
_TRANSLATION = ("translation", "translated", "target text", "translated text")
INSTRUCTIONS = {"summary": "Summarize this text.", "translation": "Translate this text."}
PREFIX = {"summary": "summarize: ", "translation": ""}
"""Prefixes that T5 was trained with."""


class Summarization(TaskDefaults):
    """Text to text. The output is compared with texts that people wrote."""

    name = "summarization"
    title = "Summarize"
    sentence = "Shortens long texts, or translates them."
    term = "Summarization and translation (sequence-to-sequence)"
    sample_in = "Spoke with Mrs Adeyemi, order is late, she needs it before Friday. Offered express at no cost …"
    sample_out = "Late order: express agreed, courier tomorrow."
    roles: tuple[Role, ...] = (
        Role("text", "Text", "The text to summarize or translate.", True, _TEXT),
        Role("summary", "Summary", "The summary that the model should write.", True, _SUMMARY),
        Role(
            "translation",
            "Translation",
            "The translation that the model should write, instead of a summary.",
            False,
            _TRANSLATION,
        ),
    )
    alternatives: tuple[tuple[str, ...], ...] = (("text", "summary"), ("text", "translation"))
    settings: tuple[str, ...] = ("system_prompt", "instruction", "answer_length")
    example_roles: tuple[str, ...] = ("text", "summary")
    example_rows: tuple[tuple[str, ...], ...] = (
        ("Spoke with Mrs Adeyemi, her order is late …", "Late order: courier tomorrow."),
        ("A long letter", "A line"),
    )
    reads_as = "each row is a text with its summary or translation."
    chat_hint = "Paste a text. Both models write its summary or translation."
    pipeline_tag = "summarization"
    trainer = "seq2seq"
    metrics: tuple[str, ...] = ("rouge1", "rouge2", "rougeL")
    best_metric = "eval_loss"

    def unavailable_reason(self, model: ModelInfo) -> str:
        """Models that generate text can do it."""
        if model.kind in ("causal", "seq2seq"):
            return ""
        return "This model can't write summaries: it is an encoder, which does not write texts."

    def variant(self, kind: str, roles: Mapping[str, str]) -> TaskVariant:
        """Use an encoder–decoder, or a generative model with a prompt. Translations have other metrics."""
        metrics = ("bleu", "chrf") if "translation" in roles.values() else self.metrics
        if kind == "seq2seq":
            return TaskVariant("seq2seq", "seq2seq", metrics, self.best_metric)
        return TaskVariant("text", "sft", metrics, "eval_loss", templated=True, judge="generation")

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """Return both texts."""
        return {role: text_of(row.get(column)) for column, role in roles.items()}

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """Return the role that a row lacks: the text, or the output."""
        target = _target(roles)
        return "" if values.get("text") and values.get(target) else target if values.get("text") else "text"

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """Return the text, and the tokens of the output."""
        values, target = self.values(row, encoding.roles), _target(encoding.roles)
        text, output = values.get("text") or "", values.get(target) or ""
        return text_to_text.example(self.model_input(text, encoding), output, encoding)

    def model_input(self, prompt: str | Sequence[Turn], encoding: Encoding) -> Any:
        """Return the text after the instruction, as one text or as messages for the chat template."""
        text = prompt if isinstance(prompt, str) else str(prompt[-1]["content"])
        target = _target(encoding.roles)
        if encoding.kind == "seq2seq":
            instruction = f"{encoding.instruction} " if encoding.instruction else ""
            return (instruction or (PREFIX[target] if encoding.architecture.startswith("T5") else "")) + text.strip()
        return text_to_text.as_messages(f"{encoding.instruction or INSTRUCTIONS[target]}\n\n{text.strip()}", encoding)

    def prompt_ids(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[int]:
        """Return the token ids of a new text."""
        return text_to_text.prompt_ids(self.model_input(prompt, encoding), encoding)

    def text_in(self, values: Mapping[str, Any]) -> str:
        """Return the text."""
        return values.get("text") or ""

    def expected_in(self, values: Mapping[str, Any]) -> str:
        """Return the summary or the translation."""
        return values.get("translation" if "translation" in values else "summary") or ""

    def template(self, encoding: Encoding) -> str:
        """Return how the text is formatted."""
        return text_to_text.template(self.model_input("{text}", encoding), _target(encoding.roles), encoding)


def _target(roles: Mapping[str, str]) -> str:
    return "translation" if "translation" in roles.values() else "summary"
