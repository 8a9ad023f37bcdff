"""Batches of rows with similar length, and the model outputs for all rows."""

from collections.abc import Callable, Sequence
from typing import Any

from studio.inference.base_and_tuned import ModelPair

Progress = Callable[[int], None]


def no_progress(done: int) -> None:
    """Progress callback that does nothing."""


def by_length(lengths: Sequence[int], most_tokens: int = 4096, most_rows: int = 32) -> list[list[int]]:
    """Return positions in batches of similar length, the longest first. `most_tokens` includes padding."""
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    batches: list[list[int]] = []
    capacity = 0
    for position in order:
        if not batches or len(batches[-1]) >= capacity:
            batches.append([])
            capacity = max(1, min(most_rows, most_tokens // max(1, lengths[position])))
        batches[-1].append(position)
    return batches


def padded(rows: Sequence[Sequence[int]], pad: int, device: Any) -> dict[str, Any]:
    """Return `input_ids` and `attention_mask` of rows, padded on the right."""
    import torch

    longest = max(map(len, rows))
    ids = [[*row, *[pad] * (longest - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return {"input_ids": torch.tensor(ids, device=device), "attention_mask": torch.tensor(mask, device=device)}


def over_rows(
    model: Any,
    pair: ModelPair,
    ids: Sequence[Sequence[int]],
    compute: Callable[[Any, dict[str, Any]], Any],
    progress: Progress,
) -> Any:
    """Compute something for all rows in batches of similar length. Return a numpy array in row order."""
    import torch

    results: list[Any] = [None] * len(ids)
    done, encoding = 0, pair.encoding()
    for batch in by_length([len(row) for row in ids]):
        inputs = padded([ids[each] for each in batch], pair.tokenizer.pad_token_id, model.device)
        token_types = [pair.task.types_of(ids[each], encoding) for each in batch]
        if token_types[0]:
            inputs["token_type_ids"] = padded(token_types, 0, model.device)["input_ids"]
        with torch.no_grad():
            out = compute(model, inputs)
        for each, row in zip(batch, out.cpu(), strict=True):
            results[each] = row
        done += len(batch)
        progress(done)
    return torch.stack(results).numpy()


def embeddings(pair: ModelPair, ids: Sequence[Sequence[int]], progress: Progress = no_progress) -> Any:
    """Return the base's last hidden states averaged over each row's tokens, as numpy array of rows × hidden size."""
    return over_rows(pair.model_for("base"), pair, ids, mean_states, progress)


def mean_states(model: Any, inputs: dict[str, Any]) -> Any:
    """Return the last hidden states averaged over each row's tokens, as tensor of rows × hidden size."""
    hidden = model(**inputs).last_hidden_state.float()
    mask = inputs["attention_mask"].unsqueeze(-1)
    return (hidden * mask).sum(1) / mask.sum(1)
