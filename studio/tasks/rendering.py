"""Conversations as tokens of a model, and which of them are learned. Based on chat templates.

If the template marks the replies (`{% generation %}`), its marks are used. Otherwise a reply is the text between its
generation prompt and the next message, with the end-of-turn token (replies.py). For conversations with one reply, TRL
learns the same tokens.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from studio.schema.errors import StudioError
from studio.tasks.conversation import CALLS, NAMES, TOOLS, UNTRAINED
from studio.tasks.replies import spans_of_replies

PLAIN_TEMPLATE = (
    "{{ begin_text }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ '### Reply:\n' }}"
    "{% generation %}{{ message['content'] + (eos_token or '') }}{% endgeneration %}{{ '\n\n' }}"
    "{% else %}{{ '### Prompt:\n' + message['content'] + '\n\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '### Reply:\n' }}{% endif %}"
)
"""For base models without a chat template."""
MERGED_SYSTEM = (
    "{% if messages[0]['role'] == 'system' and messages[1:] %}{% set messages = [{'role': messages[1]['role'], "
    "'content': messages[0]['content'] + '\n\n' + messages[1]['content']}] + messages[2:] %}{% endif %}"
)
"""Goes before a chat template without a system role, so that other programs merge the system prompt as we do."""
_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")


def template_of(tokenizer: Any) -> str:
    """Return the chat template for prompts: the model's own, or the plain one."""
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default") or next(iter(template.values()), None)
    return template or PLAIN_TEMPLATE


def has_system_role(tokenizer: Any, template: str) -> bool:
    """Return whether a template accepts a system prompt before the first message of the user."""
    from jinja2 import TemplateError

    turns = [{"role": role, "content": "x"} for role in ("system", "user")]
    try:
        tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False, begin_text="")
    except TemplateError:
        return False
    return True


def has_generation_marks(template: str) -> bool:
    """Return whether a template marks the replies."""
    return _MARKED.search(template) is not None


def prompt_ids(tokenizer: Any, turns: Sequence[dict[str, Any]]) -> list[int]:
    """Return the token ids of a conversation with the generation prompt."""
    return _ids(tokenizer, _render(tokenizer, turns, template_of(tokenizer), add_generation_prompt=True))


def prompt_text(tokenizer: Any, turns: Sequence[dict[str, Any]], template: str) -> str:
    """Return a conversation with the generation prompt as text, written by a template."""
    return _render(tokenizer, turns, template, add_generation_prompt=True)


def portable_template(tokenizer: Any) -> str:
    """Return the template for prompts in a form that other programs can use, without our variables and marks.

    One without a system role merges the system prompt into the first message, as `_apply_template` does.
    """
    template = template_of(tokenizer)
    if template != PLAIN_TEMPLATE:
        return _with_system_role(tokenizer, template)
    unmarked = template.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    return unmarked.replace("{{ begin_text }}", _begin(tokenizer))


def standalone_template(tokenizer: Any, training_template: str | None) -> str:
    """Return the template that conversations are trained with, with its marks and without our variables."""
    template = (training_template or template_of(tokenizer)).replace("{{ begin_text }}", _begin(tokenizer))
    return _with_system_role(tokenizer, template)


def _with_system_role(tokenizer: Any, template: str) -> str:
    return template if has_system_role(tokenizer, template) else MERGED_SYSTEM + template


def render(tokenizer: Any, turns: Sequence[dict[str, Any]], training_template: str | None = None) -> str:
    """Return a whole conversation as text, as it is tokenized."""
    return _render(tokenizer, turns, training_template or template_of(tokenizer), add_generation_prompt=False)


def encode_conversation(
    tokenizer: Any, turns: Sequence[dict[str, Any]], training_template: str | None
) -> tuple[list[int], list[bool]]:
    """Return a whole conversation as token ids, and for each whether it belongs to a learned reply."""
    template = training_template or template_of(tokenizer)
    use_marks = has_generation_marks(template) and getattr(tokenizer, "is_fast", False)
    return (_encode_by_marks if use_marks else _encode_by_prefix)(tokenizer, turns, template)


