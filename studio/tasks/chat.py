"""Chat: a prompt, perhaps with a context, and the reply to learn; or whole conversations."""

from collections.abc import Mapping, Sequence
from typing import Any

from studio.data.values import text_of
from studio.schema.models import ModelInfo
from studio.tasks import rendering
from studio.tasks.base import NOT_LEARNED, Encoding, Example, Role, Row, Turn, Usual, Way
from studio.tasks.conversation import TOOLS, history_of, last_learned, says, tools_of, turns_of, without_thoughts

PROMPT_NAMES = (
    "prompt",
    "instruction",
    "instructions",
    "question",
    "query",
    "request",
    "user",
    "human",
    "customer",
    "user message",
    "input",
    "message",
    "source",
    "text",
    "article",
    "document",
    "dialogue",
    "note",
    "passage",
    "content",
    "title",
)
REPLY_NAMES = (
    "reply",
    "response",
    "answer",
    "output",
    "completion",
    "assistant",
    "bot",
    "gpt",
    "summary",
    "solution",
    "target",
    "assistant message",
    "translation",
    "headline",
    "highlights",
    "result",
)
CONTEXT_NAMES = (
    "context",
    "input",
    "note",
    "passage",
    "document",
    "article",
    "text",
    "background",
    "transcript",
    "details",
    "body",
    "dialogue",
)


MESSAGES = Role(
    "messages",
    "Conversation",
    "A whole conversation in one cell: a list of turns, each with a role and its content.",
    False,
    ("messages", "conversations", "conversation", "chat", "dialog", "dialogue", "turns"),
    "turns",
)
PROMPT = Role("prompt", "Prompt", "What a person asks or says.", True, PROMPT_NAMES)
REPLY = Role("reply", "Reply", "What the model should answer.", True, REPLY_NAMES)
CONTEXT = Role(
    "context",
    "Context",
    "A text that the prompt is about; it is put below the prompt.",
    False,
    CONTEXT_NAMES,
    "passage",
)
SYSTEM = Role(
    "system",
    "System prompt",
    "What the model is told before the conversation.",
    False,
    ("system", "system prompt", "system message"),
    beside_turns=True,
)
TOOLS_ROLE = Role(
    "tools",
    "Tools",
    "What the model may call, as a list of functions.",
    False,
    ("tools", "functions", "available tools"),
    "reply",
    beside_turns=True,
)
HISTORY = Role("history", "History", "Earlier turns, as pairs of question and answer.", False, ("history",), "pairs")


class Chat(Usual):
    """Instruction tuning of a model that writes text; only the replies are learned."""

    name = "chat"
    title = "Chat"
    sentence = "Reply to people in your own style."
    term = "Instruction tuning (SFT)"
    sample_in = "Where is my refund?"
    sample_out = "It left us on Monday."
    roles: tuple[Role, ...] = (MESSAGES, PROMPT, REPLY, CONTEXT, SYSTEM, HISTORY, TOOLS_ROLE)
    alternatives: tuple[tuple[str, ...], ...] = (("prompt", "reply"), ("messages",))
    has_labels = False
    trainer = "sft"
    metrics: tuple[str, ...] = ("loss", "perplexity", "token_accuracy")
    best_metric = "eval_loss"

    def unavailable_reason(self, model: ModelInfo) -> str:
        """Only models that continue a text can reply."""
        if model.kind == "causal":
            return ""
        return "It can't write replies: it reads a text and does not continue it."

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """Cleaned values by role; `messages` are turns with a known role each, or None."""
        values: dict[str, Any] = {}
        for column, role in roles.items():
            cell = row.get(column)
            if role == "messages":
                values[role] = turns_of(cell)
            elif role == "history":
                values[role] = history_of(cell) or None
            elif role == "tools":
                values[role] = tools_of(cell)
            else:
                values[role] = text_of(cell)
        return values

    def way(self, kind: str, roles: Mapping[str, str]) -> Way:
        """A language model learns the replies."""
        return Way("text", self.trainer, self.metrics, self.best_metric, templated=True)

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """The role that a row lacks; a conversation needs a question and a reply."""
        if "messages" not in values:
            return next((role for role in ("prompt", "reply") if not values.get(role)), "")
        turns = values["messages"]
        if not turns:
            return "messages"
        spoken = {turn["role"] for turn in turns if says(turn)}
        if "assistant" not in spoken:
            return "reply"
        return "" if "user" in spoken else "prompt"

    def turns(self, row: Row, roles: Mapping[str, str], system_prompt: str = "") -> list[dict[str, Any]]:
        """The row as a conversation, replies included."""
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
        """Token ids of the conversation; the replies are learned, cut where the limit falls."""
        turns = self.turns(row, encoding.roles, encoding.system_prompt)
        if encoding.thinking == "drop":
            turns = without_thoughts(turns)
        if encoding.learn_replies == "last":
            turns = last_learned(turns)
        return self.encode_turns(turns, encoding)

    def encode_turns(self, turns: Sequence[dict[str, Any]], encoding: Encoding) -> Example:
        """Token ids of turns; their replies are learned, those of weight 0 excepted."""
        ids, learned = rendering.learned_ids(encoding.tokenizer, turns, encoding.training_template)
        length = len(ids)
        ids, learned = ids[: encoding.max_length], learned[: encoding.max_length]
        labels = [token if marked else NOT_LEARNED for token, marked in zip(ids, learned, strict=True)]
        return Example(ids, labels, length, learned)

    def prompt_of(self, row: Row, roles: Mapping[str, str]) -> list[dict[str, Any]]:
        """The turns before the last reply; all of them in a row that has none yet."""
        turns = self.turns(row, roles)
        replies = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
        return turns[: replies[-1]] if replies else turns

    def prompt_ids(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[int]:
        """The conversation so far, and the model's turn to speak."""
        return rendering.prompt_ids(encoding.tokenizer, self.asked(prompt, encoding))

    def asked(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[dict[str, Any]]:
        """The conversation so far, with the run's system prompt."""
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(turn) for turn in prompt]
        if encoding.system_prompt and turns[0]["role"] != "system":
            turns.insert(0, {"role": "system", "content": encoding.system_prompt})
        return turns

    def text_in(self, values: Mapping[str, Any]) -> str:
        """The prompt with its context; of a conversation what people say in it."""
        if values.get("messages"):
            return "\n\n".join(turn["content"] for turn in values["messages"] if turn["role"] == "user")
        return _with_context(values)

    def expected_in(self, values: Mapping[str, Any]) -> str:
        """The reply; of a conversation the last one."""
        if values.get("messages"):
            replies = [turn["content"] for turn in values["messages"] if turn["role"] == "assistant"]
            return replies[-1] if replies else ""
        return values.get("reply") or ""

    def template(self, encoding: Encoding) -> str:
        """The model's own frame around a conversation, with the roles' names in place of their values."""
        has_context = "context" in encoding.roles.values()
        turns = [
            {"role": "user", "content": "{prompt}\n\n{context}" if has_context else "{prompt}"},
            {"role": "assistant", "content": "{reply}"},
        ]
        if encoding.system_prompt or "system" in encoding.roles.values():
            turns.insert(0, {"role": "system", "content": encoding.system_prompt or "{system}"})
        return rendering.render(encoding.tokenizer, turns, encoding.training_template)


def _with_context(values: Mapping[str, Any]) -> str:
    """Prompt and context as Alpaca's and LLaMA-Factory's rows are put together."""
    return "\n\n".join(part for part in (values.get("prompt"), values.get("context")) if part)
