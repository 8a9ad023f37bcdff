"""A conversation as a model's tokens, and which of them are learned. It knows chat templates, and no row and no role.

Where the template marks the replies (`{% generation %}`), its own marks are used. Elsewhere a reply is what the
template adds between asking for it and going on, end-of-turn token included (replies.py). For conversations of one
reply that is what TRL learns too.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Sequence
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
    return (_by_marks if by_marks else _by_prefix)(tokenizer, turns, template)


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
    ids, learned = list(encoded["input_ids"]), [bool(mark) for mark in encoded["assistant_masks"]]
    weights = _weights(turns)
    if all(weights):
        return ids, learned
    runs = [begin for begin, marked in enumerate(learned) if marked and not (begin and learned[begin - 1])]
    if len(runs) == len(weights):
        ends = [*runs[1:], len(ids)]
        places = list(range(len(ids)))
    else:  # two replies in a row are marked as one, or one is empty: what is marked is of the reply that ends next
        text = _render(tokenizer, turns, template, asks=False)
        ends = [end for _, end in _reply_spans(tokenizer, turns, template, text)]
        told = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        places = [begin for begin, _ in told["offset_mapping"]]
    for index, place in enumerate(places):
        learned[index] = learned[index] and weights[min(bisect_right(ends, place), len(weights) - 1)]
    return ids, learned


def _by_prefix(tokenizer: Any, turns: Sequence[dict[str, Any]], template: str) -> tuple[list[int], list[bool]]:
    """Replies found by rendering the conversation up to each of them."""
    text = _render(tokenizer, turns, template, asks=False)
    found = zip(_reply_spans(tokenizer, turns, template, text), _weights(turns), strict=True)
    spans = [span for span, weight in found if weight]
    if not getattr(tokenizer, "is_fast", False):
        return _by_token_prefix(tokenizer, text, spans)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    learned = [False] * len(encoded["input_ids"])
    for index, (start, end) in enumerate(encoded["offset_mapping"]):
        learned[index] = any(start < stop and end > begin for begin, stop in spans)
    return list(encoded["input_ids"]), learned


def _weights(turns: Sequence[dict[str, Any]]) -> list[bool]:
    """Whether each reply is learned: those of weight 0 are read only."""
    return [turn.get(UNTRAINED) != 0 for turn in turns if turn["role"] == "assistant"]


def _reply_spans(tokenizer: Any, turns: Sequence[dict[str, Any]], template: str, text: str) -> list[tuple[int, int]]:
    """Where in the text of a conversation each of its replies stands, as characters."""

    def written(some: Sequence[dict[str, Any]], asks: bool = False) -> str:
        return _render(tokenizer, some, template, asks)

    return spans_of_replies(turns, text, written)


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
