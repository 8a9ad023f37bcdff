"""KTO training on binary feedback: TRL's KTOTrainer with cached reference values, and logits at trained positions
only."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from trl import KTOConfig, KTOTrainer

from studio.tasks import Example
from studio.tasks.base import IGNORE_INDEX
from studio.training.trainers import Parts
from studio.training.trainers.common import arguments, trainer_arguments
from studio.training.trainers.preference import padded_rows
from studio.training.trainers.reference_model import ROW_NUMBER, ReferenceModelMixin, row_numbers


class FeedbackTrainer(ReferenceModelMixin, KTOTrainer):
    """TRL's trainer with our row order, checkpoints and optimizer."""

    reference_columns = ("ref_logps", "ref_KL_logps")
    metric_names: ClassVar[Mapping[str, str]] = {
        "rewards/margins": "reward_gap",
        "rewards/chosen": "reward_liked",
        "rewards/rejected": "reward_disliked",
        "kl": "kl",
    }
    step_metrics = tuple(metric_names.values())
    smallest_slice = None
    """The divergence is estimated for each batch."""

    def row_counts(self, inputs: Mapping[str, Any]) -> dict[str, float]:
        """The rewards are means over desirable or undesirable rows. The margin is computed from both."""
        rows, liked = float(self.rows_in(inputs)), float(inputs["label"].sum())
        return {"rewards/chosen": liked, "rewards/rejected": rows - liked, "kl": rows}

    def derived_metrics(self, metrics: dict[str, float]) -> dict[str, float]:
        """Add the margin if the batch had both kinds of rows."""
        if {"rewards/chosen", "rewards/rejected"} <= set(metrics):
            metrics["rewards/margins"] = metrics["rewards/chosen"] - metrics["rewards/rejected"]
        return metrics


class FeedbackCollator:
    """Collates rows, and each prompt with another row's reply, from which KTO estimates the divergence from the base
    model."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batches = []
        for kind in ("", "kl_"):
            ids = [torch.tensor(row[f"{kind}input_ids"]) for row in rows]
            labels = [torch.tensor(row[f"{kind}labels"]) for row in rows]
            batches.append(padded_rows(ids, labels, self.pad))
        own, other = batches
        return {
            **own,
            **{f"KL_{name}": value for name, value in other.items()},
            "label": torch.tensor([row["liked"] for row in rows]),
            ROW_NUMBER: torch.tensor([row[ROW_NUMBER] for row in rows]),
        }


def build(parts: Parts) -> FeedbackTrainer:
    """A trainer over encoded rows, which TRL must not encode again."""
    liked = sum(example.liked for example in parts.train)
    disliked = len(parts.train) - liked
    smaller, larger = sorted((max(liked, 1), max(disliked, 1)))
    size = parts.config.batch_size
    args = KTOConfig(
        **{**arguments(parts), "per_device_train_batch_size": max(2, size)},
        beta=parts.config.beta,
        max_length=None,
        precompute_ref_log_probs=not hasattr(parts.model, "peft_config"),
        # as recommended in the KTO paper: both kinds have equal total weight
        desirable_weight=larger / smaller if liked < disliked else 1.0,
        undesirable_weight=larger / smaller if disliked < liked else 1.0,
    )
    trainer = FeedbackTrainer(
        **trainer_arguments(parts, partial(_dataset, parts)),
        args=args,
        data_collator=FeedbackCollator(parts.encoding.tokenizer.pad_token_id),
    )
    if size < 2:  # TRL pairs replies within a batch, while ours come from any row, so a batch size of 1 is possible
        args.per_device_train_batch_size = trainer._train_batch_size = size
    longest = max(len(each.input_ids) for each in (*parts.train, *parts.validation))
    trainer.prepare_reference(longest, parts.callback, parts.has_start_weights)
    return trainer


def _dataset(parts: Parts, examples: Sequence[Example]) -> Any:
    from datasets import Dataset

    size = parts.config.max_length
    mismatched = [_with_other_reply(example, examples[place - 1], size) for place, example in enumerate(examples)]
    return Dataset.from_dict(
        {
            "input_ids": [each.input_ids for each in examples],
            "labels": [each.labels for each in examples],
            "kl_input_ids": [ids for ids, _ in mismatched],
            "kl_labels": [labels for _, labels in mismatched],
            "liked": [each.liked for each in examples],
            ROW_NUMBER: row_numbers(parts, examples),
        }
    )


def _with_other_reply(example: Example, other: Example, size: int) -> tuple[list[int], list[int]]:
    """One row's prompt with another row's reply. As in TRL, the other row is the preceding one."""
    prompt = example.input_ids[: _reply_start(example)]
    reply = other.input_ids[_reply_start(other) :]
    ids = [*prompt, *reply][:size]
    return ids, [*[IGNORE_INDEX] * len(prompt), *other.labels[_reply_start(other) :]][:size]


def _reply_start(example: Example) -> int:
    """Index of the first token of the reply."""
    return next(place for place, marked in enumerate(example.learned) if marked)
