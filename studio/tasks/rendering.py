"""A conversation as a model's tokens, and which of them are learned. It knows chat templates, and no row and no role.

Where the template marks the replies (`{% generation %}`), its own marks are used. Elsewhere a reply is what the
template adds between asking for it and going on: from the end of the text with the generation prompt to the end of
the text with the reply, end-of-turn token included. For conversations of one reply that is what TRL learns too.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from studio.schema.errors import StudioError
from studio.tasks.conversation import CALLS, NAMES, TOOLS

PLAIN_TEMPLATE = (
    "{{ begin_text }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ '### Reply:\n' }}"
    "{% generation %}{{ message['content'] + (eos_token or '') }}{% endgeneration %}{{ '\n\n' }}"
    "{% else %}{{ '### Prompt:\n' + message['content'] + '\n\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '### Reply:\n' }}{% endif %}"
)
"""For base models that come without a chat template."""
_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")


def template_of(tokenizer: Any) -> str:
    """The chat template that prompts are put into: the model's own, or the plain one."""
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default") or next(iter(template.values()), None)
    return template or PLAIN_TEMPLATE


def marks_replies(template: str) -> bool:
    """Whether a template itself says which part is the reply."""
    return _MARKED.search(template) is not None


def prompt_ids(tokenizer: Any, turns: Sequence[dict[str, Any]]) -> list[int]:
    """A conversation that waits for its reply, as token ids."""
    return _ids(tokenizer, _render(tokenizer, turns, template_of(tokenizer), asks=True))


def portable_template(tokenizer: Any) -> str:
    """The template that prompts are put into, as other programs can use it: no variable and no mark of ours."""
    template = template_of(tokenizer)
    if template != PLAIN_TEMPLATE:
        return template
    unmarked = template.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    return unmarked.replace("{{ begin_text }}", _begin(tokenizer))


def render(tokenizer: Any, turns: Sequence[dict[str, Any]], training_template: str | None = None) -> str:
    """A whole conversation as the text that becomes tokens."""
    return _render(tokenizer, turns, training_template or template_of(tokenizer), asks=False)


def learned_ids(
    tokenizer: Any, turns: Sequence[dict[str, Any]], training_template: str | None
) -> tuple[list[int], list[bool]]:
    """A whole conversation as token ids, and for each whether it belongs to a reply."""
    template = training_template or template_of(tokenizer)
    by_marks = marks_replies(template) and getattr(tokenizer, "is_fast", False)
    ids, learned = (_by_marks if by_marks else _by_prefix)(tokenizer, turns, template)
    return ids, _without_untrained(turns, learned)


def _call(tokenizer: Any, turns: Sequence[dict[str, Any]], template: str, **wishes: Any) -> Any:
    """One way into the tokenizer; a template without a place for a system prompt gets it before the first question."""
    from jinja2 import TemplateError

    plain, tools = _plain(turns, template)
    wishes |= {"chat_template": template, "begin_text": _begin(tokenizer), **({"tools": tools} if tools else {})}
    try:
        return tokenizer.apply_chat_template(plain, **wishes)
    except TemplateError as error:
        reason = error
    if len(plain) > 1 and plain[0]["role"] == "system":
        first = {**plain[1], "content": f"{plain[0]['content']}\n\n{plain[1]['content']}"}
        try:
            return tokenizer.apply_chat_template([first, *plain[2:]], **wishes)
        except TemplateError as error:
            reason = error
    raise StudioError(
        "wrong-model",
        "The model's chat template refuses a conversation.",
        given=str(reason).splitlines()[0] if str(reason) else "turns by " + ", ".join(turn["role"] for turn in plain),
        hint="Leave out rows whose turns are out of order (--leave-out roles-out-of-order), or choose another model.",
    )


def _plain(turns: Sequence[dict[str, Any]], template: str) -> tuple[list[dict[str, Any]], Any]:
    """Turns and tools as the template knows them. One that knows no tools gets them in words, as Hermes writes them."""
    tools = turns[0].get(TOOLS) if turns else None
    knows = CALLS in template
    plain = []
    for turn in turns:
        told = {"role": turn["role"], "content": turn["content"], **{key: turn[key] for key in NAMES if key in turn}}
        if calls := turn.get(CALLS):
            written = "\n".join(f"<tool_call>\n{_json(call['function'])}\n</tool_call>" for call in calls)
            told |= {CALLS: calls} if knows else {"content": f"{turn['content']}\n{written}".strip()}
        plain.append(told)
    if not tools or TOOLS in template:
        return plain, tools
    words = "You may call these functions. Write a call as <tool_call>{...}</tool_call>.\n<tools>\n"
    words += "\n".join(_json(each) for each in tools) + "\n</tools>"
    if plain[0]["role"] == "system":
        return [{"role": "system", "content": f"{plain[0]['content']}\n\n{words}"}, *plain[1:]], None
    return [{"role": "system", "content": words}, *plain], None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _begin(tokenizer: Any) -> str:
    """The token that the tokenizer itself puts before every text, for the plain template."""
    if tokenizer.chat_template or tokenizer.bos_token_id is None:
        return ""
    return tokenizer.bos_token if tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id] else ""


