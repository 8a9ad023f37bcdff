"""Rows of like length together, padded to one rectangle, and what a model makes of all of them."""

from collections.abc import Callable, Sequence
from typing import Any

from studio.inference.base_and_tuned import Pair

Progress = Callable[[int], None]


def silent(done: int) -> None:
    """Progress that nobody asked for."""


def by_length(lengths: Sequence[int], most_tokens: int = 4096, most_rows: int = 32) -> list[list[int]]:
    """Positions in batches of like length, the longest first; a batch holds so many tokens with its padding."""
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    batches: list[list[int]] = []
    room = 0
    for position in order:
        if not batches or len(batches[-1]) >= room:
            batches.append([])
            room = max(1, min(most_rows, most_tokens // max(1, lengths[position])))
        batches[-1].append(position)
    return batches


def padded(rows: Sequence[Sequence[int]], pad: int, device: Any) -> dict[str, Any]:
    """`input_ids` and `attention_mask` of rows, padded on the right."""
    import torch

    longest = max(map(len, rows))
    ids = [[*row, *[pad] * (longest - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return {"input_ids": torch.tensor(ids, device=device), "attention_mask": torch.tensor(mask, device=device)}


def over_rows(
    model: Any,
    pair: Pair,
    ids: Sequence[Sequence[int]],
    compute: Callable[[Any, dict[str, Any]], Any],
    progress: Progress,
) -> Any:
    """Compute something for all rows in batches of like length; results in the order of the rows."""
    import torch

    found: list[Any] = [None] * len(ids)
    done, encoding = 0, pair.encoding()
    for batch in by_length([len(row) for row in ids]):
        inputs = padded([ids[each] for each in batch], pair.tokenizer.pad_token_id, model.device)
        types = [pair.task.types_of(ids[each], encoding) for each in batch]
        if types[0]:
            inputs["token_type_ids"] = padded(types, 0, model.device)["input_ids"]
        with torch.no_grad():
            out = compute(model, inputs)
        for each, row in zip(batch, out.cpu(), strict=True):
            found[each] = row
        done += len(batch)
        progress(done)
    return torch.stack(found).numpy()


def embeddings(pair: Pair, ids: Sequence[Sequence[int]], progress: Progress = silent) -> Any:
    """The base's last layer, averaged over each row's tokens; rows × hidden, as numpy."""

    def averages(model: Any, batch: dict[str, Any]) -> Any:
        hidden = model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"].unsqueeze(-1)
        return (hidden * mask).sum(1) / mask.sum(1)

    with pair.speaking("base") as model:
        return over_rows(model, pair, ids, averages, progress)
