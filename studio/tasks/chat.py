"""Chat: a prompt, optionally with a context, and the reply to learn; or whole conversations."""

from collections.abc import Mapping, Sequence
from typing import Any

from studio.data.values import text_of
from studio.schema.models import ModelInfo
from studio.tasks import column_names, rendering
from studio.tasks.base import Encoding, Example, Role, Row, TaskDefaults, TaskVariant, Turn
from studio.tasks.conversation import (
    TOOLS,
    has_content,
    history_of,
    messages_of,
    tools_of,
    train_last_reply_only,
    unreadable_part,
    without_reasoning,
)
from studio.tasks.text_to_text import conversation_example

PROMPT_NAMES = (
    *"prompt, instruction, instructions, question, query, request, user, human, customer, user message, input, "
    "message, source, text, article, document, dialogue, note, passage, content, title".split(", "),
    *column_names.PROMPT,
)
REPLY_NAMES = (
    *"reply, response, answer, output, completion, assistant, bot, gpt, summary, solution, target, "
    "assistant message, translation, headline, highlights, result".split(", "),
    *column_names.REPLY,
)
CONTEXT_NAMES = tuple(
    "context input note passage document article text background transcript details body dialogue".split()
)


MESSAGES = Role(
    "messages",
    "Conversation",
    "A whole conversation in one cell: a list of messages, each with a role and its content.",
    False,
    ("messages", "conversations", "conversation", "chat", "dialog", "dialogue", "turns"),
    "turns",
)
PROMPT = Role("prompt", "Prompt", "What the user writes.", True, PROMPT_NAMES)
REPLY = Role("reply", "Reply", "What the model should reply.", True, REPLY_NAMES)
CONTEXT = Role(
    "context",
    "Context",
    "A text that the prompt is about. It is placed below the prompt.",
    False,
    CONTEXT_NAMES,
    "passage",
)
SYSTEM = Role(
    "system",
    "System prompt",
    "The instruction to the model before the conversation.",
    False,
    ("system", "system prompt", "system message"),
    beside_turns=True,
)
TOOLS_ROLE = Role(
    "tools",
    "Tools",
    "The functions that the model can call, as a list.",
    False,
    ("tools", "functions", "available tools"),
    "reply",
    beside_turns=True,
)
HISTORY = Role("history", "History", "Earlier messages, as pairs of question and answer.", False, ("history",), "pairs")


