"""A text that is asked and one that is written, as tokens: for models that read and write, and for those that go on."""

from typing import Any

from studio.tasks import rendering
from studio.tasks.base import NOT_LEARNED, Encoding, Example


def turns(text: str, encoding: Encoding) -> list[dict[str, Any]]:
    """What is asked as a conversation, with the run's system prompt."""
    asked = [{"role": "user", "content": text}]
    return [{"role": "system", "content": encoding.system_prompt}, *asked] if encoding.system_prompt else asked


def parted(text: str) -> tuple[str, str]:
    """Two texts that were asked as one: what stands before the first empty line, and after it (or before and after the
    first line)."""
    for sign in ("\n\n", "\n"):
        first, found, second = text.strip().partition(sign)
        if found:
            return first.strip(), second.strip()
    return text.strip(), ""


def prompt_ids(asked: Any, encoding: Encoding) -> list[int]:
    """What is asked, as token ids: a text for a reader, turns for the chat template."""
    if isinstance(asked, str):
        ids: list[int] = encoding.tokenizer(asked, truncation=True, max_length=encoding.max_length)["input_ids"]
        return ids
    return rendering.prompt_ids(encoding.tokenizer, asked)


def example(asked: Any, wanted: str, encoding: Encoding) -> Example:
    """What is asked and what is to be written; only the latter is learned."""
    if isinstance(asked, str):
        return _read_and_written(asked, wanted, encoding)
    whole = [*asked, {"role": "assistant", "content": wanted}]
    ids, learned = rendering.learned_ids(encoding.tokenizer, whole, encoding.training_template)
    cut, marks = ids[: encoding.max_length], learned[: encoding.max_length]
    labels = [token if marked else NOT_LEARNED for token, marked in zip(cut, marks, strict=True)]
    return Example(cut, labels, len(ids), marks)


def _read_and_written(asked: str, wanted: str, encoding: Encoding) -> Example:
    """Two sequences: the reader's, cut at the limit, and the writer's, cut at the longest answer."""
    tokenizer = encoding.tokenizer
    whole = tokenizer(asked, verbose=False)["input_ids"]
    ids = prompt_ids(asked, encoding) if len(whole) > encoding.max_length else whole
    target = tokenizer(text_target=wanted, truncation=True, max_length=encoding.answer_length)["input_ids"]
    end = tokenizer.eos_token_id
    if end is not None and target[-1:] != [end]:
        target = [*target[: encoding.answer_length - 1], end]  # a writer must learn where to stop
    return Example(ids, target, len(whole), [False] * len(ids), target=target)