def _apply_template(tokenizer: Any, turns: Sequence[dict[str, Any]], template: str, **options: Any) -> Any:
    """Apply the chat template. If it has no system role, the system prompt goes before the first user message.

    Raise `StudioError` if the template refuses the conversation.
    """
    from jinja2 import TemplateError

    messages, tools = template_messages(turns, template)
    options |= {"chat_template": template, "begin_text": _begin(tokenizer), **({"tools": tools} if tools else {})}
    try:
        return tokenizer.apply_chat_template(messages, **options)
    except TemplateError as error:
        reason = error
    if len(messages) > 1 and messages[0]["role"] == "system":
        first = {**messages[1], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
        try:
            return tokenizer.apply_chat_template([first, *messages[2:]], **options)
        except TemplateError as error:
            reason = error
    raise StudioError(
        "wrong-model",
        "The model's chat template does not accept a conversation of your data.",
        given=str(reason).splitlines()[0]
        if str(reason)
        else "messages with the roles " + ", ".join(turn["role"] for turn in messages),
        hint="Leave out rows whose roles are out of order (--leave-out roles-out-of-order), or choose another model.",
    )


def template_messages(turns: Sequence[Mapping[str, Any]], template: str) -> tuple[list[dict[str, Any]], Any]:
    """Return messages and tools in the template's format. Without tool support, tools become text, as in Hermes."""
    tools = turns[0].get(TOOLS) if turns else None
    supports_calls = CALLS in template
    messages = []
    for turn in turns:
        message = {"role": turn["role"], "content": turn["content"], **{key: turn[key] for key in NAMES if key in turn}}
        if calls := turn.get(CALLS):
            written = "\n".join(f"<tool_call>\n{_json(call['function'])}\n</tool_call>" for call in calls)
            message |= {CALLS: calls} if supports_calls else {"content": f"{turn['content']}\n{written}".strip()}
        messages.append(message)
    if not tools or TOOLS in template:
        return messages, tools
    words = "You may call these functions. Write a call as <tool_call>{...}</tool_call>.\n<tools>\n"
    words += "\n".join(_json(each) for each in tools) + "\n</tools>"
    if messages[0]["role"] == "system":
        return [{"role": "system", "content": f"{messages[0]['content']}\n\n{words}"}, *messages[1:]], None
    return [{"role": "system", "content": words}, *messages], None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _begin(tokenizer: Any) -> str:
    """Return the begin token that the tokenizer adds to every text, for the plain template."""
    if tokenizer.chat_template or tokenizer.bos_token_id is None:
        return ""
    return tokenizer.bos_token if tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id] else ""


def _render(tokenizer: Any, turns: Sequence[dict[str, Any]], template: str, add_generation_prompt: bool) -> str:
    text: str = _apply_template(tokenizer, turns, template, tokenize=False, add_generation_prompt=add_generation_prompt)
    return text


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def _encode_by_marks(tokenizer: Any, turns: Sequence[dict[str, Any]], template: str) -> tuple[list[int], list[bool]]:
    encoded = _apply_template(
        tokenizer, turns, template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    ids, learned = list(encoded["input_ids"]), [bool(mark) for mark in encoded["assistant_masks"]]
    weights = _weights(turns)
    if all(weights):
        return ids, learned
    runs = [begin for begin, marked in enumerate(learned) if marked and not (begin and learned[begin - 1])]
    if len(runs) == len(weights):
        ends = [*runs[1:], len(ids)]
        places = list(range(len(ids)))
    else:  # two replies in a row are marked as one, or one is empty: what is marked is of the reply that ends next
        text = _render(tokenizer, turns, template, add_generation_prompt=False)
        ends = [end for _, end in _reply_spans(tokenizer, turns, template, text)]
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        places = [begin for begin, _ in encoded["offset_mapping"]]
    for index, place in enumerate(places):
        learned[index] = learned[index] and weights[min(bisect_right(ends, place), len(weights) - 1)]
    return ids, learned


def _encode_by_prefix(tokenizer: Any, turns: Sequence[dict[str, Any]], template: str) -> tuple[list[int], list[bool]]:
    """Find the replies by rendering the conversation up to each of them."""
    text = _render(tokenizer, turns, template, add_generation_prompt=False)
    spans_and_weights = zip(_reply_spans(tokenizer, turns, template, text), _weights(turns), strict=True)
    spans = [span for span, weight in spans_and_weights if weight]
    if not getattr(tokenizer, "is_fast", False):
        return _encode_by_token_prefix(tokenizer, text, spans)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    learned = [False] * len(encoded["input_ids"])
    for index, (start, end) in enumerate(encoded["offset_mapping"]):
        learned[index] = any(start < stop and end > begin for begin, stop in spans)
    return list(encoded["input_ids"]), learned


def _weights(turns: Sequence[dict[str, Any]]) -> list[bool]:
    """Return whether each reply is learned. Those with weight 0 are not."""
    return [turn.get(UNTRAINED) != 0 for turn in turns if turn["role"] == "assistant"]


def _reply_spans(tokenizer: Any, turns: Sequence[dict[str, Any]], template: str, text: str) -> list[tuple[int, int]]:
    """Return the (start, end) characters of each reply in the text of a conversation."""

    def render_turns(some: Sequence[dict[str, Any]], add_generation_prompt: bool = False) -> str:
        return _render(tokenizer, some, template, add_generation_prompt)

    return spans_of_replies(turns, text, render_turns)


def _encode_by_token_prefix(
    tokenizer: Any, text: str, spans: Sequence[tuple[int, int]]
) -> tuple[list[int], list[bool]]:
    """The same for tokenizers that do not map tokens to characters."""
    ids = _ids(tokenizer, text)
    learned = [False] * len(ids)
    for begin, end in spans:
        first, last = (_common_length(ids, _ids(tokenizer, text[:place])) for place in (begin, end))
        learned[first:last] = [True] * (last - first)
    return ids, learned


def _common_length(ids: Sequence[int], others: Sequence[int]) -> int:
    pairs = zip(ids, others, strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(ids), len(others)))