class Chat(TaskDefaults):
    """Instruction tuning of a generative model. Only the replies are learned."""

    name = "chat"
    title = "Chat"
    sentence = "Replies to users in your own style."
    term = "Instruction tuning (SFT)"
    sample_in = "Where is my refund?"
    sample_out = "It left us on Monday."
    roles: tuple[Role, ...] = (MESSAGES, PROMPT, REPLY, CONTEXT, SYSTEM, HISTORY, TOOLS_ROLE)
    alternatives: tuple[tuple[str, ...], ...] = (("prompt", "reply"), ("messages",))
    settings: tuple[str, ...] = ("system_prompt", "learn_replies", "thinking")
    example_roles: tuple[str, ...] = ("prompt", "reply")
    example_rows: tuple[tuple[str, ...], ...] = (
        ("Where is my refund?", "It left us on Monday."),
        ("Do you ship to Norway?", "We do, in 4 to 6 days."),
    )
    example_note = "Files with whole conversations are read without changes."
    reads_as = "each row becomes one prompt and one reply."
    prompt_noun = "prompts"
    pipeline_tag = "text-generation"
    labeling = "reply"
    trainer = "sft"
    metrics: tuple[str, ...] = ("loss", "perplexity", "token_accuracy")
    best_metric = "eval_loss"

    def unavailable_reason(self, model: ModelInfo) -> str:
        """Only generative models can reply."""
        if model.kind == "causal":
            return ""
        return "This model can't write replies: it is an encoder, which reads a text and does not continue it."

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """Return cleaned values by role. `messages` is a list of messages with known roles, or None."""
        values: dict[str, Any] = {}
        for column, role in roles.items():
            cell = row.get(column)
            if role == "messages":
                values[role] = messages_of(cell)
            elif role == "history":
                values[role] = history_of(cell) or None
            elif role == "tools":
                values[role] = tools_of(cell)
            else:
                values[role] = text_of(cell)
        return values

    def variant(self, kind: str, roles: Mapping[str, str]) -> TaskVariant:
        """Use a language model that learns the replies."""
        return TaskVariant("text", self.trainer, self.metrics, self.best_metric, templated=True)

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """Return the role that a row lacks. A conversation needs a user message and a reply."""
        if "messages" not in values:
            return next((role for role in ("prompt", "reply") if not values.get(role)), "")
        turns = values["messages"]
        if not turns:
            return "messages"
        roles_with_content = {turn["role"] for turn in turns if has_content(turn)}
        if "assistant" not in roles_with_content:
            return "reply"
        return "" if "user" in roles_with_content else "prompt"

    def unreadable_part(self, cell: Any) -> str:
        """Return the role or the content that can't be read in a conversation."""
        return unreadable_part(cell)

    def turns(self, row: Row, roles: Mapping[str, str], system_prompt: str = "") -> list[dict[str, Any]]:
        """Return the row as a conversation with its replies."""
        values = self.values(row, roles)
        system = values.get("system") or system_prompt
        turns: list[dict[str, Any]] = list(values.get("history") or [])
        if values.get("messages"):
            turns += values["messages"]
        else:
            turns.append({"role": "user", "content": _with_context(values)})
            if values.get("reply"):
                turns.append({"role": "assistant", "content": values["reply"]})
        if system and turns[0]["role"] != "system":
            turns.insert(0, {"role": "system", "content": system})
        if values.get("tools"):
            turns[0] = {**turns[0], TOOLS: values["tools"]}
        return turns

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """Return the token ids of the conversation, truncated to the maximum length. The replies are learned."""
        turns = self.turns(row, encoding.roles, encoding.system_prompt)
        if encoding.thinking == "drop":
            turns = without_reasoning(turns)
        if encoding.learn_replies == "last":
            turns = train_last_reply_only(turns)
        return conversation_example(turns, encoding)

    def prompt_of(self, row: Row, roles: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the messages before the last reply, or all messages of a row without one."""
        turns = self.turns(row, roles)
        replies = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
        return turns[: replies[-1]] if replies else turns

    def prompt_ids(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[int]:
        """Return the token ids of the conversation so far, with the generation prompt."""
        return rendering.prompt_ids(encoding.tokenizer, self.model_input(prompt, encoding))

    def model_input(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[dict[str, Any]]:
        """Return the conversation so far, with the run's system prompt."""
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(turn) for turn in prompt]
        if encoding.system_prompt and turns[0]["role"] != "system":
            turns.insert(0, {"role": "system", "content": encoding.system_prompt})
        return turns

    def text_in(self, values: Mapping[str, Any]) -> str:
        """Return the prompt with its context. For a conversation, return the user messages."""
        if values.get("messages"):
            return "\n\n".join(turn["content"] for turn in values["messages"] if turn["role"] == "user")
        return _with_context(values)

    def expected_in(self, values: Mapping[str, Any]) -> str:
        """Return the reply. For a conversation, return the last one."""
        if values.get("messages"):
            replies = [turn["content"] for turn in values["messages"] if turn["role"] == "assistant"]
            return replies[-1] if replies else ""
        return values.get("reply") or ""

    def template(self, encoding: Encoding) -> str:
        """Return the model's chat template applied to a conversation of role names as placeholders."""
        has_context = "context" in encoding.roles.values()
        turns = [
            {"role": "user", "content": "{prompt}\n\n{context}" if has_context else "{prompt}"},
            {"role": "assistant", "content": "{reply}"},
        ]
        if encoding.system_prompt or "system" in encoding.roles.values():
            turns.insert(0, {"role": "system", "content": encoding.system_prompt or "{system}"})
        return rendering.render(encoding.tokenizer, turns, encoding.training_template)


def _with_context(values: Mapping[str, Any]) -> str:
    """Return prompt and context in the format of Alpaca and LLaMA-Factory."""
    return "\n\n".join(part for part in (values.get("prompt"), values.get("context")) if part)
