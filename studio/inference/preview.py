"""What a model gets of a row: its tokens, and how many each row has. Only a tokenizer is needed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from studio.schema.report import Preview, TokenView
from studio.tasks import Encoding, Example, Row, Task

EXACT = 1000
"""So many rows are encoded one by one; of more, lengths come from their texts in batches."""
BATCH = 500
"""Texts that are counted together."""
SAMPLE = 200
"""Rows from which the tokens that a template adds, and the share that is learned, are measured."""
NEAR = 0.1
"""A row whose length by its text is this near the limit is encoded itself, so that it is known whether it is cut."""
UNLIMITED = 2**30
MOST_BEYOND = 300
"""Tokens beyond the limit that are shown."""


def preview(task: Task, row: Row, encoding: Encoding, number: int = 1) -> Preview:
    """The tokens of one row as training gets them."""
    example = task.encode(row, encoding)
    tokens = _views(encoding, example.input_ids, example.learned)
    tokens += _views(encoding, example.target, [True] * len(example.target))
    other = example.other or Example([], [], 0)
    worse = [token for token, learned in zip(other.input_ids, other.learned, strict=True) if learned]
    return Preview(
        text="".join(token.text for token in tokens),
        tokens=tokens,
        truncated=example.truncated,
        template=task.template(encoding),
        templated=task.variant(encoding.kind, encoding.roles).templated,
        full_length=example.full_length + len(example.target),
        row=number,
        label=example.label,
        worse=_views(encoding, worse, [True] * len(worse)),
        beyond=_beyond(task, row, encoding, example) if example.truncated else (),
    )


def _beyond(task: Task, row: Row, encoding: Encoding, cut: Example) -> tuple[TokenView, ...]:
    """What the limit cuts off, as the row would go on without it."""
    whole = task.encode(row, replace(encoding, max_length=cut.full_length))
    same = next(
        (at for at, (a, b) in enumerate(zip(cut.input_ids, whole.input_ids, strict=False)) if a != b),
        len(cut.input_ids),
    )
    ids, learned = whole.input_ids[same : same + MOST_BEYOND], whole.learned[same : same + MOST_BEYOND]
    return _views(encoding, ids, learned)


def _views(encoding: Encoding, ids: Sequence[int], learned: Sequence[bool]) -> tuple[TokenView, ...]:
    told = zip(pieces(encoding.tokenizer, ids), ids, learned, strict=True)
    return tuple(TokenView(text=text, id=token, learned=mine) for text, token, mine in told)


def pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The text of each token, so that they add up to the text; a character in several tokens stands at its last."""
    texts: list[str] = []
    begun = 0
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[begun:end], clean_up_tokenization_spaces=False)
        if text.endswith("\ufffd") and end - begun < 4 and end < len(ids):
            texts.append("")
            continue
        texts.append(text)
        begun = end
    return texts


def lengths(
    task: Task, rows: Sequence[Row], encoding: Encoding, limit: int, progress: Callable[[int, int], None]
) -> tuple[list[int], list[int], float]:
    """Tokens of each row before any cut (0 where a required role is missing), those that all of its pieces begin with,
    and the share that is learned."""
    found, heads = [0] * len(rows), [0] * len(rows)
    usable = [number for number, row in enumerate(rows) if not task.missing(row, encoding.roles)]
    if not usable:
        return found, heads, 0.0
    step = max(1, len(usable) // SAMPLE)
    sample = usable[::step][:SAMPLE]
    examples = {number: task.encode(rows[number], encoding) for number in sample}
    total = sum(len(example.input_ids) for example in examples.values())
    learned = sum(sum(example.learned) for example in examples.values()) / max(1, total)
    if len(usable) <= EXACT:
        exact: Sequence[int] = usable
    else:
        guesses = _by_text(task, rows, usable, encoding)
        added = sorted(example.full_length - guesses[number] for number, example in examples.items())
        usual = sorted(map(_head, examples.values()))[len(examples) // 2]
        for number, guess in guesses.items():
            found[number] = guess + added[len(added) // 2]
            heads[number] = usual
        exact = [number for number in usable if abs(found[number] - limit) <= NEAR * limit]
    for done, number in enumerate(exact, 1):
        example = examples.get(number)
        example = example or task.encode(rows[number], encoding)
        found[number], heads[number] = example.full_length, _head(example)
        if done % 100 == 0:
            progress(done, len(exact))
    return found, heads, learned


def _head(example: Example) -> int:
    """Tokens that each piece of a passage begins with anew: the question, and the marks around both."""
    return sum(place is None for place in example.offsets)


def _by_text(task: Task, rows: Sequence[Row], usable: Sequence[int], encoding: Encoding) -> dict[int, int]:
    """Tokens of the row's texts alone, without what a template adds, counted in batches."""
    found: dict[int, int] = {}
    for at in range(0, len(usable), BATCH):  # what a tokenizer notes of a token takes more than a hundred bytes
        part = usable[at : at + BATCH]
        texts = [_text(task.values(rows[number], encoding.roles)) for number in part]
        counted = encoding.tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        found.update((number, len(ids)) for number, ids in zip(part, counted, strict=True))
    return found


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "\n".join(filter(None, map(_text, value.values())))
    if isinstance(value, Sequence):
        return "\n".join(filter(None, map(_text, value)))
    return "" if value is None else str(value)
