"""DPO training on preference pairs: TRL's DPOTrainer with cached reference values, and logits at trained positions
only."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch.nn.utils.rnn import pad_sequence
from trl import DPOConfig, DPOTrainer

from studio.tasks import Example
from studio.tasks.base import IGNORE_INDEX
from studio.training.trainers import Parts
from studio.training.trainers.common import arguments, trainer_arguments
from studio.training.trainers.reference_model import ROW_NUMBER, ReferenceModelMixin, row_numbers


class PreferenceTrainer(ReferenceModelMixin, DPOTrainer):
    """TRL's trainer with our row order, checkpoints and optimizer."""

    reference_columns = ("ref_chosen_logps", "ref_rejected_logps")
    metric_names: ClassVar[Mapping[str, str]] = {
        "rewards/accuracies": "reward_accuracy",
        "rewards/margins": "reward_margin",
        "rewards/chosen": "reward_chosen",
        "rewards/rejected": "reward_rejected",
    }
    step_metrics = tuple(metric_names.values())
    drop_remainder = True

    def rows_in(self, batch: Any) -> int:
        """A pair has two sequences."""
        return len(batch["input_ids"]) // 2


class PreferenceCollator:
    """Collates the chosen replies first, then the rejected ones in the same order."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        columns = (("input_ids", "labels"), ("other_ids", "other_labels"))
        ids = [torch.tensor(row[name]) for name, _ in columns for row in rows]
        labels = [torch.tensor(row[name]) for _, name in columns for row in rows]
        return {**padded_rows(ids, labels, self.pad), ROW_NUMBER: torch.tensor([row[ROW_NUMBER] for row in rows])}


def padded_rows(ids: list[torch.Tensor], labels: list[torch.Tensor], pad: int) -> dict[str, torch.Tensor]:
    """Sequences padded on the right, with a mask of the reply's tokens."""
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad),
        "attention_mask": pad_sequence([torch.ones_like(each) for each in ids], batch_first=True),
        "completion_mask": pad_sequence([(each != IGNORE_INDEX).long() for each in labels], batch_first=True),
    }


def build(parts: Parts) -> PreferenceTrainer:
    """A trainer over encoded pairs, which TRL must not encode again."""
    adapted = hasattr(parts.model, "peft_config")
    args = DPOConfig(
        **arguments(parts),
        beta=parts.config.beta,
        loss_type=[parts.config.preference_loss],
        max_length=None,
        precompute_ref_log_probs=not adapted,
    )
    trainer = PreferenceTrainer(
        **trainer_arguments(parts, partial(_dataset, parts)),
        args=args,
        data_collator=PreferenceCollator(parts.encoding.tokenizer.pad_token_id),
    )
    sequences = [each for example in (*parts.train, *parts.validation) for each in (example, example.other) if each]
    trainer.prepare_reference(max(len(each.input_ids) for each in sequences), parts.callback, parts.has_start_weights)
    return trainer


def _dataset(parts: Parts, examples: Sequence[Example]) -> Any:
    from datasets import Dataset

    others = [example.other or example for example in examples]
    return Dataset.from_dict(
        {
            "input_ids": [each.input_ids for each in examples],
            "labels": [each.labels for each in examples],
            "other_ids": [each.input_ids for each in others],
            "other_labels": [each.labels for each in others],
            ROW_NUMBER: row_numbers(parts, examples),
        }
    )
