"""The likelihood of replies under both models: the loss of each reply by teacher forcing."""

from collections.abc import Callable, Sequence
from typing import Any

from studio.inference.base_and_tuned import ModelPair
from studio.inference.batches import by_length, padded
from studio.inference.generate import last_logits_only
from studio.metrics import Observations
from studio.tasks import Example
from studio.tasks.base import IGNORE_INDEX

MOST_LOGITS = 2**26
"""Maximum number of logits in a batch, so that a large vocabulary does not fill the memory."""


def reply_losses(
    pair: ModelPair, who: str, examples: Sequence[Example], progress: Callable[[int], None]
) -> Observations:
    """Return per row: `loss` summed over learned tokens, `tokens`, and how many were the most likely (`right`)."""
    import numpy as np

    sums_ = np.zeros((3, len(examples)))
    done = 0
    vocabulary = max(1, pair.run.info.vocabulary or 50_000)
    most_tokens = max(256, MOST_LOGITS // vocabulary)
    for batch in by_length([len(example.input_ids) for example in examples], most_tokens):
        sums_[:, batch] = _batch(pair.model_for(who), pair.tokenizer.pad_token_id, [examples[each] for each in batch])
        done += len(batch)
        progress(done)
    return {"loss": sums_[0], "tokens": sums_[1], "right": sums_[2]}


def _batch(model: Any, pad: int, examples: Sequence[Example]) -> Any:
    """Return three numbers for each row, as 3 × rows. Only the logits that predict a learned token are computed."""
    import torch

    batch = padded([example.input_ids for example in examples], pad, model.device)
    width = batch["input_ids"].shape[1]
    rows = [[*_labels(example), *[IGNORE_INDEX] * width][:width] for example in examples]
    targets = torch.tensor(rows, device=model.device)[:, 1:]
    places = (targets != IGNORE_INDEX).any(0).nonzero().flatten()
    with torch.no_grad():
        if last_logits_only(model):
            logits = model(**batch, use_cache=False, logits_to_keep=places).logits
        else:
            logits = model(**batch, use_cache=False).logits[:, places]
    targets = targets[:, places]
    learned = targets != IGNORE_INDEX
    targets_ = targets[learned]
    logits_ = logits[learned].float()
    losses = torch.nn.functional.cross_entropy(logits_, targets_, reduction="none")
    right = (logits_.argmax(-1) == targets_).float()
    sums = torch.zeros(3, len(examples))
    row_of = learned.nonzero()[:, 0]
    for place, values in enumerate((losses, torch.ones_like(losses), right)):
        sums[place].index_add_(0, row_of.cpu(), values.cpu())
    return sums.numpy()


def _labels(example: Example) -> list[int]:
    assert isinstance(example.labels, list)
    return example.labels