def _render(tokenizer: Any, turns: Sequence[dict[str, Any]], template: str, asks: bool) -> str:
    text: str = _call(tokenizer, turns, template, tokenize=False, add_generation_prompt=asks)
    return text


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def _by_marks(tokenizer: Any, turns: Sequence[dict[str, Any]], template: str) -> tuple[list[int], list[bool]]:
    encoded = _call(tokenizer, turns, template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    return list(encoded["input_ids"]), [bool(mark) for mark in encoded["assistant_masks"]]


def _by_prefix(tokenizer: Any, turns: Sequence[dict[str, Any]], template: str) -> tuple[list[int], list[bool]]:
    """Replies found by rendering the conversation up to each of them."""
    text = _render(tokenizer, turns, template, asks=False)
    spans = _spans(tokenizer, turns, template, text)
    if not getattr(tokenizer, "is_fast", False):
        return _by_token_prefix(tokenizer, text, spans)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    learned = [False] * len(encoded["input_ids"])
    for index, (start, end) in enumerate(encoded["offset_mapping"]):
        learned[index] = any(start < stop and end > begin for begin, stop in spans)
    return list(encoded["input_ids"]), learned


def _spans(tokenizer: Any, turns: Sequence[dict[str, Any]], template: str, text: str) -> list[tuple[int, int]]:
    """Where in the text the replies stand, as characters."""
    spans, after, read = [], 0, 0
    for index, turn in enumerate(turns):
        content = turn["content"].strip()
        if turn["role"] != "assistant":
            # a question may hold the very words of its reply: those are looked for behind it
            if (at := text.find(content, read)) >= 0:
                read = at + len(content)
            continue
        at = text.find(content, read) if content else -1  # a call of a tool is written as the template has it
        begin = _common(text, _render(tokenizer, turns[:index], template, asks=True)) if index else max(at, 0)
        end = _common(text, _render(tokenizer, turns[: index + 1], template, asks=False))
        if at >= 0 and begin <= text.find(content, begin) <= end:
            at = text.find(content, begin)
        if at >= 0 and not begin <= at <= end:
            # the template writes earlier turns otherwise than the last one: take the reply where it stands
            begin, end = at, at + len(content)
        elif at >= 0:
            end = max(end, at + len(content))
        spans.append((max(begin, after), end))
        after, read = end, max(end, read)
    return spans


def _common(text: str, other: str) -> int:
    """Characters that two texts begin with alike."""
    low, high = 0, min(len(text), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text.startswith(other[:middle]) else (low, middle - 1)
    return low


def _by_token_prefix(tokenizer: Any, text: str, spans: Sequence[tuple[int, int]]) -> tuple[list[int], list[bool]]:
    """The same for tokenizers that don't say which characters a token stands for."""
    ids = _ids(tokenizer, text)
    learned = [False] * len(ids)
    for begin, end in spans:
        first, last = (_same(ids, _ids(tokenizer, text[:place])) for place in (begin, end))
        learned[first:last] = [True] * (last - first)
    return ids, learned


def _same(ids: Sequence[int], others: Sequence[int]) -> int:
    for index, (one, other) in enumerate(zip(ids, others, strict=False)):
        if one != other:
            return index
    return min(len(ids), len(others))


def _without_untrained(turns: Sequence[dict[str, Any]], learned: list[bool]) -> list[bool]:
    """Replies of weight 0 are read and not learned: the runs of learned tokens are the replies in their order."""
    replies = [turn for turn in turns if turn["role"] == "assistant"]
    if all(turn.get("weight") != 0 for turn in replies):
        return learned
    result, run = list(learned), -1
    for index, marked in enumerate(learned):
        if marked and (index == 0 or not learned[index - 1]):
            run += 1
        if marked and run < len(replies) and replies[run].get("weight") == 0:
            result[index] = False
    return result
