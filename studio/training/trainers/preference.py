"""DPO on pairs: TRL's DPOTrainer, with the base remembered and the logits of learned positions alone."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch.nn.utils.rnn import pad_sequence
from trl import DPOConfig, DPOTrainer

from studio.tasks import Example
from studio.tasks.base import IGNORE_INDEX
from studio.training.trainers import Parts
from studio.training.trainers.common import arguments
from studio.training.trainers.reference_model import NUMBER, Referenced


class PairTrainer(Referenced, DPOTrainer):
    """TRL's trainer, with our order of rows, checkpoints and optimizer."""

    kept = ("ref_chosen_logps", "ref_rejected_logps")
    names: ClassVar[Mapping[str, str]] = {
        "rewards/accuracies": "reward_accuracy",
        "rewards/margins": "reward_margin",
        "rewards/chosen": "reward_chosen",
        "rewards/rejected": "reward_rejected",
    }
    step_metrics = tuple(names.values())
    evenly = True

    def rows_in(self, batch: Any) -> int:
        """A pair is two sequences."""
        return len(batch["input_ids"]) // 2


class Pairs:
    """Collator: the better replies first, then the worse in the same order."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        names = (("input_ids", "labels"), ("other_ids", "other_labels"))
        ids = [torch.tensor(row[name]) for name, _ in names for row in rows]
        labels = [torch.tensor(row[name]) for _, name in names for row in rows]
        return {**padded_rows(ids, labels, self.pad), NUMBER: torch.tensor([row[NUMBER] for row in rows])}


def padded_rows(ids: list[torch.Tensor], labels: list[torch.Tensor], pad: int) -> dict[str, torch.Tensor]:
    """Rows padded on the right, and which of their tokens are of the reply."""
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad),
        "attention_mask": pad_sequence([torch.ones_like(each) for each in ids], batch_first=True),
        "completion_mask": pad_sequence([(each != IGNORE_INDEX).long() for each in labels], batch_first=True),
    }


def build(parts: Parts) -> PairTrainer:
    """A trainer over encoded pairs, which TRL must not touch again."""
    adapted = hasattr(parts.model, "peft_config")
    args = DPOConfig(
        **arguments(parts),
        beta=parts.config.beta,
        loss_type=[parts.config.preference_loss],
        max_length=None,
        precompute_ref_log_probs=not adapted,
    )
    trainer = PairTrainer(
        model=parts.model,
        args=args,
        data_collator=Pairs(parts.encoding.tokenizer.pad_token_id),
        train_dataset=_dataset(parts.train, 0),
        eval_dataset=_dataset(parts.validation, len(parts.train)) if parts.validation else None,
        processing_class=parts.encoding.tokenizer,
        callbacks=[parts.callback],
    )
    sequences = [each for example in (*parts.train, *parts.validation) for each in (example, example.other) if each]
    trainer.start(max(len(each.input_ids) for each in sequences), parts.callback.emit, parts.begun)
    return trainer


def _dataset(examples: Sequence[Example], first: int) -> Any:
    from datasets import Dataset

    others = [example.other or example for example in examples]
    return Dataset.from_dict(
        {
            "input_ids": [each.input_ids for each in examples],
            "labels": [each.labels for each in examples],
            "other_ids": [each.input_ids for each in others],
            "other_labels": [each.labels for each in others],
            NUMBER: list(range(first, first + len(examples))),
        }
    )
