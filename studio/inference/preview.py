"""Preview of a row as tokens, and the length of each row. Only a tokenizer is needed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from studio.schema.report import Preview, TokenView
from studio.tasks import Encoding, Example, Row, Task

EXACT = 1000
"""Maximum number of rows that are encoded exactly. For more rows, lengths are estimated from texts in batches."""
BATCH = 500
"""Number of texts tokenized together."""
SAMPLE = 200
"""Number of rows that measure the template's overhead and the share of learned tokens."""
NEAR = 0.1
"""Rows whose estimated length is this near the limit are encoded exactly, to know whether they are truncated."""
MOST_BEYOND = 300
"""Maximum number of truncated tokens to show."""


def preview(task: Task, row: Row, encoding: Encoding, number: int = 1) -> Preview:
    """Return the tokens of one row as training uses them."""
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
        beyond=_truncated_part(task, row, encoding, example) if example.truncated else (),
    )


def _truncated_part(task: Task, row: Row, encoding: Encoding, cut: Example) -> tuple[TokenView, ...]:
    """Return the truncated tokens, as they would be without the limit."""
    full = task.encode(row, replace(encoding, max_length=cut.full_length))
    common = next(
        (index for index, (a, b) in enumerate(zip(cut.input_ids, full.input_ids, strict=False)) if a != b),
        len(cut.input_ids),
    )
    ids, learned = full.input_ids[common : common + MOST_BEYOND], full.learned[common : common + MOST_BEYOND]
    return _views(encoding, ids, learned)


def _views(encoding: Encoding, ids: Sequence[int], learned: Sequence[bool]) -> tuple[TokenView, ...]:
    token_parts = zip(pieces(encoding.tokenizer, ids), ids, learned, strict=True)
    return tuple(TokenView(text=text, id=token, learned=is_learned) for text, token, is_learned in token_parts)


def pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """Return the text of each token. A character that spans several tokens is at the last of them."""
    texts: list[str] = []
    start = 0
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[start:end], clean_up_tokenization_spaces=False)
        if text.endswith("\ufffd") and end - start < 4 and end < len(ids):
            texts.append("")
            continue
        texts.append(text)
        start = end
    return texts


def lengths(
    task: Task, rows: Sequence[Row], encoding: Encoding, limit: int, progress: Callable[[int, int], None]
) -> tuple[list[int], list[int], float]:
    """Return the length of each row, the prefix length of its pieces, and the share of learned tokens.

    Lengths are in tokens before truncation, 0 for rows without a required role.
    """
    lengths_, prefixes = [0] * len(rows), [0] * len(rows)
    usable = [number for number, row in enumerate(rows) if not task.missing(row, encoding.roles)]
    if not usable:
        return lengths_, prefixes, 0.0
    step = max(1, len(usable) // SAMPLE)
    sample = usable[::step][:SAMPLE]
    examples = {number: task.encode(rows[number], encoding) for number in sample}
    total = sum(len(example.input_ids) for example in examples.values())
    learned = sum(sum(example.learned) for example in examples.values()) / max(1, total)
    if len(usable) <= EXACT:
        exact: Sequence[int] = usable
    else:
        estimates = _by_text(task, rows, usable, encoding)
        overheads = sorted(example.full_length - estimates[number] for number, example in examples.items())
        median_prefix = sorted(map(_prefix_length, examples.values()))[len(examples) // 2]
        for number, estimate in estimates.items():
            lengths_[number] = estimate + overheads[len(overheads) // 2]
            prefixes[number] = median_prefix
        exact = [number for number in usable if abs(lengths_[number] - limit) <= NEAR * limit]
    for done, number in enumerate(exact, 1):
        example = examples.get(number)
        example = example or task.encode(rows[number], encoding)
        lengths_[number], prefixes[number] = example.full_length, _prefix_length(example)
        if done % 100 == 0:
            progress(done, len(exact))
    return lengths_, prefixes, learned


def _prefix_length(example: Example) -> int:
    """Return the number of tokens at the start of every piece of a passage: the question and special tokens."""
    return sum(place is None for place in example.offsets)


def _by_text(task: Task, rows: Sequence[Row], usable: Sequence[int], encoding: Encoding) -> dict[int, int]:
    """Return the tokens of each row's texts, without the template, counted in batches."""
    counts: dict[int, int] = {}
    for index in range(0, len(usable), BATCH):  # a tokenizer's output takes more than a hundred bytes per token
        part = usable[index : index + BATCH]
        texts = [_text(task.values(rows[number], encoding.roles)) for number in part]
        counted = encoding.tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        counts.update((number, len(ids)) for number, ids in zip(part, counted, strict=True))
    return counts


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "\n".join(filter(None, map(_text, value.values())))
    if isinstance(value, Sequence):
        return "\n".join(filter(None, map(_text, value)))
    return "" if value is None else str(value)
